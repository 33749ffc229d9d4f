"""Trials: each row of a plan is trained, measured and recorded with the command that repeats it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg_lab import trials
from edge_seg_lab.trials import Plan, Row, RowDice, main

PLANS = Path(__file__).parents[3] / "benchmarks" / "edge_seg_lab" / "plans"


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.json")), ids=lambda path: path.stem)
def test_every_command_of_the_plans_is_one_that_train_takes(path: Path) -> None:
    from edge_seg_train.command import train

    plan = Plan.read(path)
    for row in plan.rows:
        # Parsed, not run: an unknown option or a refused value fails here.
        context = train.make_context("train", [*plan.words(row, Path("data")), "--out", "run"])
        assert len(context.params["datasets"]) == len(plan.data)


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"title": "half"}')
    with pytest.raises(InputError, match="not a plan of trials"):
        Plan.read(tmp_path / "plan.json")


def finished_row(folder: Path, model: Path) -> None:
    """A finished row of an earlier run, with its model."""
    folder.mkdir(parents=True)
    shutil.copy(model, folder / "model.tflite")
    score = RowDice(0.4321, 0.4, 0.5, 3, 3, "chests", "test", "whole_lung")
    (folder / "result.json").write_text(json.dumps(asdict(Row("earlier", "edge-seg train, earlier", (score,)))))


def in_this_process(*words: str) -> None:
    """Run `edge-seg WORDS...` in this process, where TensorFlow is already loaded."""
    from edge_seg.cli import main as cli

    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    assert end.value.code == 0


@pytest.mark.training
@pytest.mark.slow
def test_rows_are_trained_once_and_stand_in_the_table(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)

    request.getfixturevalue("uncompiled")
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
        "train": "--network tiny --size 32 --epochs 1 --films-per-epoch 32 --batch-size 8 --no-augment "
        "--picture-every 0",
        "quantize": "--epochs 1 --films-per-epoch 16 --dice-budget 1",
        "score": [{"data": "chests", "split": "test", "region": "whole_lung"}],
        "rows": {"earlier": "--base 4", "now": "--base 6"},
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    finished_row(tmp_path / "out" / "earlier", tiny_model)
    called, edge_seg = [], trials._edge_seg

    def noted(*words: str) -> None:
        called.append(words[0])
        if words[0] == "benchmark":
            edge_seg(*words, "--repeats", "2")
        else:
            in_this_process(*words)

    monkeypatch.setattr(trials, "_edge_seg", noted)
    words = [tmp_path / "plan.json", "--data", tmp_path, "--out", tmp_path / "out", "--table", tmp_path / "table.md"]
    for verbs in (["train", "quantize", "benchmark", "benchmark"], ["benchmark"]):
        called.clear()
        done = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        # The last call times all rows together.
        assert called == verbs
    settings = json.loads((tmp_path / "out" / "now" / "run" / "config.json").read_text())["config"]
    assert settings["network"]["base"] == 6
    earlier, now = (json.loads((tmp_path / "out" / row / "result.json").read_text()) for row in ("earlier", "now"))
    table = (tmp_path / "table.md").read_text()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith(("| earlier", "| now"))]
    parameters, milliseconds = (  # of both, from `23,456` and `0.4 ms`
        [int(row[1].replace(",", "")) for row in rows],
        [float(row[3].removesuffix(" ms")) for row in rows],
    )
    assert 0 < parameters[0] < parameters[1]
    assert all(time > 0 for time in milliseconds)
    for found in (earlier, now):
        assert f"{found['scores'][0]['mean']:.4f}" in table
        assert f"`{found['command']}`" in table
    assert str(tmp_path) not in table
