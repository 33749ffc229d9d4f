"""Checkpoints: complete or absent, whenever a run dies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg.errors import InputError, OutputError
from edge_seg_train import checkpoint

pytestmark = pytest.mark.training


class Killed(BaseException):
    """Stands in for kill -9: nothing after it runs."""


@pytest.fixture(scope="module")
def model() -> Any:
    made = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    made.compile("adam", "mse")
    made.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    return made


def test_a_checkpoint_brings_back_model_optimizer_and_history(tmp_path: Path, model: Any) -> None:
    assert checkpoint.newest(tmp_path) is None
    history = [{"loss": 1.5, "val_dice": 0.5}]
    checkpoint.save(tmp_path, model, history, is_best=True)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.history == history
    assert int(keras.models.load_model(found.model).optimizer.iterations) == int(model.optimizer.iterations) > 0
    assert (tmp_path / "best.model.weights.h5").is_file()


def test_only_the_newest_stays_and_drafts_are_swept(tmp_path: Path, model: Any) -> None:
    left_over = tmp_path / "checkpoints" / "draft-00001"
    left_over.mkdir(parents=True)
    (left_over / "model.keras").write_bytes(b"half a model")
    assert checkpoint.newest(tmp_path) is None
    for epochs in (1, 2):
        checkpoint.save(tmp_path, model, [{"loss": 1.0}] * epochs, is_best=False)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["epoch-00002"]
    assert not (tmp_path / "best.model.weights.h5").exists()


@pytest.mark.parametrize("step", ["model", "state", "best", "rename", "sweep"])
def test_death_in_the_middle_leaves_a_whole_checkpoint(
    tmp_path: Path, model: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(tmp_path, model, [{"loss": 2.0}], is_best=True)

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    target: dict[str, tuple[Any, str]] = {
        "model": (model, "save"),
        "state": (json, "dumps"),
        "best": (model, "save_weights"),
        "rename": (Path, "rename"),
        "sweep": (shutil, "rmtree"),
    }
    with monkeypatch.context() as fault:
        if step == "sweep":
            remove = shutil.rmtree

            def die_at_the_old_one(path: Path, **options: Any) -> None:
                if Path(path).name == "epoch-00001":
                    die()
                remove(path, **options)

            fault.setattr(shutil, "rmtree", die_at_the_old_one)
        else:
            fault.setattr(*target[step], die)
        with pytest.raises(Killed):
            checkpoint.save(tmp_path, model, [{"loss": 2.0}, {"loss": 1.0}], is_best=True)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert len(found.history) == (2 if step == "sweep" else 1)
    keras.models.load_model(found.model)
    model.load_weights(tmp_path / "best.model.weights.h5")
    checkpoint.save(tmp_path, model, [{"loss": 2.0}, {"loss": 1.0}], is_best=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["epoch-00002"]


def test_what_cannot_be_written_or_read_is_said_in_one_line(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    checkpoint.save(tmp_path, model, [{"loss": 2.0}], is_best=True)
    with monkeypatch.context() as fault:
        fault.setattr(model, "save", full)
        with pytest.raises(OutputError, match="No space left on device"):
            checkpoint.save(tmp_path, model, [{"loss": 2.0}] * 2, is_best=True)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    (found.folder / "state.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        checkpoint.newest(tmp_path)
