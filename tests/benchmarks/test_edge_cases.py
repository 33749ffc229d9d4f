"""Edge cases of a benchmark: one film, an absent structure, other structures, models that are only timed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg.errors import UsageError
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.structures import Structure
from edge_seg_benchmarks.command import benchmark
from edge_seg_benchmarks.models import labels

pytestmark = pytest.mark.slow


def films(folder: Path, masks: dict[str, np.ndarray], count: int = 1) -> Path:
    """A data set of the chest layout."""
    for name in ("images", *masks):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), phantom(120, 100, seed=number).film.pixels)
        for name, mask in masks.items():
            cv2.imwrite(str(folder / name / f"{number}.png"), mask.astype(np.uint8) * 255)
    return folder


def report(out: Path, *words: str) -> dict:
    arguments = [*words, "--repeats", "1", "--no-peak", "--split", "all", "--out", str(out), "--json"]
    done = CliRunner().invoke(benchmark, arguments, catch_exceptions=False, standalone_mode=False)
    assert (out / "report.html").is_file()
    return dict(json.loads(done.stdout))


def test_one_film_with_a_structure_that_is_absent(tiny_model: Path, tmp_path: Path) -> None:
    shown = phantom(120, 100, seed=0).masks
    data = films(tmp_path / "one", {"right_lung": shown["right_lung"], "left_lung": np.zeros((120, 100), bool)})
    (entry,) = report(tmp_path / "out", str(tiny_model), "--data", str(data))["models"]
    rows = {row["region"]: row for row in entry["scores"]}
    assert rows["right_lung"]["dice"]["n"] == 1
    assert rows["right_lung"]["dice"]["low"] == rows["right_lung"]["dice"]["high"]
    # The model outlines bright pixels on every film: absent from the truth only scores 0 and the film's diagonal.
    assert rows["left_lung"]["dice"]["mean"] == 0
    assert rows["left_lung"]["hd95_px"]["mean"] == pytest.approx(np.hypot(120, 100))
    assert rows["left_lung"]["failed"] == 1
    assert rows["left_lung"]["hd95_mm"] is None


def test_a_model_of_other_structures(tiny_model: Path, tmp_path: Path) -> None:
    file = ModelFile.read(tiny_model)
    named = tuple(Structure(name, name, "#ff0000") for name in ("bolus", "spine", "clavicle"))
    model = tmp_path / "other.tflite"
    model.write_bytes(replace(file, manifest=replace(file.manifest, structures=named, expects="")).to_bytes())
    bright = phantom(120, 100, seed=0).film.pixels > 128
    (tmp_path / "pairs" / "images").mkdir(parents=True)
    (tmp_path / "pairs" / "masks").mkdir()
    (tmp_path / "pairs" / "classes.txt").write_text("background\nbolus\n")
    cv2.imwrite(str(tmp_path / "pairs" / "images" / "a.png"), phantom(120, 100, seed=0).film.pixels)
    cv2.imwrite(str(tmp_path / "pairs" / "masks" / "a.png"), bright.astype(np.uint8))
    (entry,) = report(tmp_path / "out", str(model), "--data", str(tmp_path / "pairs"))["models"]
    assert [row["region"] for row in entry["scores"]] == ["bolus"]


def test_a_model_that_is_only_timed_has_no_scores(tiny_model: Path, tmp_path: Path) -> None:
    file = ModelFile.read(tiny_model)
    other = tmp_path / "untrained.tflite"
    other.write_bytes(replace(file, manifest=replace(file.manifest, name="untrained")).to_bytes())
    words = [str(other), str(tiny_model), "--data", "phantom", "--limit", "2", "--time-only", "untrained"]
    found = report(tmp_path / "out", *words)
    assert [bool(entry["scores"]) for entry in found["models"]] == [False, True]
    assert all(entry["latency_ms"]["inference"]["p50"] > 0 for entry in found["models"])
    assert "untrained" in (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(UsageError, match="only timed"):
        report(tmp_path / "none", str(other), "--data", "phantom", "--time-only", "untrained")


def test_two_models_of_one_name_are_told_apart(tiny_model: Path, tmp_path: Path) -> None:
    file = ModelFile.read(tiny_model)
    newer, tuned = tmp_path / "newer.tflite", tmp_path / "tuned.tflite"
    newer.write_bytes(replace(file, manifest=replace(file.manifest, version="2")).to_bytes())
    found = report(tmp_path / "out", str(tiny_model), str(newer), "--threads", "1", "--threads", "2")
    assert [entry["label"] for entry in found["models"]] == ["tiny int8-ptq 1", "tiny int8-ptq 2"]
    assert [len(entry["configurations"]) for entry in found["models"]] == [1, 1]
    tuned.write_bytes(tiny_model.read_bytes())
    same = [ModelFile.read(path) for path in (tiny_model, tuned)]
    checksum = file.manifest.flatbuffer_sha256[:8]
    assert labels(same) == [f"tiny int8-ptq 1 {checksum}"] * 2


def test_the_command_in_the_report_is_the_one_that_was_given(tiny_model: Path, tmp_path: Path) -> None:
    words = [str(tiny_model), "--threads", "1", "--threads", "2", "--data", "phantom", "--limit", "1"]
    found = report(tmp_path / "out", *words)
    said = found["command"]
    options = "--data phantom --split all --limit 1 --threads 1 --threads 2 --repeats 1 --no-peak"
    assert said == f"edge-seg benchmark tiny.tflite {options} --out report"
    assert str(tmp_path) not in said
