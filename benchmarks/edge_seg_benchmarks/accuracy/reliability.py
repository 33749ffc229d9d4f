"""How reliable a model's estimate of its own Dice is: the estimate against the true Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from edge_seg.assessment.trust import LOW_TRUST

from edge_seg_benchmarks.accuracy.robustness import CLEAN, CorruptedScore
from edge_seg_benchmarks.accuracy.statistics import Interval, area_under_curve, bootstrap, spearman

REGIONS = ("whole_lung", "visible_lung")
"""The region whose Dice is compared: the first of these that a data set outlines."""

GOOD = 0.95
"""A film with a Dice above this should not be flagged."""

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
        with_corruptions: number of pairs: the films uncorrupted and under every corruption.
        poor: share of the pairs whose Dice is below `low_trust`.
        flagged: share whose bound, or estimate if there is no bound, is below it.
        spearman: rank correlation with its interval; `None` if undefined.
        auroc: for detecting poor films by a low estimate, with its interval; `None` if undefined.
        mean_absolute_error: of the estimate.
        bins: tenths by increasing estimate.
        covered: share of the pairs whose Dice reaches its bound; `None` without bounds.
        region: the scored region.
        bias: mean estimate minus mean Dice.
        poor_flagged: share of the poor pairs that are flagged; `None` without any.
        good_flagged: share of the pairs over `GOOD` that are flagged; `None` without any.
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
    region: str = REGIONS[0]
    bias: float = 0.0
    poor_flagged: float | None = None
    good_flagged: float | None = None


@dataclass(frozen=True)
class TrustFigures:
    """Reliability on every data set.

    Attributes:
        low_trust: a film is flagged if its bound, or its estimate if there is no bound, is below this.
        datasets: one row each.
        pairs: what the rows were computed from.
        uncorrupted: one row each, for the uncorrupted films.
    """

    low_trust: float
    datasets: tuple[Reliability, ...]
    pairs: tuple[EstimatePair, ...]
    uncorrupted: tuple[Reliability, ...] = ()


def measure_reliability(scores: Sequence[CorruptedScore], low_trust: float = LOW_TRUST) -> TrustFigures | None:
    """Estimated against true Dice of the lungs, on uncorrupted and corrupted films.

    Args:
        scores: of uncorrupted and corrupted films; those without an estimate or of other regions are skipped.

    Returns:
        `None` without any estimate.
    """
    known = [s for s in scores if s.region in REGIONS and s.estimate is not None]
    outlined = {key: {s.region for s in known if s.dataset == key} for key in {s.dataset for s in known}}
    looked_at = {key: next(region for region in REGIONS if region in found) for key, found in outlined.items()}
    pairs = [
        EstimatePair(s.dataset, s.split, s.film, s.patient, s.corruption, s.severity, s.estimate, s.dice, s.bound)
        for s in known
        if s.region == looked_at[s.dataset] and s.estimate is not None
    ]
    if not pairs:
        return None
    rows, as_they_are = [], []
    for key in dict.fromkeys((pair.dataset, pair.split) for pair in pairs):
        of_set = [pair for pair in pairs if (pair.dataset, pair.split) == key]
        plain = [pair for pair in of_set if pair.corruption == CLEAN]
        region = looked_at[key[0]]
        rows.append(summarise_reliability(of_set, low_trust, region))
        as_they_are += [summarise_reliability(plain, low_trust, region)] if plain else []
    return TrustFigures(low_trust, tuple(rows), tuple(pairs), tuple(as_they_are))


def summarise_reliability(
    pairs: Sequence[EstimatePair], low_trust: float = LOW_TRUST, region: str = REGIONS[0]
) -> Reliability:
    """Reliability on one data set.

    Args:
        pairs: of one data set and split, at least one.
        low_trust: see `TrustFigures`.
        region: the scored region.
    """
    patients = [pair.patient for pair in pairs]
    estimate = np.array([pair.estimate for pair in pairs], np.float64)
    truth = np.array([pair.dice for pair in pairs], np.float64)
    poor, good = truth < low_trust, truth > GOOD
    least = np.array([pair.estimate if pair.bound is None else pair.bound for pair in pairs], np.float64)
    flagged = least < low_trust
    bounded = all(pair.bound is not None for pair in pairs)
    bins = np.array_split(np.argsort(estimate, kind="stable"), min(_BINS, len(pairs)))
    return Reliability(
        pairs[0].dataset,
        pairs[0].split,
        len({pair.film for pair in pairs}),
        len(set(patients)),
        len(pairs),
        float(poor.mean()),
        float(flagged.mean()),
        bootstrap(lambda weights: spearman(estimate, truth, weights), patients),
        bootstrap(lambda weights: area_under_curve(-estimate, poor, weights), patients),
        float(np.abs(estimate - truth).mean()),
        tuple(EstimateBin(float(estimate[b].mean()), float(truth[b].mean()), len(b)) for b in bins),
        float(np.mean(truth >= least)) if bounded else None,
        region,
        float((estimate - truth).mean()),
        float(flagged[poor].mean()) if poor.any() else None,
        float(flagged[good].mean()) if good.any() else None,
    )
