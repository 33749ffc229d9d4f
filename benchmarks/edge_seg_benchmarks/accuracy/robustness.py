"""How a model stands up to what the field does to films: Dice under named corruptions in graded doses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from edge_seg import Segmenter
from edge_seg_data import Dataset, LabelledFilm, truth_regions
from edge_seg_data.corruptions import CORRUPTIONS, SEVERITIES, Corruption
from edge_seg_data.scores import dice

from edge_seg_benchmarks.accuracy.score_cache import Journal
from edge_seg_benchmarks.accuracy.scores import scored_films
from edge_seg_benchmarks.accuracy.statistics import bootstrap_mean

CLEAN = "none"


@dataclass(frozen=True)
class CorruptedScore:
    """Dice of one region on one film under one corruption, and the model's own estimate of the whole lung's Dice."""

    dataset: str
    split: str
    film: str
    patient: str
    region: str
    corruption: str
    severity: int
    dose: float
    dice: float
    estimate: float | None


def score_corrupted(
    segmenter: Segmenter,
    dataset: Dataset,
    split: str,
    limit: int,
    say: Callable[[str], None],
    journal: Journal | None = None,
) -> list[CorruptedScore]:
    """Dice of every region on films as they are and under every corruption in every dose.

    Args:
        segmenter: without gate, so that every film is scored.
        dataset: to corrupt.
        split: of its films.
        limit: at most so many films, evenly spaced.
        say: told of progress.
        journal: where given, scores that stand there are taken from it, others are put there.

    Raises:
        InputError: the data set has no films to score.
    """
    films = scored_films(dataset, split, limit)
    scores = []
    for labelled in films:
        key = ["corrupted", segmenter.manifest.flatbuffer_sha256, segmenter.runtime.name, dataset.name, labelled.name]
        known = journal.get(key) if journal is not None else None
        found = (
            [CorruptedScore(**score) for score in known] if known else _score(segmenter, dataset.name, split, labelled)
        )
        if journal is not None and not known:
            journal.put(key, [asdict(score) for score in found])
        scores += found
    say(f"{dataset.name}: {len(films)} films under {len(CORRUPTIONS)} corruptions")
    return scores


def _score(segmenter: Segmenter, dataset: str, split: str, labelled: LabelledFilm) -> list[CorruptedScore]:
    doses: list[tuple[str, int, float, Corruption | None]] = [(CLEAN, 0, 0.0, None)]
    doses += [(c.name, severity, c.doses[severity - 1], c) for c in CORRUPTIONS for severity in SEVERITIES]
    film, outlines = labelled.load()
    of_film = partial(CorruptedScore, dataset, split, labelled.name, labelled.patient)
    scores = []
    for name, severity, dose, corruption in doses:
        seen, planes = corruption(film, outlines, severity) if corruption else (film, outlines)
        result = segmenter(seen)
        predicted = result.regions
        for region, (truth, valid) in truth_regions(planes).items():
            if region in predicted:
                value = dice(truth, predicted[region], valid)
                scores.append(of_film(region, name, severity, dose, value, result.trust))
    return scores


def summarise_corrupted(scores: Iterable[CorruptedScore]) -> list[dict[str, Any]]:
    """Mean Dice with its interval, per data set, corruption and region; the first rows are of films as they are."""
    groups: dict[tuple[str, str, str, str, int, float], list[CorruptedScore]] = {}
    for s in scores:
        groups.setdefault((s.dataset, s.split, s.region, s.corruption, s.severity, s.dose), []).append(s)
    names = ("dataset", "split", "region", "corruption", "severity", "dose")
    return [
        {
            **dict(zip(names, key, strict=True)),
            **asdict(bootstrap_mean([s.dice for s in group], [s.patient for s in group])),
        }
        for key, group in groups.items()
    ]
