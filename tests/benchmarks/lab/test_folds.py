"""Cross-validation: every film is held out once, with all films of its patient, as the fold's data record."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Segmenter
from edge_seg.phantom import phantom
from edge_seg_benchmarks.accuracy.scores import score_film
from edge_seg_data import open_dataset
from edge_seg_lab import folds
from edge_seg_lab.folds import folds_of, lay_out, main


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten phantom films with masks of both lungs, in the layout `visible-lung`."""
    folder = tmp_path_factory.mktemp("data") / "visible-lung"
    for seed in range(10):
        made = phantom(96, 90, seed=seed)
        mask = (made.masks["right_lung"] | made.masks["left_lung"]) & ~made.masks["cardiomediastinum"]
        for name, picture in (("images", made.film.pixels), ("masks", mask.astype(np.uint8) * np.uint8(255))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{seed}.png"), picture)
    return folder


def test_every_film_is_held_out_once(films: Path) -> None:
    dataset = open_dataset(films)
    folds = folds_of(dataset.films, 3)
    assert sorted(film.name for fold in folds for film in fold) == sorted(film.name for film in dataset.films)
    assert {len(fold) for fold in folds} <= {3, 4}
    patients = [{film.patient for film in fold} for fold in folds]
    assert not patients[0] & patients[1]


def test_a_folds_data_hold_the_same_films_split_by_patient(films: Path, tmp_path: Path) -> None:
    dataset = open_dataset(films)
    held_out = folds_of(dataset.films, 5)[1]
    laid = open_dataset(lay_out(dataset, films, held_out, tmp_path))
    assert {film.name for film in laid.split("test")} == {film.name for film in held_out}
    assert len(laid.split("val")) >= 2
    assert len(laid.split("train")) >= 4
    assert len(laid.films) == len(dataset.films)
    np.testing.assert_array_equal(laid.films[0].load()[0].pixels, dataset.films[0].load()[0].pixels)


@pytest.mark.parametrize("columns", ["stem,patient,split", "stem,patient,finding", None])
def test_a_folds_index_has_the_columns_of_its_source(films: Path, tmp_path: Path, columns: str | None) -> None:
    source = tmp_path / "visible-lung"
    shutil.copytree(films, source)
    if columns:
        rows = [f"{seed},p{seed},test" for seed in range(1, 10)]  # the first film has no row
        (source / "index.csv").write_text("\n".join([columns, *rows]))
    dataset = open_dataset(source)
    laid = lay_out(dataset, source, folds_of(dataset.films, 5)[0], tmp_path / "fold")
    kept = ["finding"] if columns and "finding" in columns else []
    assert (laid / "index.csv").read_text().splitlines()[0].split(",") == ["stem", "split", "patient", *kept]
    assert open_dataset(laid).layout == "visible-lung"


@pytest.mark.slow
@pytest.mark.training
def test_cross_validation_end_to_end(
    films: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    out, commands, edge_seg = tmp_path / "out", [], folds._edge_seg

    def first_fold_alone(*words: str) -> None:
        """Run the first fold's commands; the second fold's network was made before."""
        commands.append(words)
        if "fold-0" in " ".join(words):
            edge_seg(*words)
        elif words[0] == "quantize":
            shutil.copy(tiny_model, out / "fold-1" / "model.tflite")

    monkeypatch.setattr(folds, "_edge_seg", first_fold_alone)
    train = "--network tiny --size 32 --epochs 2 --films-per-epoch 320 --batch-size 8 --no-augment --picture-every 0"
    train += " --learning-rate 0.01"
    quantize = "--epochs 1 --films-per-epoch 32 --dice-budget 0.5"
    words = [str(films), "--out", str(out), "--folds", "2", "--train", train, "--quantize", quantize]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    first, second = commands[:2], commands[2:]
    assert second == [tuple(word.replace("fold-0", "fold-1") for word in words) for words in first]
    result = json.loads((out / "folds.json").read_text())
    dataset = open_dataset(films)
    # Each film is scored by its own fold's model.
    for k, held_out in enumerate(folds_of(dataset.films, 2)):
        segmenter = Segmenter.load(out / f"fold-{k}" / "model.tflite", gate=False)
        scores = [asdict(score) for film in held_out for score in score_film(segmenter, dataset.name, film)]
        assert [row for row in result["films"] if row["film"] in {film.name for film in held_out}] == scores
        dice = [row["dice"] for row in scores if row["region"] == "visible_lung"]
        assert len(dice) == 5
        if k == 0:
            assert np.mean(dice) > 0.5
    assert next(row for row in result["scores"] if row["region"] == "visible_lung")["dice"]["n"] == 10
    assert len(result["seconds"]) == 2
    assert "Research use only" in result["notice"]
