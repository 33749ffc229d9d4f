"""How reliable an estimate of Dice is: rank statistics that can be checked by hand, and their intervals."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from edge_seg.assessment.trust import LOW_TRUST
from edge_seg_benchmarks.accuracy.reliability import EstimatePair, measure_reliability, summarise_reliability
from edge_seg_benchmarks.accuracy.robustness import CorruptedScore
from edge_seg_benchmarks.accuracy.statistics import Interval, area_under_curve, bootstrap, spearman
from edge_seg_benchmarks.report.pictures import plot_reliability


def once(values: np.ndarray) -> np.ndarray:
    return np.ones(len(values))


def test_rank_correlation_by_hand() -> None:
    rising = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(rising, rising**3, once(rising)) == pytest.approx(1)
    assert spearman(rising, -np.exp(rising), once(rising)) == pytest.approx(-1)
    # Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15).
    assert spearman(rising, np.array([2.0, 1.0, 4.0, 3.0]), once(rising)) == pytest.approx(0.6)
    # Mid-ranks 1.5 1.5 3.5 3.5 against 1 2 3 4.
    assert spearman(np.array([5.0, 5.0, 7.0, 7.0]), rising, once(rising)) == pytest.approx(4 / np.sqrt(20))
    assert spearman(np.ones(4), rising, once(rising)) is None


def test_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.3
    pairs = list(product(scores[positive], scores[~positive]))
    expected = np.mean([1.0 if high > low else 0.5 if high == low else 0.0 for high, low in pairs])
    assert area_under_curve(scores, positive, once(scores)) == pytest.approx(expected)
    assert area_under_curve(scores, np.zeros(40, bool), once(scores)) is None
    assert area_under_curve(scores, np.ones(40, bool), once(scores)) is None


def test_a_weight_is_so_many_films() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 5, 30).astype(float), rng.integers(0, 5, 30).astype(float)
    times = rng.integers(0, 4, 30)
    many, others = np.repeat(first, times), np.repeat(second, times)
    assert spearman(first, second, times.astype(float)) == pytest.approx(spearman(many, others, once(many)))
    positive = second > 2
    found = area_under_curve(first, positive, times.astype(float))
    assert found == pytest.approx(area_under_curve(many, np.repeat(positive, times), once(many)))


@pytest.mark.slow
def test_the_interval_is_by_patient() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.uniform(0.5, 1, 12), 8)
    estimate = np.repeat(truth[::8] + rng.normal(0, 0.15, 12), 8)
    alone = bootstrap(lambda weights: spearman(estimate, truth, weights), [str(i) for i in range(96)])
    grouped = bootstrap(lambda weights: spearman(estimate, truth, weights), [str(i // 8) for i in range(96)])
    assert alone is not None
    assert grouped is not None
    assert alone.value == grouped.value
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
    assert grouped.low <= grouped.value <= grouped.high
    assert bootstrap(lambda weights: None, ["a"]) is None


def score(film: int, truth: float, estimate: float | None, **changed: Any) -> CorruptedScore:
    plain = CorruptedScore("d", "test", f"f{film}", f"p{film // 2}", "whole_lung", "none", 0, 0.0, truth, estimate)
    return replace(plain, **changed)


@pytest.mark.slow
def test_estimates_are_held_against_the_truth() -> None:
    truth = np.linspace(0.5, 0.98, 40)
    found = measure_reliability([score(i, value, value + 0.01) for i, value in enumerate(truth)])
    assert found is not None
    row = found.datasets[0]
    assert (row.films, row.patients, row.with_corruptions) == (40, 20, 40)
    assert row.spearman is not None
    assert asdict(row.spearman) == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert row.auroc == Interval(1, 1, 1)
    assert row.mean_absolute_error == pytest.approx(0.01)
    assert row.poor == np.mean(truth < LOW_TRUST)
    assert row.flagged == np.mean(truth + 0.01 < LOW_TRUST)
    assert [tenth.n for tenth in row.bins] == [4] * 10
    assert asdict(row.bins[0]) == pytest.approx({"estimate": truth[:4].mean() + 0.01, "dice": truth[:4].mean(), "n": 4})


@pytest.mark.slow
def test_a_film_is_flagged_by_its_bound_where_it_has_one_and_bounds_are_counted() -> None:
    truth = np.linspace(0.5, 0.98, 40)
    found = measure_reliability(
        [score(i, v, v + 0.01, bound=v + (0.02 if i < 4 else -0.1)) for i, v in enumerate(truth)]
    )
    assert found is not None
    row = found.datasets[0]
    assert row.covered == 0.9
    assert row.flagged == np.mean((truth - 0.1 < LOW_TRUST) | (truth + 0.02 < LOW_TRUST) & (np.arange(40) < 4))


@pytest.mark.slow
def test_estimates_that_tell_nothing_are_told_as_such() -> None:
    rng = np.random.default_rng(3)
    pairs = [
        EstimatePair("d", "test", str(i), str(i), "none", 0, a, b)
        for i, (a, b) in enumerate(rng.uniform(0.7, 1, (200, 2)))
    ]
    row = summarise_reliability(pairs)
    assert row.spearman is not None
    assert row.spearman.low < 0 < row.spearman.high
    assert row.auroc is not None
    assert row.auroc.low < 0.5 < row.auroc.high


def test_what_is_not_defined_is_none() -> None:
    good = [score(i, 0.95 + i / 1000, 0.9) for i in range(6)]
    found = measure_reliability(good)
    assert found is not None
    row = found.datasets[0]
    assert (row.spearman, row.auroc, row.poor) == (None, None, 0)


@pytest.mark.slow
def test_the_whole_lung_counts_where_it_is_outlined_and_data_sets_stay_apart() -> None:
    visible = [score(i, 0.9, 0.9, region="visible_lung") for i in range(3)]
    assert measure_reliability([score(i, 0.9, None) for i in range(3)]) is None
    other = score(0, 0.7, 0.6, region="visible_lung", dataset="e")
    found = measure_reliability([*visible, score(0, 0.9, 0.8), other])
    assert found is not None
    assert [row.region for row in found.datasets] == ["whole_lung", "visible_lung"]
    assert [(row.dataset, row.with_corruptions) for row in found.datasets] == [("d", 1), ("e", 1)]
    assert [(pair.estimate, pair.dice) for pair in found.pairs] == [(0.8, 0.9), (0.6, 0.7)]
    assert plot_reliability(found).startswith(b"\x89PNG")


@pytest.mark.slow
def test_films_as_they_are_are_told_apart_from_corrupted_ones() -> None:
    plain = [score(0, 0.99, 0.97), score(1, 0.8, 0.92), score(2, 0.7, 0.75)]
    corrupted = [replace(score(i, 0.5, 0.9), corruption="blur", severity=1) for i in range(3)]
    found = measure_reliability([*plain, *corrupted], low_trust=0.9)
    assert found is not None
    assert found.datasets[0].with_corruptions == 6
    row = found.uncorrupted[0]
    assert (row.with_corruptions, row.poor_flagged, row.good_flagged) == (3, 0.5, 0.0)
    assert row.bias == pytest.approx((0.97 + 0.92 + 0.75 - 0.99 - 0.8 - 0.7) / 3)
