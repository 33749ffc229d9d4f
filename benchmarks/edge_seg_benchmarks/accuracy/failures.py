"""Where a model fails first: the corruptions that cost most Dice, and the films they cost it on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge_seg_data.corruptions import CORRUPTIONS

from edge_seg_benchmarks.accuracy.robustness import CLEAN, CorruptedScore, summarise_corrupted

REGION = "whole_lung"
_COUNT = 3


def worst_failures(scores: Iterable[CorruptedScore]) -> list[dict[str, Any]]:
    """The corruptions under which the whole lung's mean Dice falls lowest, each with its worst dose and worst film.

    Args:
        scores: of the phantom.

    Returns:
        At most three, the worst first: `film`, `corruption`, `title`, `severity`, `dose`, `dice` of the film, and
        `mean` over `n` films.
    """
    of_region = [score for score in scores if score.region == REGION and score.corruption != CLEAN]
    worst: dict[str, dict[str, Any]] = {}
    for row in sorted(summarise_corrupted(of_region), key=lambda row: row["mean"]):
        worst.setdefault(row["corruption"], row)
    titles = {corruption.name: corruption.title for corruption in CORRUPTIONS}
    found = []
    for row in list(worst.values())[:_COUNT]:
        name, severity = row["corruption"], row["severity"]
        film = min((s for s in of_region if (s.corruption, s.severity) == (name, severity)), key=lambda s: s.dice)
        found.append(
            {
                "film": film.film,
                "corruption": name,
                "title": titles[name],
                "severity": severity,
                "dose": row["dose"],
                "dice": film.dice,
                "mean": row["mean"],
                "n": row["n"],
            }
        )
    return found
