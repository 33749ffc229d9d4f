"""The data sets of a run, and what the weights that it starts from have seen."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.phantom import phantom
from edge_seg_data import Dataset, LabelledFilm
from edge_seg_data.splits import anonymous, splits_of_model
from edge_seg_train.config import TrainConfig
from edge_seg_train.data import (
    anonymous_splits,
    is_run,
    lineage,
    open_run_datasets,
    patients_learned,
    refuse_learned,
    store_splits,
)
from edge_seg_train.network import PRESETS


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve films with a mask each, and no index."""
    folder = tmp_path_factory.mktemp("data") / "pairs"
    chance = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(12):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 8 + i % 4 : 24] = 255
        cv2.imwrite(str(folder / "images" / f"{i}.png"), chance.integers(0, 255, (32, 32), np.uint8))
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), mask)
    return folder


def made(run: Path, start: str = "", **splits: str) -> Path:
    """A run's folder, as far as its data sets are concerned."""
    run.mkdir()
    config = TrainConfig((), ("object",), PRESETS["tiny"], start=start)
    (run / "config.json").write_text(json.dumps({"config": config.to_json()}))
    (run / "splits.json").write_text(json.dumps({"patients": splits}))
    return run


def test_a_film_that_the_weights_to_start_from_were_trained_on_is_not_held_out(pairs: Path, tmp_path: Path) -> None:
    first = made(tmp_path / "first")
    store_splits(first, open_run_datasets([str(pairs)], tmp_path / "new"))
    again = open_run_datasets([str(pairs)], tmp_path / "second", str(first))
    assert {film.split for film in again[0].films} == {"train", "val", "test"}
    with pytest.raises(InputError, match=r"is held out here, and the weights of .*first were trained on it"):
        open_run_datasets([str(pairs)], tmp_path / "second", str(first), hold_out=(0, 2))
    # A sixth is a part of a half, and a run that is there goes on.
    half = made(tmp_path / "half")
    store_splits(half, open_run_datasets([str(pairs)], tmp_path / "new", hold_out=(0, 2)))
    for part in ((0, 2), (0, 6)):
        assert open_run_datasets([str(pairs)], tmp_path / "second", str(half), hold_out=part)
    with pytest.raises(InputError, match="is held out here"):
        open_run_datasets([str(pairs)], tmp_path / "second", str(half), hold_out=(1, 2))
    assert open_run_datasets([str(pairs)], half, str(first), hold_out=(0, 2))


def test_a_patient_whose_number_a_spreadsheet_changed_is_the_one_that_was_trained_on(tmp_path: Path) -> None:
    run = made(tmp_path / "run", **{"007": "train", "8": "val"})

    def of_patient(patient: str) -> list[Dataset]:
        film = LabelledFilm("a", patient, "val", lambda: (phantom(32, 32, seed=0).film, {}))
        return [Dataset("set", "pairs", ("object",), (film,))]

    refuse_learned(of_patient("8"), str(run))
    with pytest.raises(InputError, match="a: is held out here"):
        refuse_learned(of_patient("7"), str(run))


def test_a_model_knows_what_all_runs_before_it_were_trained_on(tmp_path: Path) -> None:
    gone = made(tmp_path / "a", start=str(tmp_path / "gone"), anna="train", ben="val", carl="train")
    last = made(tmp_path / "b", start=str(gone), ben="train", carl="val", dora="test")
    assert lineage(str(last)) == [str(last), str(gone), str(tmp_path / "gone")]
    assert patients_learned(str(last)) == {"anna", "ben", "carl"}
    moved = made(tmp_path / "c", start=str(tmp_path / "c"), anna="train")
    assert patients_learned(str(moved)) == {"anna"}
    splits = json.loads(anonymous_splits(last))["patients_sha256"]
    known = {"anna": "train", "ben": "train", "carl": "train", "dora": "test"}
    assert splits == {anonymous(patient): split for patient, split in known.items()}


def test_a_model_knows_what_the_shipped_weights_before_it_were_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A run of a shipped model's name in the working directory is another.
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "lungs", anna="train")
    assert not is_run("lungs")
    assert patients_learned("lungs") == set()
    assert is_run(str(tmp_path / "lungs"))
    tuned = made(tmp_path / "tuned", start="lungs", ben="train")
    splits = json.loads(anonymous_splits(tuned))["patients_sha256"]
    assert splits == splits_of_model(ModelFile.read(shipped_models()["lungs"])) | {anonymous("ben"): "train"}
