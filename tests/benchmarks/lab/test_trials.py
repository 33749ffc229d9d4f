"""Trials: each row of a plan is trained, measured and written down with the command that repeats it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg_lab.trials import Plan, main

PLANS = Path(__file__).parents[3] / "benchmarks" / "edge_seg_lab" / "plans"


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.json")), ids=lambda path: path.stem)
def test_every_command_of_the_plans_is_one_that_train_takes(path: Path) -> None:
    from edge_seg_train.command import train

    plan = Plan.read(path)
    for row in plan.rows:
        # Parsed alone, not run: an option that train does not know, or a value it refuses, ends here.
        context = train.make_context("train", [*plan.words(row, Path("data")), "--out", "run"])
        assert len(context.params["datasets"]) == len(plan.data)


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"title": "half"}')
    with pytest.raises(InputError, match="not a plan of trials"):
        Plan.read(tmp_path / "plan.json")


@pytest.mark.training
@pytest.mark.slow
def test_rows_are_trained_once_and_stand_in_the_table(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    for seed in range(24):
        made = phantom(96, 90, seed=seed)
        for name, picture in {"images": made.film.pixels, **made.masks}.items():
            (tmp_path / "chests" / name).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "chests" / name / f"{seed}.png"
            cv2.imwrite(str(path), picture if name == "images" else picture * np.uint8(255))
    plan = {
        "title": "Two small ones",
        "about": "For a test.",
        "data": ["chests"],
        "train": "--network tiny --size 64 --epochs 2 --films-per-epoch 32 --batch-size 8 --no-augment "
        "--picture-every 0",
        "quantize": "--epochs 1 --films-per-epoch 32 --dice-budget 1",
        "score": [{"data": "chests", "split": "test", "region": "whole_lung"}],
        "rows": {"narrow": "--base 4", "wide": "--base 8"},
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    words = [tmp_path / "plan.json", "--data", tmp_path, "--out", tmp_path / "out", "--table", tmp_path / "table.md"]
    one = CliRunner().invoke(main, [*map(str, words), "--row", "narrow"], catch_exceptions=False)
    assert one.exit_code == 0, one.output
    stored = tmp_path / "out" / "narrow" / "result.json"
    before = stored.stat().st_mtime_ns
    both = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert both.exit_code == 0, both.output
    assert stored.stat().st_mtime_ns == before
    narrow, wide = (json.loads((tmp_path / "out" / row / "result.json").read_text()) for row in ("narrow", "wide"))
    table = (tmp_path / "table.md").read_text()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith(("| narrow", "| wide"))]
    parameters, milliseconds = (  # of both, from `23,456` and `0.4 ms`
        [int(row[1].replace(",", "")) for row in rows],
        [float(row[3].removesuffix(" ms")) for row in rows],
    )
    assert 0 < parameters[0] < parameters[1]
    assert all(time > 0 for time in milliseconds)
    for found in (narrow, wide):
        assert f"{found['scores'][0]['mean']:.4f}" in table
        assert f"`{found['command']}`" in table
    assert str(tmp_path) not in table
