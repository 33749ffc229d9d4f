"""Atomic checkpoints: a folder per finished epoch, renamed into place.

A run killed at any moment resumes after its newest checkpoint. The best epoch's weights are kept as well.
"""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_seg.errors import InputError, OutputError
from edge_seg.storage import flush_file, flush_folder, write_atomically

_FOLDER = "checkpoints"
_STATE = "state.json"
_MODEL = "model.keras"
WEIGHTS_NAME = "model.weights.h5"


@dataclass(frozen=True)
class Checkpoint:
    """A finished epoch: the compiled model with its optimizer, and the history up to it."""

    folder: Path
    history: list[dict[str, float]]

    @property
    def model(self) -> Path:
        """The saved Keras model."""
        return self.folder / _MODEL


def newest(run: Path) -> Checkpoint | None:
    """The newest complete checkpoint of a run.

    Raises:
        InputError: it cannot be read.
    """
    folders = sorted((run / _FOLDER).glob("epoch-[0-9]*"))
    if not folders:
        return None
    try:
        state = json.loads((folders[-1] / _STATE).read_text())
        return Checkpoint(folders[-1], state["history"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folders[-1]}: the checkpoint is damaged: start the run anew in another --out") from error


def save(
    run: Path,
    model: Any,
    history: list[dict[str, float]],
    is_best: bool,
    as_result: AbstractContextManager[None] | None = None,
    write: bool = True,
) -> None:
    """Write a checkpoint for the epoch just finished, then remove older ones.

    Args:
        run: folder of the run.
        model: compiled, with its optimizer.
        history: up to this epoch.
        is_best: whether to keep the weights as the run's best too.
        as_result: context in which the model has the weights to keep as the best, if not its own.
        write: whether this process writes to the folder, which several may share; the others' output is discarded.

    Raises:
        OutputError: it cannot be written; the previous checkpoint stays.
    """
    if not write:
        # Keras needs every process to take part in saving each variable.
        with TemporaryDirectory(prefix="edge-seg-") as folder:
            return _save(Path(folder), model, history, is_best, as_result or nullcontext())
    try:
        _save(run, model, history, is_best, as_result or nullcontext())
    except OSError as error:
        raise OutputError(
            f"{run / _FOLDER}: the checkpoint cannot be written ({error.strerror or error}): "
            "free space and repeat the command, the run goes on after its last checkpoint"
        ) from error


def _save(
    run: Path,
    model: Any,
    history: list[dict[str, float]],
    is_best: bool,
    as_result: AbstractContextManager[None],
) -> None:
    parent = run / _FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"epoch-{len(history):05d}"
    draft = parent / f"draft-{len(history):05d}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    model.save(draft / _MODEL)
    flush_file(draft / _MODEL)
    write_atomically(draft / _STATE, json.dumps({"history": history}).encode())
    if is_best:
        # Before the checkpoint: a kill in between only repeats the epoch.
        with as_result:
            save_weights(model, run / f"best.{WEIGHTS_NAME}")
    shutil.rmtree(final, ignore_errors=True)
    draft.rename(final)
    flush_folder(parent)
    for old in parent.iterdir():
        if old != final:
            shutil.rmtree(old, ignore_errors=True)


def save_weights(model: Any, path: Path) -> None:
    """Write a model's weights to a temporary file beside `path` and rename it."""
    draft = path.with_name(f"draft.{path.name}")
    model.save_weights(draft)
    flush_file(draft)
    draft.replace(path)
    flush_folder(path.parent)


def load_best(model: Any, run: Path) -> None:
    """Set a model's weights to those of a run's best epoch.

    Raises:
        InputError: the run has no weights yet, they cannot be read, or they are another network's.
    """
    path = run / f"best.{WEIGHTS_NAME}"
    if not path.is_file():
        raise InputError(f"{run}: has no weights yet: let `edge-seg train` finish at least one epoch")
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: not this network's weights: use the --network, --size and --base of that run"
        ) from error
