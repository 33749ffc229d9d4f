"""What is accepted, what is refused, and what is kept of a refused model; nothing is trained here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_optimization")

import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)
from edge_seg.errors import InputError, ModelError, OutputError
from edge_seg.film import Film
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg_data import Dataset, LabelledFilm, Outlines
from edge_seg_quantize import pipeline
from edge_seg_quantize.acceptance import AcceptanceReport, check_measurable
from edge_seg_quantize.answers import answer, made_before, origin_of
from edge_seg_quantize.settings import QuantizeSettings
from edge_seg_train.config import TrainConfig
from edge_seg_train.network import PRESETS

pytestmark = pytest.mark.training

ACCEPTED = AcceptanceReport(3, 0.9, 0.9, 0.9, 0.002, 0.0, 1, (), "run and settings")
FORMS = ("float32", "float16", "dynamic", "ptq")


def write(model: Path, out: Path, report: AcceptanceReport) -> None:
    """Write a model's forms; the backup of its fine-tuning is then no longer needed."""
    backup = out.parent / "backup"
    backup.mkdir()
    forms = dict.fromkeys((*FORMS, "qat"), ModelFile.read(model))
    try:
        pipeline._write(forms, out, report, lambda: (None, None), lambda text: None, backup)
    finally:
        assert not backup.exists()


@pytest.mark.parametrize("name", ["dice_float32", "dice_ptq", "dice_qat", "budget"])
def test_a_score_that_is_not_a_number_is_not_accepted(name: str) -> None:
    ACCEPTED.check()
    with pytest.raises(ModelError, match="is not a number"):
        replace(ACCEPTED, **{name: float("nan")}).check()  # type: ignore[arg-type]
    assert AcceptanceReport.from_json(ACCEPTED.to_json()) == ACCEPTED


def test_a_refused_model_is_kept_with_its_figures_and_taken_under_a_budget_that_allows_it(
    tiny_model: Path, tmp_path: Path
) -> None:
    out, refused = tmp_path / "x.tflite", tmp_path / "x.refused.tflite"
    with pytest.raises(ModelError, match=r"loses 0\.1000 Dice .*x\.refused\.tflite and the other forms"):
        write(tiny_model, out, replace(ACCEPTED, dice_qat=0.8))
    assert {path.name for path in tmp_path.iterdir()} == {f"x.{form}.tflite" for form in (*FORMS, "refused")}
    assert made_before(out, "another run") is None
    assert made_before(out, "run and settings") == refused
    with pytest.raises(ModelError, match=r"the budget is 0\.05.*x\.refused\.tflite"):
        answer(refused, out, 0.05, lambda text: None)
    assert refused.exists()
    report = answer(refused, out, 0.2, lambda text: None)
    assert report.budget == ModelFile.read(out).manifest.checks["budget"] == 0.2
    assert not refused.exists()


def test_an_accepted_model_is_set_aside_under_a_budget_that_does_not_allow_it(tiny_model: Path, tmp_path: Path) -> None:
    out, refused = tmp_path / "x.tflite", tmp_path / "x.refused.tflite"
    write(tiny_model, out, replace(ACCEPTED, dice_qat=0.8, budget=0.2))
    assert made_before(out, "run and settings") == out
    assert answer(out, out, 0.3, lambda text: None).budget == 0.3
    with pytest.raises(ModelError, match=r"the budget is 0\.01"):
        answer(out, out, 0.01, lambda text: None)
    assert (out.exists(), made_before(out, "run and settings")) == (False, refused)
    out.write_bytes(b"something else")
    assert made_before(out, "run and settings") == refused


def test_whatever_decides_a_model_is_part_of_its_origin(tmp_path: Path) -> None:
    settings = QuantizeSettings("x")
    for name, value in {"epochs": 9, "licence": "text", "single_component": False, "negatives": (Path("n"),)}.items():
        assert origin_of(tmp_path, replace(settings, **{name: value})) != origin_of(tmp_path, settings)  # type: ignore[arg-type]
    assert origin_of(tmp_path, replace(settings, dice_budget=0.5, quiet=True)) == origin_of(tmp_path, settings)


def test_an_accepted_model_takes_the_place_of_a_refused_one(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.tflite"
    (tmp_path / "x.refused.tflite").write_bytes(b"older")
    write(tiny_model, out, ACCEPTED)
    assert {path.name for path in tmp_path.iterdir()} == {"x.tflite", *(f"x.{form}.tflite" for form in FORMS)}


def test_a_film_that_the_run_left_out_is_left_out_of_what_it_is_measured_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> tuple[Film, Outlines]:
        raise InputError("torn.png: cannot be decoded")

    def whole() -> tuple[Film, Outlines]:
        made = phantom(32, 32, seed=0)
        return made.film, {"right_lung": made.masks["right_lung"].astype(np.uint8)}

    films = [LabelledFilm(name, name, "val", read) for name, read in (("torn", damaged), ("whole", whole))]
    datasets = [Dataset("set", "pairs", ("right_lung",), (*films, LabelledFilm("other", "other", "train", damaged)))]
    monkeypatch.setattr(pipeline, "datasets_of", lambda *words: datasets)
    config = TrainConfig((), ("right_lung",), PRESETS["tiny"])
    settings = QuantizeSettings("x", quiet=True)
    found = pipeline._usable_datasets(replace(config, skip_bad=True), Path(), settings)
    assert [film.name for film in found[0].films] == ["whole"]
    check_measurable(pipeline._validation_films(found, 0), config.structures)
    with pytest.raises(InputError, match="torn"):
        check_measurable(
            pipeline._validation_films(pipeline._usable_datasets(config, Path(), settings), 0), config.structures
        )


def test_what_cannot_be_measured_or_written_is_said() -> None:
    with pytest.raises(InputError, match="no validation films"):
        check_measurable([], ("lung",))
    with pytest.raises(OutputError, match="cannot be written"):
        pipeline.check_place(Path("/absent/x.tflite"))
