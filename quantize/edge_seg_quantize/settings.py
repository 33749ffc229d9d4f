"""Quantisation settings; imports no framework, so the command line can show the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.version import __version__

DICE_BUDGET = 0.002
"""Maximum mean Dice that quantisation may cost on the validation films."""

KERAS_SUFFIX = ".keras"
"""Suffix of saved Keras models."""


@dataclass(frozen=True)
class QuantizeSettings:
    """How a run is quantised.

    Attributes:
        name, version: the model's, for its manifest.
        epochs, films_per_epoch, learning_rate: for quantization-aware fine-tuning; `films_per_epoch` 0 uses the run's.
        dice_budget: maximum validation Dice that int8 may lose.
        validation_films: maximum number of films used to measure acceptance; 0 is all.
        single_component: see `Manifest`; applies only if the training films' outlines are in one piece.
        about: additions to the model card (title, sources, licences, limits).
        licence: text of the model's licence.
        negatives: folders of pictures that the film gate should reject.
        quiet: no progress bars.
    """

    name: str
    version: str = __version__
    epochs: int = 3
    films_per_epoch: int = 0
    learning_rate: float = 2e-4
    dice_budget: float = DICE_BUDGET
    validation_films: int = 0
    single_component: bool = True
    about: dict[str, Any] | None = None
    licence: str = ""
    negatives: tuple[Path, ...] = ()
    quiet: bool = False
