"""Known failures: the corruptions that cost a model the most Dice, and the worst film under each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_seg_data.corruptions import CORRUPTIONS

from edge_seg_benchmarks.accuracy.robustness import CLEAN, CorruptedDice, CorruptedScore, summarise_corrupted

REGION = "whole_lung"
_COUNT = 3


@dataclass(frozen=True)
class KnownFailure:
    """A corruption at its worst dose, and the film with the lowest Dice.

    Attributes:
        film: name of the film.
        corruption, title, severity, dose: see `edge_seg_data.corruptions.Corruption`.
        dice: of this film.
        mean: mean Dice over `n` films.
    """

    film: str
    corruption: str
    title: str
    severity: int
    dose: float
    dice: float
    mean: float
    n: int


def worst_failures(scores: Iterable[CorruptedScore]) -> list[KnownFailure]:
    """The corruptions with the lowest mean Dice of the whole lung, at most three, the worst first.

    Args:
        scores: of the phantom.
    """
    of_region = [score for score in scores if score.region == REGION and score.corruption != CLEAN]
    worst: dict[str, CorruptedDice] = {}
    for row in sorted(summarise_corrupted(of_region), key=lambda row: row.mean):
        worst.setdefault(row.corruption, row)
    titles = {corruption.name: corruption.title for corruption in CORRUPTIONS}
    found = []
    for row in list(worst.values())[:_COUNT]:
        name, severity = row.corruption, row.severity
        film = min((s for s in of_region if (s.corruption, s.severity) == (name, severity)), key=lambda s: s.dice)
        found.append(KnownFailure(film.film, name, titles[name], severity, row.dose, film.dice, row.mean, row.n))
    return found
