"""How reliable a model's estimate of its own Dice is: the estimate against the true Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from edge_seg.assessment.trust import LOW_TRUST

from edge_seg_benchmarks.accuracy.robustness import CorruptedScore
from edge_seg_benchmarks.accuracy.statistics import Interval, area_under_curve, bootstrap, spearman

REGION = "whole_lung"
"""The region whose Dice is estimated."""

_BINS = 10


@dataclass(frozen=True)
class EstimatePair:
    """Estimated and true Dice of one film under one corruption, and the estimate's lower bound if it has one."""

    dataset: str
    split: str
    film: str
    patient: str
    corruption: str
    severity: int
    estimate: float
    dice: float
    bound: float | None = None


@dataclass(frozen=True)
class EstimateBin:
    """Mean estimate and mean Dice of `n` films with similar estimates."""

    estimate: float
    dice: float
    n: int


@dataclass(frozen=True)
class Reliability:
    """How reliable the estimate is on one data set.

    Attributes:
        films, patients: how many.
        with_corruptions: pairs: the films as they are and under every corruption.
        poor: share of the pairs whose Dice is below `LOW_TRUST`.
        flagged: share whose bound is below it, or whose estimate is where there is no bound.
        spearman: rank correlation with its interval; `None` where it is not defined.
        auroc: of finding poor films by a low estimate, with its interval; `None` where it is not defined.
        mean_absolute_error: of the estimate.
        bins: tenths by rising estimate.
        covered: share of the pairs whose Dice reaches its bound; `None` without bounds.
    """

    dataset: str
    split: str
    films: int
    patients: int
    with_corruptions: int
    poor: float
    flagged: float
    spearman: Interval | None
    auroc: Interval | None
    mean_absolute_error: float
    bins: tuple[EstimateBin, ...]
    covered: float | None = None


@dataclass(frozen=True)
class TrustFigures:
    """Reliability on every data set.

    Attributes:
        low_trust: a film with a lower estimate is flagged.
        datasets: a row each.
        pairs: what the rows were computed from.
    """

    low_trust: float
    datasets: tuple[Reliability, ...]
    pairs: tuple[EstimatePair, ...]


def measure_reliability(scores: Sequence[CorruptedScore]) -> TrustFigures | None:
    """Estimated against true Dice of the whole lung, on films as they are and corrupted.

    Args:
        scores: of `score_corrupted`; scores without an estimate, or of other regions, are skipped.

    Returns:
        `None` without any estimate.
    """
    pairs = [
        EstimatePair(s.dataset, s.split, s.film, s.patient, s.corruption, s.severity, s.estimate, s.dice, s.bound)
        for s in scores
        if s.region == REGION and s.estimate is not None
    ]
    if not pairs:
        return None
    datasets = dict.fromkeys((pair.dataset, pair.split) for pair in pairs)
    rows = [summarise_reliability([pair for pair in pairs if (pair.dataset, pair.split) == key]) for key in datasets]
    return TrustFigures(LOW_TRUST, tuple(rows), tuple(pairs))


def summarise_reliability(pairs: Sequence[EstimatePair]) -> Reliability:
    """Reliability on one data set.

    Args:
        pairs: of one data set and split, at least one.
    """
    patients = [pair.patient for pair in pairs]
    estimate = np.array([pair.estimate for pair in pairs], np.float64)
    truth = np.array([pair.dice for pair in pairs], np.float64)
    poor = truth < LOW_TRUST
    least = np.array([pair.estimate if pair.bound is None else pair.bound for pair in pairs], np.float64)
    bounded = all(pair.bound is not None for pair in pairs)
    bins = np.array_split(np.argsort(estimate, kind="stable"), min(_BINS, len(pairs)))
    return Reliability(
        pairs[0].dataset,
        pairs[0].split,
        len({pair.film for pair in pairs}),
        len(set(patients)),
        len(pairs),
        float(poor.mean()),
        float(np.mean(least < LOW_TRUST)),
        bootstrap(lambda weights: spearman(estimate, truth, weights), patients),
        bootstrap(lambda weights: area_under_curve(-estimate, poor, weights), patients),
        float(np.abs(estimate - truth).mean()),
        tuple(EstimateBin(float(estimate[b].mean()), float(truth[b].mean()), len(b)) for b in bins),
        float(np.mean(truth >= least)) if bounded else None,
    )
