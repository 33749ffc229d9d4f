"""Robustness: Dice under named corruptions at five doses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial

from edge_seg import Segmenter
from edge_seg_data import Dataset, LabelledFilm, truth_regions
from edge_seg_data.corruptions import CORRUPTIONS, SEVERITIES, Corruption
from edge_seg_data.scores import dice

from edge_seg_benchmarks.accuracy.score_cache import ScoreCache, cache_key
from edge_seg_benchmarks.accuracy.scores import FilmScore, own_estimate, scored_films
from edge_seg_benchmarks.accuracy.statistics import Estimate, bootstrap_mean

CLEAN = "none"


@dataclass(frozen=True)
class CorruptedScore:
    """Dice of one region on one film under one corruption, and the model's own estimate of it.

    `bound` is the lower bound of the estimate; both are `None` if the model has none.
    """

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
    bound: float | None = None


@dataclass(frozen=True)
class CorruptedDice(Estimate):
    """Mean Dice of one region on one data set under one corruption at one dose; `corruption` is `none` without one."""

    dataset: str
    split: str
    region: str
    corruption: str
    severity: int
    dose: float


def score_corrupted(
    segmenter: Segmenter,
    dataset: Dataset,
    split: str,
    limit: int,
    say: Callable[[str], None],
    cache: ScoreCache | None = None,
) -> list[CorruptedScore]:
    """Dice of every region on uncorrupted films and under every corruption at every dose.

    Args:
        segmenter: without film gate, so that every film is scored.
        dataset: to corrupt.
        split: of its films.
        limit: at most this many films, evenly spaced.
        say: receives progress messages.
        cache: read before scoring, and filled.

    Raises:
        InputError: the data set has no films to score.
    """
    films = scored_films(dataset, split, limit)
    scores = []
    for labelled in films:
        key = cache_key(segmenter, dataset, labelled, "corrupted", split)
        known = cache.get(key) if cache is not None else None
        found = (
            [CorruptedScore(**score) for score in known] if known else _score(segmenter, dataset.name, split, labelled)
        )
        if cache is not None and not known:
            cache.put(key, [asdict(score) for score in found])
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
                found = own_estimate(result, region)
                scores.append(of_film(region, name, severity, dose, value, found.dice, found.bound))
    return scores


def as_they_are(films: Iterable[FilmScore], split: str) -> list[CorruptedScore]:
    """Scores of films without any corruption, under the name of the split that was asked for, which may be `all`."""
    return [
        CorruptedScore(f.dataset, split, f.film, f.patient, f.region, CLEAN, 0, 0.0, f.dice, f.estimate, f.bound)
        for f in films
    ]


def summarise_corrupted(scores: Iterable[CorruptedScore]) -> list[CorruptedDice]:
    """Mean Dice per data set, region, corruption and dose; uncorrupted films come first."""
    groups: dict[tuple[str, str, str, str, int, float], list[CorruptedScore]] = {}
    for s in scores:
        groups.setdefault((s.dataset, s.split, s.region, s.corruption, s.severity, s.dose), []).append(s)
    rows = []
    for (dataset, split, region, corruption, severity, dose), group in groups.items():
        estimate = bootstrap_mean([s.dice for s in group], [s.patient for s in group])
        rows.append(
            CorruptedDice(
                **vars(estimate),
                dataset=dataset,
                split=split,
                region=region,
                corruption=corruption,
                severity=severity,
                dose=dose,
            )
        )
    return rows
