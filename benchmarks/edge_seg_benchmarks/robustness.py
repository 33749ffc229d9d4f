"""How a model stands up to what the field does to films: Dice under named corruptions in graded doses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from edge_seg import Segmenter
from edge_seg.corruptions import CORRUPTIONS, SEVERITIES
from edge_seg.datasets import Dataset, LabelledFilm

from edge_seg_benchmarks.accuracy import main_region, score_film, scored_films
from edge_seg_benchmarks.statistics import bootstrap_mean

CLEAN = "none"


def measure_robustness(
    segmenter: Segmenter, datasets: Sequence[Dataset], split: str, limit: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Mean Dice with its interval, per data set, region and corruption; the first row of each is the film as it is.

    Args:
        segmenter: without gate, so that every film is scored.
        datasets: to corrupt.
        split: of their films.
        limit: at most so many films of each, evenly spaced.
        say: told of progress.

    Raises:
        InputError: a data set has no films to score.
    """
    rows = []
    for dataset in datasets:
        films = scored_films(dataset, split, limit)
        for name, severity, dose, change in _changes():
            found = [score for film in films for score in score_film(segmenter, dataset.name, change(film))]
            for region in dict.fromkeys(score.region for score in found):
                group = [score for score in found if score.region == region]
                estimate = bootstrap_mean([score.dice for score in group], [score.patient for score in group])
                rows.append(
                    {
                        "dataset": dataset.name,
                        "split": split,
                        "region": region,
                        "corruption": name,
                        "severity": severity,
                        "dose": dose,
                        **asdict(estimate),
                    }
                )
        say(f"{dataset.name}: {len(films)} films under {len(CORRUPTIONS)} corruptions")
    return rows


def _changes() -> list[tuple[str, int, float, Callable[[LabelledFilm], LabelledFilm]]]:
    changes: list[tuple[str, int, float, Callable[[LabelledFilm], LabelledFilm]]] = [(CLEAN, 0, 0.0, lambda film: film)]
    for corruption in CORRUPTIONS:
        for severity in SEVERITIES:

            def change(film: LabelledFilm, corruption: Any = corruption, severity: int = severity) -> LabelledFilm:
                return replace(film, read=lambda: corruption(*film.load(), severity))

            changes.append((corruption.name, severity, corruption.doses[severity - 1], change))
    return changes


def robustness_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows for a page, each data set's main region alone: a line per corruption with `clean` and `doses`."""
    lines = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        of_set = [row for row in rows if row["dataset"] == dataset]
        region = main_region(row["region"] for row in of_set)
        of_region = [row for row in of_set if row["region"] == region]
        clean = next(row for row in of_region if row["corruption"] == CLEAN)
        for corruption in CORRUPTIONS:
            doses = [row for row in of_region if row["corruption"] == corruption.name]
            lines.append({"name": corruption.name, "title": corruption.title, "clean": clean, "doses": doses})
    return lines
