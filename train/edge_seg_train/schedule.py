"""Learning rate and early stopping as functions of the history: a resumed run decides as an uninterrupted one would."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_seg_train.config import TrainConfig

History = Sequence[dict[str, float]]
"""One entry per finished epoch, with `val_loss` and `val_dice` if there are validation films."""

_LEAST_IMPROVEMENT = 1e-4
_COSINE_FLOOR = 0.01


def learning_rate(config: TrainConfig, history: History) -> float:
    """Learning rate of the next epoch."""
    if config.schedule == "cosine":
        done = len(history) / config.epochs
        floor = _COSINE_FLOOR
        return config.learning_rate * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)
    if config.schedule == "plateau":
        return config.learning_rate * config.plateau_factor ** _plateaus(history, config.plateau_patience)
    return config.learning_rate


def should_stop(config: TrainConfig, history: History) -> bool:
    """Whether validation Dice has not improved for `patience` epochs."""
    scores = [entry["val_dice"] for entry in history if "val_dice" in entry]
    if not config.patience or len(scores) <= config.patience:
        return False
    return max(scores[-config.patience :]) <= max(scores[: -config.patience])


def best_epoch(history: History) -> int:
    """Index of the epoch with the best validation Dice, or of the last epoch if there was no validation."""
    return max(range(len(history)), key=lambda i: (history[i].get("val_dice", 0.0), i))


def _plateaus(history: History, patience: int) -> int:
    """How often the validation loss stalled for `patience` epochs; the count restarts each time."""
    best, waited, count = math.inf, 0, 0
    for entry in history:
        loss = entry.get("val_loss", entry["loss"])
        if loss < best - _LEAST_IMPROVEMENT:
            best, waited = loss, 0
        else:
            waited += 1
            if waited >= patience:
                count, waited = count + 1, 0
    return count
