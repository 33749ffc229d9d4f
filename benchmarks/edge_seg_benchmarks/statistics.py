"""Means with bootstrap intervals by patient: films of one patient are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_SEED = 20260101


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval (percentile bootstrap, Efron 1979) over `n` films of `patients` patients."""

    mean: float
    low: float
    high: float
    n: int
    patients: int


def bootstrap_mean(values: Sequence[float], patients: Sequence[str]) -> Estimate:
    """Mean over films; the interval resamples patients, each with all of its films.

    Args:
        values: one per film.
        patients: whose film each is.
    """
    data = np.asarray(values, np.float64)
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    sums, counts = np.bincount(owner, data), np.bincount(owner)
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(data.mean()), float(low), float(high), len(data), len(names))
