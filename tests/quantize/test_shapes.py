"""Networks unlike the shipped ones, from films to masks: one class, softmax, dropout, another lung."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow_model_optimization")

import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)
from edge_seg import Segmenter
from edge_seg.cli.main import main
from edge_seg.inspection import inspect_model
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg_data.scores import dice
from edge_seg_quantize.command import quantize
from edge_seg_train.command import train

pytestmark = [pytest.mark.training, pytest.mark.slow]


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "chests"
    for seed in range(24):
        made = phantom(160, 144, seed=seed)
        for name, picture in {"images": made.film.pixels, **made.masks}.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{seed}.png"), picture if name == "images" else picture * np.uint8(255))
    return folder


def made(chests: Path, folder: Path, *words: str) -> Path:
    """An int8 model of a short run with these options."""
    options = (
        "--network lungs --size 64 --base 6 --depth 3 --epochs 3 --films-per-epoch 320 --batch-size 8 --no-augment -q"
    )
    run, model = folder / "run", folder / "own.tflite"
    done = CliRunner().invoke(train, [str(chests), "--out", str(run), *options.split(), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    options = "--epochs 2 --films-per-epoch 96 --dice-budget 0.05 -q"
    done = CliRunner().invoke(quantize, [str(run), "--out", str(model), *options.split()], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert inspect_model(ModelFile.read(model)).violations == ()
    return model


OWN = "the lung above the dome of the diaphragm"


@pytest.fixture(scope="module")
def softmax(chests: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of mutually exclusive classes, with a user's own definition of the lung."""
    words = ("--output", "softmax", "--structures", "right_lung,left_lung", "--lung", OWN)
    return made(chests, tmp_path_factory.mktemp("softmax"), *words)


def test_a_softmax_over_background_right_and_left(softmax: Path) -> None:
    segmenter = Segmenter.load(softmax, gate=False)
    assert segmenter.manifest.output == "softmax"
    assert segmenter.runtime.output.shape[-1] == 3
    film = phantom(160, 144, seed=100)
    result = segmenter(film.film)
    assert list(result.masks) == ["right_lung", "left_lung"]
    assert not (result.masks["right_lung"] & result.masks["left_lung"]).any()
    for name, mask in result.masks.items():
        assert dice(film.masks[name], mask) > 0.75


def test_one_class_with_dropout(chests: Path, tmp_path: Path) -> None:
    model = made(chests, tmp_path, "--structures", "whole_lung", "--dropout", "0.2")
    segmenter = Segmenter.load(model, gate=False)
    assert segmenter.runtime.output.shape[-1] == 1
    film = phantom(160, 144, seed=100)
    result = segmenter(film.film)
    assert dice(film.masks["right_lung"] | film.masks["left_lung"], result.masks["whole_lung"]) > 0.75
    assert result.trust is None
    assert "behind the heart" in result.structures[0].definition
    # Films that do not show a chest are still rejected.
    assert segmenter.manifest.expects == "chest"


def test_a_lung_defined_in_words_of_ones_own_is_called_so_everywhere(softmax: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    cv2.imwrite(str(film), phantom(160, 144, seed=100).film.pixels)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        main(["run", str(film), "--model", str(softmax), "--out", str(out), "--no-gate", "-q"])
    assert end.value.code == 0
    record = json.loads((out / "records.jsonl").read_text())
    assert record["lung"] == "own"
    assert record["structures"] == {"right_lung": OWN, "left_lung": OWN}
    assert set(record["areas"]) == {"right_lung", "left_lung", "own_lung"}


def test_what_cannot_be_trained_is_refused_before_there_is_a_run(chests: Path, tmp_path: Path) -> None:
    for words, said in (
        (["--output", "softmax"], "structures overlap"),
        (["--structures", "right_lung,spleen"], "outline of spleen: choose from right_lung"),
    ):
        run = tmp_path / "run"
        done = CliRunner().invoke(train, [str(chests), "--out", str(run), "--size", "64", *words, "-q"])
        assert said in str(done.exception)
        assert not (run / "config.json").exists()
