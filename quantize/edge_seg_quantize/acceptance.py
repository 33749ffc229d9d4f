"""Acceptance: a quantised model must be int8 throughout and lose no more Dice than its budget, or it is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from edge_seg import Segmenter
from edge_seg.errors import InputError, ModelError
from edge_seg.inspection import purity_violations
from edge_seg.structures import regions
from edge_seg_data import LabelledFilm, truth_regions
from edge_seg_data.report import counted
from edge_seg_data.scores import dice


@dataclass(frozen=True)
class AcceptanceReport:
    """What was measured to accept or refuse a model.

    Attributes:
        films: number of validation films.
        dice_float32, dice_ptq, dice_qat: mean Dice over films and their outlined structures, by the on-device path.
        budget: maximum Dice that may be lost.
        differing_pixels: share of mask pixels on which the fake-quantised Keras model and the flatbuffer differ,
            over `compared_films` films at the network's size.
        violations: of the contract "int8 all through"; empty in a model that passed.
        made_from: what the model was made from, see `answers.origin_of`.
    """

    films: int
    dice_float32: float
    dice_ptq: float
    dice_qat: float
    budget: float
    differing_pixels: float
    compared_films: int
    violations: tuple[str, ...]
    made_from: str = ""

    @property
    def drop(self) -> float:
        """Dice lost from float32 to QAT int8."""
        return self.dice_float32 - self.dice_qat

    def to_json(self) -> dict[str, Any]:
        """As stored in the manifest."""
        return {**asdict(self), "drop": self.drop}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> AcceptanceReport:
        """The report from the output of `to_json`."""
        values = {field.name: raw[field.name] for field in fields(cls) if field.name in raw}
        return cls(**{**values, "violations": tuple(raw["violations"])})

    def check(self) -> None:
        """Accept the model, or say why not.

        Raises:
            ModelError: a score is not finite, or the model is not int8 throughout or is over the budget.
        """
        scores = {"float32": self.dice_float32, "PTQ int8": self.dice_ptq, "QAT int8": self.dice_qat}
        wrong = [name for name, score in scores.items() if not math.isfinite(score)]
        if wrong or not math.isfinite(self.budget):
            raise ModelError(
                f"Dice of {', '.join(wrong) or 'the budget'} is not a number: check that the validation films outline "
                "what the model does (edge-seg check) and that training went well (log.csv)"
            )
        if self.violations:
            raise ModelError(f"not int8 all through: {'; '.join(self.violations)}: change the network")
        if not self.drop <= self.budget:
            raise ModelError(
                f"int8 loses {self.drop:.4f} Dice on {counted(self.films, 'validation film')}, "
                f"the budget is {self.budget}: "
                "fine-tune longer (--epochs) or allow more (--dice-budget)"
            )


def mean_dice(segmenter: Segmenter, films: Sequence[LabelledFilm]) -> float:
    """Mean Dice over films and everything outlined on each, derived regions included, at the films' own size."""
    scores = []
    for labelled in films:
        film, outlines = labelled.load()
        found = segmenter(film).regions
        scores += [
            dice(truth, found[name], valid) for name, (truth, valid) in truth_regions(outlines).items() if name in found
        ]
    return float(np.mean(scores)) if scores else float("nan")


def check_measurable(films: Sequence[LabelledFilm], structures: Sequence[str]) -> None:
    """Check that a model of these structures can be measured on the validation films.

    Raises:
        InputError: there are no films, or none outlines any of the structures or a region derived from them.
    """
    if not films:
        raise InputError(
            "no validation films to measure the loss on: give films to the split `val` in index.csv, or more patients"
        )
    nothing = {name: np.zeros((1, 1), bool) for name in structures}
    measurable = regions(nothing).keys()
    if not any(truth_regions(film.load()[1]).keys() & measurable for film in films):
        raise InputError(
            f"no validation film outlines {', '.join(structures)}: what int8 loses cannot be measured; outline some"
        )


def measure(
    float32: Segmenter,
    ptq: Segmenter,
    qat: Segmenter,
    flatbuffer: bytes,
    films: Sequence[LabelledFilm],
    differing_pixels: float,
    compared_films: int,
    budget: float,
    made_from: str = "",
) -> AcceptanceReport:
    """Measure everything that acceptance depends on."""
    return AcceptanceReport(
        len(films),
        mean_dice(float32, films),
        mean_dice(ptq, films),
        mean_dice(qat, films),
        budget,
        differing_pixels,
        compared_films,
        tuple(purity_violations(flatbuffer)),
        made_from,
    )
