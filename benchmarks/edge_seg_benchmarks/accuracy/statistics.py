"""Figures with bootstrap intervals by patient: films of one patient are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_SEED = 20260101


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` films of `patients` patients, with its 95 % interval (percentile bootstrap, Efron 1979)."""

    mean: float
    low: float
    high: float
    n: int
    patients: int


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval (percentile bootstrap, Efron 1979)."""

    value: float
    low: float
    high: float


def bootstrap_mean(values: Sequence[float], patients: Sequence[str]) -> Estimate:
    """Mean over films; the interval resamples patients, each with all of their films.

    Args:
        values: one per film.
        patients: the patient of each film.
    """
    data = np.asarray(values, np.float64)
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    sums, counts = np.bincount(owner, data), np.bincount(owner)
    drawn = _draws(len(names))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(data.mean()), float(low), float(high), len(data), len(names))


def bootstrap(figure: Callable[[np.ndarray], float | None], patients: Sequence[str]) -> Interval | None:
    """A figure over weighted films; its interval resamples patients, each with all of their films.

    Args:
        figure: computes the figure from one weight per film, `None` if undefined.
        patients: the patient of each film.

    Returns:
        `None` if the figure is undefined on the films themselves. Resamples on which it is undefined are skipped.
    """
    value = figure(np.ones(len(patients)))
    if value is None:
        return None
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    times = (np.bincount(drawn, minlength=len(names)) for drawn in _draws(len(names)))
    found = [
        resampled for resampled in (figure(counts[owner].astype(float)) for counts in times) if resampled is not None
    ]
    low, high = np.percentile(found or [value], (2.5, 97.5))
    return Interval(value, float(low), float(high))


def spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> float | None:
    """Rank correlation (Spearman 1904, Am J Psychol 15:72): Pearson's correlation of mid-ranks.

    Args:
        first, second: `(n,)` values.
        weights: `(n,)`, how often each value counts.

    Returns:
        `None` if one of them is constant.
    """
    centred = []
    for values in (first, second):
        below, same, place = _ranked(values, weights)
        ranks = (below + (same + 1) / 2)[place]
        centred.append(ranks - np.average(ranks, weights=weights))
    spread = np.sqrt([np.sum(weights * ranks**2) for ranks in centred]).prod()
    return float(np.sum(weights * centred[0] * centred[1]) / spread) if spread > 0 else None


def area_under_curve(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative; ties count half.

    By ranks (Hanley & McNeil 1982, Radiology 143:29).

    Args:
        scores: `(n,)`, higher where more likely positive.
        positive: `(n,)` bool.
        weights: `(n,)`, how often each value counts.

    Returns:
        `None` if all or none are positive.
    """
    pairs = float(weights[positive].sum() * weights[~positive].sum())
    if not pairs:
        return None
    below, same, place = _ranked(scores, np.where(positive, 0, weights))
    return float(np.sum((weights * (below + same / 2)[place])[positive]) / pairs)


def _draws(patients: int) -> np.ndarray:
    """Patients drawn with replacement, `(RESAMPLES, patients)`, from a fixed seed."""
    return np.random.default_rng(_SEED).integers(0, patients, (RESAMPLES, patients))


def _ranked(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each distinct value the weight below it and at it, and for each value the index of its distinct value."""
    distinct, place = np.unique(values, return_inverse=True)
    same = np.bincount(place, weights, len(distinct))
    return np.cumsum(same) - same, same, place


def rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p-value of the Mann-Whitney U test (Mann & Whitney 1947) that neither sample tends to be larger.

    1 if a sample has fewer than two values or all values are equal.
    """
    if len(first) < 2 or len(second) < 2 or len({*first, *second}) == 1:
        return 1.0
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(first, second).pvalue)
