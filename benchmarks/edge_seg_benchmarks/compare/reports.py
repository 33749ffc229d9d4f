"""Comparison of two reports: what is significantly slower, faster, worse or better.

Other work on a machine adds time, in bursts and in spells of minutes, so the shortest times show what a network itself
takes (Chen & Revels 2016, arXiv:1608.04295); not the single shortest, since clocks are boosted briefly. A model is
slower if the shortest tenth of its times differs (Mann-Whitney) and their median is longer by more than a machine's own
variation, both as measured and relative to the reference timing of the same rounds. The first ratio alone would call a
model slower because the machine was; the second alone would call a model faster if it waits for memory while the clock
is low.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_seg_benchmarks.accuracy.scores import DiceDifference, dice_differences
from edge_seg_benchmarks.accuracy.statistics import rank_test
from edge_seg_benchmarks.latency.reference_timing import ReferenceTimes
from edge_seg_benchmarks.latency.stages import ALONE
from edge_seg_benchmarks.schema import ModelReport, Report

SIGNIFICANT = 0.01
"""Two times differ below this p-value."""

LEAST_RATIO = 1.04
"""Smaller ratios of times are ignored: no machine is more repeatable than that."""

_LEAST = 0.1
"""Share of the times taken as undisturbed."""

_FEWEST = 5
"""Minimum number of values for a verdict: five that are all below five others give p = 0.008."""

_MOST_LOST = 0.0005
"""A smaller loss of Dice is not called worse, however certain it is."""

_SAME_MACHINE = ("board", "processor", "extensions", "architecture", "cores")

Pair = tuple[float, float]
"""A figure of the base and of the other report."""


@dataclass(frozen=True)
class TimeRatios:
    """Ratios of times, other to base.

    Attributes:
        least: of the medians of the shortest tenth.
        over_machine: `least` divided by the ratio of the reference times.
        p50, p95: of these percentiles.
    """

    least: float
    over_machine: float
    p50: float
    p95: float


@dataclass(frozen=True)
class TimeComparison:
    """Two sets of times of the same inference.

    Attributes:
        least_ms, p50_ms, p95_ms: median of the shortest tenth, and percentiles.
        ratio: other to base.
        slowdown: the smaller of `ratio.least` and `ratio.over_machine`.
        p: for the shortest tenths, corrected for the reference timing's ratio.
        verdict: `slower`, `faster`, `same`, or `too few`.
    """

    least_ms: Pair
    p50_ms: Pair
    p95_ms: Pair
    ratio: TimeRatios
    slowdown: float
    p: float
    verdict: str


@dataclass(frozen=True)
class LatencyComparison(TimeComparison):
    """Times of one model on one engine with a number of threads."""

    label: str
    engine: str
    threads: int


@dataclass(frozen=True)
class AccuracyComparison(DiceDifference):
    """Difference of Dice on the same films; `verdict` is `worse`, `better` or `same`."""

    label: str
    verdict: str


@dataclass(frozen=True)
class CostComparison:
    """Costs of one model; `None` if either report lacks them."""

    label: str
    cold_start_s: Pair | None
    peak_rss_bytes: Pair | None
    file_bytes: Pair


@dataclass(frozen=True)
class Comparison:
    """What changed from one report to another.

    Attributes:
        name: of the other report.
        same_machine: whether both were measured on the same one.
        machine_ratio: of the reference times, other to base; `None` if they are not comparable.
        latency: per model, engine and number of threads.
        accuracy: per model, data set and region.
        costs: per model.
        alone: labels of models that are in only one report.
        missing: labels of models that are only in the base.
        dice_gaps: why Dice of models in the base could not be compared; empty if all of it was.
        time_gaps: the same for times of models in both reports.
    """

    name: str
    same_machine: bool
    machine_ratio: float | None
    latency: tuple[LatencyComparison, ...]
    accuracy: tuple[AccuracyComparison, ...]
    costs: tuple[CostComparison, ...]
    alone: tuple[str, ...]
    missing: tuple[str, ...]
    dice_gaps: tuple[str, ...]
    time_gaps: tuple[str, ...]


def compare_reports(base: Report, other: Report, name: str = "") -> Comparison:
    """Compare a later report, or one from another device, with a base.

    Args:
        base, other: the reports.
        name: of the other report.
    """
    same = all(getattr(base.machine, fact) == getattr(other.machine, fact) for fact in _SAME_MACHINE)
    ratio = machine_ratio(base.reference_timing, other.reference_timing) if same else None
    ours, theirs = _timed(base), _timed(other)
    first, second = {m.label: m for m in base.models}, {m.label: m for m in other.models}
    shared = [label for label in first if label in second]
    return Comparison(
        name=name,
        same_machine=same,
        machine_ratio=ratio,
        latency=tuple(
            LatencyComparison(
                **vars(compare_times(ours[label, engine, threads], theirs[label, engine, threads], ratio)),
                label=label,
                engine=engine,
                threads=threads,
            )
            for label, engine, threads in ours
            if (label, engine, threads) in theirs
        ),
        accuracy=tuple(row for label in shared for row in _compare_scores(first[label], second[label])),
        costs=tuple(_compare_costs(first[label], second[label]) for label in shared),
        alone=tuple(sorted({*first} ^ {*second})),
        missing=tuple(label for label in first if label not in second),
        dice_gaps=tuple(_dice_gaps(base, second)),
        time_gaps=tuple(
            f"{label} was not timed on {engine} with {threads} threads"
            for label, engine, threads in ours
            if label in second and (label, engine, threads) not in theirs
        ),
    )


def _timed(report: Report) -> dict[tuple[str, str, int], tuple[float, ...]]:
    """Times of inference alone, by model, engine and threads."""
    times = {(m.label, m.engine, m.threads): m.samples_ms[ALONE] for m in report.models}
    for model in report.models:
        times |= {(model.label, one.engine, one.threads): one.samples_ms[ALONE] for one in model.configurations}
    return times


def machine_ratio(base: ReferenceTimes | None, other: ReferenceTimes | None) -> float | None:
    """Ratio of the shortest reference times; `None` if one is missing or they timed different arithmetic."""
    if base is None or other is None or base.what != other.what:
        return None
    ours, theirs = (np.median(_least(np.sort(times.samples_ms))) for times in (base, other))
    return float(theirs / ours)


def _least(times: np.ndarray) -> np.ndarray:
    """The undisturbed part of sorted times."""
    return times[: max(_FEWEST, round(len(times) * _LEAST))]


def compare_times(base: Sequence[float], other: Sequence[float], ratio_of_machine: float | None) -> TimeComparison:
    """Compare times of the same inference.

    Args:
        base, other: in milliseconds, at least one each.
        ratio_of_machine: see `machine_ratio`.
    """
    machine = ratio_of_machine or 1.0
    ours, theirs = np.sort(base), np.sort(other)
    least, p50, p95 = (
        (float(figure(ours)), float(figure(theirs)))
        for figure in (lambda times: np.median(_least(times)), np.median, lambda times: np.percentile(times, 95))
    )
    ratio = TimeRatios(least[1] / least[0], least[1] / least[0] / machine, p50[1] / p50[0], p95[1] / p95[0])
    slowdown, speedup = min(ratio.least, ratio.over_machine), 1 / max(ratio.least, ratio.over_machine)
    p = rank_test(_least(ours).tolist(), (_least(theirs) / machine).tolist())
    verdict = "same"
    if min(len(ours), len(theirs)) < _FEWEST:
        verdict = "too few"
    elif p < SIGNIFICANT and slowdown > LEAST_RATIO:
        verdict = "slower"
    elif p < SIGNIFICANT and speedup > LEAST_RATIO:
        verdict = "faster"
    return TimeComparison(least, p50, p95, ratio, slowdown, p, verdict)


def _compare_scores(base: ModelReport, other: ModelReport) -> list[AccuracyComparison]:
    rows = []
    for row in dice_differences(other.films, base.films):
        verdict = "same"
        if row.high < 0 and row.mean < -_MOST_LOST:
            verdict = "worse"
        elif row.low > 0 and row.mean > _MOST_LOST:
            verdict = "better"
        rows.append(AccuracyComparison(**vars(row), label=base.label, verdict=verdict))
    return rows


def _dice_gaps(base: Report, others: Mapping[str, ModelReport]) -> Iterator[str]:
    scored = [model for model in base.models if model.films]
    if not scored:
        yield "the base has no scores"
    for model in scored:
        if model.label not in others:
            yield f"{model.label} is only in the base"
            continue
        known = {(film.dataset, film.region, film.film) for film in others[model.label].films}
        for dataset, region in dict.fromkeys((film.dataset, film.region) for film in model.films):
            films = {film.film for film in model.films if (film.dataset, film.region) == (dataset, region)}
            missing = sum((dataset, region, film) not in known for film in films)
            if missing:
                found = f"{len(films) - missing} of the {len(films)} films of {dataset}, {region.replace('_', ' ')}"
                yield f"{model.label} was scored on {found}"


def _compare_costs(base: ModelReport, other: ModelReport) -> CostComparison:
    ours, theirs = base.cold_start, other.cold_start
    return CostComparison(
        base.label,
        (ours.seconds, theirs.seconds) if ours and theirs else None,
        (ours.peak_rss_bytes, theirs.peak_rss_bytes) if ours and theirs else None,
        (base.file_bytes, other.file_bytes),
    )
