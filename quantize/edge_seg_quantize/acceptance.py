"""Acceptance: a quantised model is int8 all through and costs no more Dice than its budget, or it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from edge_seg import Segmenter
from edge_seg.errors import ModelError
from edge_seg.inspection import purity_violations
from edge_seg_data import LabelledFilm, truth_regions
from edge_seg_data.scores import dice


@dataclass(frozen=True)
class AcceptanceReport:
    """What was measured to accept or refuse a model.

    Attributes:
        films: number of validation films.
        dice_float32, dice_ptq, dice_qat: mean Dice over films and their outlined structures, through the device's path.
        budget: most Dice that may be lost.
        differing_pixels: share of mask pixels on which the fake-quantised Keras model and the flatbuffer differ,
            over `compared_films` films at the network's size.
        violations: of contract "int8 all through"; empty in a model that passed.
    """

    films: int
    dice_float32: float
    dice_ptq: float
    dice_qat: float
    budget: float
    differing_pixels: float
    compared_films: int
    violations: tuple[str, ...]

    @property
    def drop(self) -> float:
        """Dice lost from float32 to QAT int8."""
        return self.dice_float32 - self.dice_qat

    def to_json(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {**asdict(self), "drop": self.drop}

    def check(self) -> None:
        """Accept the model, or say why not.

        Raises:
            ModelError: not int8 all through, or over the budget.
        """
        if self.violations:
            raise ModelError(
                f"not int8 all through: {'; '.join(self.violations)}: change the network, nothing was written"
            )
        if self.drop > self.budget:
            raise ModelError(
                f"int8 loses {self.drop:.4f} Dice on {self.films} validation films, the budget is {self.budget}: "
                "fine-tune longer (--epochs) or allow more (--dice-budget), nothing was written"
            )


def mean_dice(segmenter: Segmenter, films: Sequence[LabelledFilm]) -> float:
    """Mean Dice over films and what is outlined in each, derived regions too, at the films' own size."""
    scores = []
    for labelled in films:
        film, outlines = labelled.load()
        found = segmenter(film).regions
        scores += [
            dice(truth, found[name], valid) for name, (truth, valid) in truth_regions(outlines).items() if name in found
        ]
    return float(np.mean(scores)) if scores else float("nan")


def measure(
    float32: Segmenter,
    ptq: Segmenter,
    qat: Segmenter,
    flatbuffer: bytes,
    films: Sequence[LabelledFilm],
    differing_pixels: float,
    compared_films: int,
    budget: float,
) -> AcceptanceReport:
    """Measure everything that acceptance depends on.

    Raises:
        ModelError: there are no validation films to measure on.
    """
    if not films:
        raise ModelError("no validation films to measure the loss on: train with data that have a validation split")
    return AcceptanceReport(
        len(films),
        mean_dice(float32, films),
        mean_dice(ptq, films),
        mean_dice(qat, films),
        budget,
        differing_pixels,
        compared_films,
        tuple(purity_violations(flatbuffer)),
    )
