"""How a model stands up to what the field does to films: Dice under named corruptions in graded doses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from edge_seg import Segmenter
from edge_seg.corruptions import CORRUPTIONS, SEVERITIES, Corruption
from edge_seg.datasets import Dataset, truth_regions
from edge_seg.scores import dice

from edge_seg_benchmarks.accuracy import main_region, scored_films
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
    doses: list[tuple[str, int, float, Corruption | None]] = [(CLEAN, 0, 0.0, None)]
    doses += [(c.name, severity, c.doses[severity - 1], c) for c in CORRUPTIONS for severity in SEVERITIES]
    rows = []
    for dataset in datasets:
        films = scored_films(dataset, split, limit)
        found: dict[tuple[str, int, float, str], list[tuple[float, str]]] = {}
        for labelled in films:
            film, outlines = labelled.load()
            for name, severity, dose, corruption in doses:
                seen, planes = corruption(film, outlines, severity) if corruption else (film, outlines)
                predicted = segmenter(seen).regions
                for region, (truth, valid) in truth_regions(planes).items():
                    if region in predicted:
                        score = dice(truth, predicted[region], valid), labelled.patient
                        found.setdefault((name, severity, dose, region), []).append(score)
        for (name, severity, dose, region), group in found.items():
            estimate = bootstrap_mean([value for value, _ in group], [patient for _, patient in group])
            what = {"region": region, "corruption": name, "severity": severity, "dose": dose}
            rows.append({"dataset": dataset.name, "split": split, **what, **asdict(estimate)})
        say(f"{dataset.name}: {len(films)} films under {len(CORRUPTIONS)} corruptions")
    return rows


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
