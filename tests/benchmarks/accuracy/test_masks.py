"""Masks from other programs, scored like models; and films that a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Segmenter
from edge_seg.errors import InputError, UsageError
from edge_seg.inspection.tensors import find_network
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.accuracy.masks import score_masks
from edge_seg_benchmarks.accuracy.scores import FilmScore
from edge_seg_benchmarks.accuracy.seen import SeenFilms, seen_films
from edge_seg_benchmarks.benchmark import Settings, run_benchmark
from edge_seg_benchmarks.command import benchmark
from edge_seg_benchmarks.report.folder import write_report
from edge_seg_benchmarks.schema import Report
from edge_seg_data import open_dataset
from edge_seg_data.splits import SPLITS_NAME, anonymous

FILMS = 5


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Noise with a square outlined, all in the test split."""
    folder = tmp_path / "films"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(FILMS):
        write(folder / "images" / f"f{i}.png", rng.integers(0, 255, (60, 70)).astype(np.uint8))
        write(folder / "masks" / f"f{i}.png", square(20))
    rows = "".join(f"f{i},p{i},test\n" for i in range(FILMS))
    (folder / "index.csv").write_text(f"stem,patient,split\n{rows}")
    return folder


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def square(side: int, value: int = 255) -> np.ndarray:
    mask = np.zeros((60, 70), np.uint8)
    mask[10 : 10 + side, 10 : 10 + side] = value
    return mask


def scored(folder: Path, films: Path, structure: str = "") -> tuple[float, ...]:
    given = f"{structure}={folder}" if structure else str(folder)
    report = score_masks(given, [open_dataset(films)], "test", None, lambda text: None)
    return tuple(score.dice for score in report.films)


@pytest.mark.parametrize(
    "name", ["f{}.png", "f{}_mask.png", "F{}_pred_mask.png", "object/f{}.png", "mask_f{}.png"]
)  # fmt: skip
def test_masks_are_found_by_the_names_of_their_films(tmp_path: Path, films: Path, name: str) -> None:
    for i in range(FILMS):
        write(tmp_path / "theirs" / name.format(i), square(10, 1))
    assert scored(tmp_path / "theirs", films, "object") == pytest.approx((2 * 100 / 500,) * FILMS)


def test_results_of_edge_seg_itself_are_scored(tmp_path: Path, films: Path) -> None:
    for i in range(FILMS):
        write(tmp_path / "theirs" / f"f{i}.object.png", square(20))
        for kind in ("jpg", "png"):
            write(tmp_path / "theirs" / f"f{i}.overlay.{kind}", np.full((60, 70), 90, np.uint8))
    assert scored(tmp_path / "theirs", films) == (1.0,) * FILMS


def test_a_film_without_a_mask_is_named_and_left_out(tmp_path: Path, films: Path) -> None:
    for i in range(1, FILMS):
        write(tmp_path / "theirs" / f"f{i}.png", square(20))
    words = ["--masks", str(tmp_path / "theirs"), "--data", str(films), "--out", str(tmp_path / "report")]
    done = CliRunner().invoke(benchmark, words, catch_exceptions=False)
    assert "1 mask is missing and not in its figures (f0)" in done.stderr
    report = Report.read(tmp_path / "report" / "report.json")
    assert report.masks[0].missing == ("f0",)
    assert (report.masks[0].scores[0].dice.n, report.models) == (FILMS - 1, ())
    for page in ("report.md", "report.html"):
        text = (tmp_path / "report" / page).read_text()
        assert "masks in theirs" in text
        assert "1 mask is missing" in text


def test_a_film_without_the_mask_of_one_structure_is_named_with_the_structure(tmp_path: Path, films: Path) -> None:
    (films / "masks").rename(films / "right_lung")
    for i in range(FILMS):
        write(films / "left_lung" / f"f{i}.png", square(15))
        for name in ("right_lung", "left_lung") if i > 1 else ("right_lung",):
            write(tmp_path / "theirs" / f"f{i}.{name}.png", square(20))
    words = ["--masks", str(tmp_path / "theirs"), "--data", str(films), "--out", str(tmp_path / "report")]
    done = CliRunner().invoke(benchmark, words, catch_exceptions=False)
    assert "2 masks are missing and not in its figures (f0, left lung; f1, left lung)" in done.stderr
    (masks,) = Report.read(tmp_path / "report" / "report.json").masks
    assert masks.missing == ("f0, left lung", "f1, left lung")
    counts = {row.region: row.dice.n for row in masks.scores}
    assert (counts["right_lung"], counts["left_lung"]) == (FILMS, FILMS - 2)


def test_masks_are_stretched_with_films_that_were_stored_squashed(tmp_path: Path, films: Path) -> None:
    folder = films.rename(tmp_path / "visible-lung")
    rows = "".join(f"f{i},p{i},test,2000,1000,1\n" for i in range(FILMS))
    (folder / "index.csv").write_text(f"stem,patient,split,original_width,original_height,aspect_known\n{rows}")
    assert open_dataset(folder).films[0].load()[0].shape == (60, 120)
    for i in range(FILMS):
        write(tmp_path / "theirs" / f"f{i}.png", square(20))
    assert scored(tmp_path / "theirs", folder, "visible_lung") == (1.0,) * FILMS


def test_masks_of_nothing_that_is_outlined_are_refused_with_the_fix(tmp_path: Path, films: Path) -> None:
    write(tmp_path / "theirs" / "elsewhere.png", square(20))
    with pytest.raises(InputError, match="no mask is named like a film"):
        scored(tmp_path / "theirs", films)
    for i in range(FILMS):
        write(tmp_path / "theirs" / f"f{i}.heart.png", square(20))
        write(tmp_path / "theirs" / f"f{i}.aorta.png", square(20))
    (tmp_path / "theirs" / "elsewhere.png").unlink()
    with pytest.raises(InputError, match="--masks STRUCTURE="):
        scored(tmp_path / "theirs", films)


def test_masks_need_films_and_a_report_needs_something(tmp_path: Path) -> None:
    for words, text in ((["--masks", str(tmp_path)], "by --data"), ([], "nothing to measure")):
        with pytest.raises(UsageError, match=text):
            benchmark.main([*words, "--out", str(tmp_path / "report")], standalone_mode=False)


def with_splits(model: Path, splits: dict[str, str]) -> ModelFile:
    stored = {"patients_sha256": {anonymous(patient): split for patient, split in splits.items()}}
    return replace(ModelFile.read(model), path=None, associated={SPLITS_NAME: json.dumps(stored).encode()})


def test_films_that_a_model_was_trained_with_are_counted(tiny_model: Path) -> None:
    scores = [
        FilmScore("d", "test", f"f{i}", f"p{i}", region, 1, 1, 0, 0) for i in range(4) for region in ("a", "b")
    ]  # fmt: skip
    model = with_splits(tiny_model, {"p0": "train", "p1": "val", "p2": "test", "p9": "train"})
    assert seen_films(model, scores) == [SeenFilms("d", "test", 4, 1, 1)]
    assert seen_films(with_splits(tiny_model, {"p2": "test"}), scores) == []
    assert seen_films(ModelFile.read(tiny_model), scores) == []


@pytest.mark.slow
def test_a_report_holds_masks_beside_models_and_says_what_a_model_was_trained_with(
    tmp_path: Path, films: Path, tiny_model: Path, make_flatbuffer: Callable[..., bytes]
) -> None:
    # Named right lungs, so that the tiny model outlines the same structure.
    (films / "masks").rename(films / "right_lung")
    for i in range(FILMS):
        write(tmp_path / "theirs" / f"f{i}.png", square(20))
    bare = tmp_path / "unet.tflite"
    bare.write_bytes(make_flatbuffer(dtype="float32"))
    # Without a file a model has no cold start, which takes seconds.
    models = [replace(find_network(bare).drafted(), path=None), with_splits(tiny_model, {"p0": "train", "p1": "train"})]
    settings = Settings(
        repeats=1, peak=False, masks=(f"right_lung={tmp_path / 'theirs'}",), time_only=("unet",), command="..."
    )
    data = [open_dataset(films)]
    report = run_benchmark(models, data, settings)
    write_report(report, tmp_path / "report", [Segmenter(model, gate=False) for model in models], data, "none")
    told = "of 5 films of films test it had 2 in training"
    for page in ("report.md", "report.html"):
        assert told in (tmp_path / "report" / page).read_text()
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| right lung | 5 (5) | tiny int8-ptq |" in text
    assert "| masks in theirs | 1.0000 (1.0000 to 1.0000) |" in text
    assert Report.read(tmp_path / "report" / "report.json") == report
    assert (report.models[0].name, report.models[0].parameters, report.models[0].scores) == ("unet", 6, ())
    assert report.models[0].latency_ms["inference_alone"].p50 > 0
