"""Keras callbacks around each epoch: learning rate, log, pictures, checkpoint, early stopping, and time left."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import edge_seg_train.quiet  # noqa: F401  # isort: skip  (before TensorFlow is imported)

import click
import keras
import numpy as np
from edge_seg.errors import ModelError
from edge_seg.storage import write_atomically
from edge_seg_data import evenly_spaced

from edge_seg_train import checkpoint
from edge_seg_train.config import TrainConfig
from edge_seg_train.history import LOG_NAME
from edge_seg_train.metrics import masks_of
from edge_seg_train.packing import PackedFilms, network_input
from edge_seg_train.pictures import write_picture
from edge_seg_train.schedule import History, best_epoch, learning_rate, should_stop
from edge_seg_train.summary import PICTURED
from edge_seg_train.together import Together

_STEPS_BETWEEN_CHECKS = 16  # each costs a wait for the device


class Epochs(keras.callbacks.Callback):
    """Sets the learning rate, writes log, pictures and checkpoint, and stops early."""

    def __init__(
        self,
        config: TrainConfig,
        run: Path,
        history: list[dict[str, float]],
        held_out: PackedFilms,
        together: Together,
    ) -> None:
        super().__init__()
        self.config, self.run, self.history, self.held_out, self.together = config, run, history, held_out, together

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set the learning rate."""
        self.model.optimizer.learning_rate = learning_rate(self.config, self.history)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stop a run that learns nothing; the loss is a mean over the epoch: once it is not a number, it stays that."""
        if batch % _STEPS_BETWEEN_CHECKS == 0:
            self._refuse_nan(logs, len(self.history) + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the epoch's results."""
        self._refuse_nan(logs, epoch + 1)
        entry = {name: float(value) for name, value in (logs or {}).items()}
        entry["learning_rate"] = learning_rate(self.config, self.history)
        self.history.append(entry)
        writes = self.together.processes.is_first
        if writes:
            _write_log(self.run / LOG_NAME, self.history)
        # The first epoch too, so that problems show at once.
        if writes and self.config.picture_every and ((epoch + 1) % self.config.picture_every == 0 or epoch == 0):
            self._picture(epoch + 1)
        is_best = best_epoch(self.history) == epoch
        checkpoint.save(self.run, self.model, self.history, is_best, average_in_place(self.model), writes)
        self.model.stop_training = should_stop(self.config, self.history)

    def _refuse_nan(self, logs: dict[str, float] | None, epoch: int) -> None:
        """Stop before a checkpoint is written with weights that are not numbers."""
        wrong = [name for name, value in (logs or {}).items() if not np.isfinite(value)]
        if wrong:
            half = "leave --mixed-precision away, or " if self.config.mixed_precision else ""
            raise ModelError(
                f"epoch {epoch}: {wrong[0]} is not a number any more: {half}lower --learning-rate "
                f"(now {self.config.learning_rate:g}) in another --out, and look at the films with edge-seg check"
            )

    def _picture(self, epoch: int) -> None:
        if not len(self.held_out):
            return
        chosen = evenly_spaced(range(len(self.held_out)), PICTURED)
        grey = self.held_out.grey[chosen]
        films = network_input(grey, self.config.network.channels)
        logits = self.together.logits(self.model, films, self.config.batch_size)
        folder = self.run / "pictures"
        folder.mkdir(exist_ok=True)
        path = folder / f"epoch-{epoch:05d}.png"
        write_picture(path, grey, self.held_out.labels[chosen], masks_of(logits, self.config), self.config.outlined)


class TimeLeft(keras.callbacks.Callback):
    """Prints after each epoch how long the rest of the run will take at most."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.epochs, self.started, self.done = config.epochs, time.monotonic(), 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Print the time left."""
        self.done += 1
        left = int((time.monotonic() - self.started) / self.done * (self.epochs - epoch - 1))
        clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
        click.echo(f"epoch {epoch + 1} of {self.epochs}, {clock} left at most", err=True)


@contextmanager
def average_in_place(model: Any) -> Iterator[None]:
    """Context in which the model's weights are their moving average, if its optimizer keeps one."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # mixed precision wraps it
    if not optimizer.use_ema:
        yield
        return
    own = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    yield
    for variable, value in zip(model.trainable_variables, own, strict=True):
        variable.assign(value)


def _write_log(path: Path, history: History) -> None:
    text = io.StringIO()
    names = ["epoch", *dict.fromkeys(name for entry in history for name in entry)]
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows({"epoch": i, **entry} for i, entry in enumerate(history, 1))
    write_atomically(path, text.getvalue().encode())
