"""Two reports beside each other: what is significantly slower, faster, worse or better.

Other work on a machine adds time, in bursts and in spells of minutes, so what a network itself takes shows in its least
times (Chen & Revels 2016, arXiv:1608.04295); not in the very least, since clocks are raised for moments. A model is
slower where the least tenth of its times says so (Mann-Whitney) and their median is longer by more than machines repeat
themselves: as it is, and in proportion to a yardstick that was timed in the same rounds. The first alone would call a
slower minute a slower model; the second alone would praise a model that waits for the memory whenever the clock is low.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg_benchmarks.accuracy.scores import FilmScore, degradation
from edge_seg_benchmarks.accuracy.statistics import rank_test
from edge_seg_benchmarks.latency.stages import ALONE

SIGNIFICANT = 0.01
"""Below this p-value two times differ."""

LEAST_RATIO = 1.04
"""Smaller differences of time are nobody's concern, and no machine repeats itself better."""

_LEAST = 0.1
"""Share of the times that are thought undisturbed."""

_FEWEST = 5
"""Values of each, without which no difference is significant: five all below five others have p = 0.008."""

_MOST_MISSED = 0.0005
"""Dice that is lost with certainty and is yet too little to be called worse."""

_SAME_MACHINE = ("board", "processor", "extensions", "architecture", "cores")


def compare_reports(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What changed from one report to another.

    Args:
        base: a report (`report.json`).
        other: a later one, or one of another device.

    Returns:
        `same_machine`; `machine_ratio`, the yardstick's times, other to base, `None` where there is none of the same
        make in both; `latency`: per model, engine and number of threads `least_ms` (median of the least tenth),
        `p50_ms` and `p95_ms` of both, their `ratio`s (other to base, with `over_machine`, the first in proportion to
        the yardstick), `slowdown`, the smaller of these two, `p` of the times in proportion, and `verdict` (`slower`,
        `faster`, `same`, `too few`); `accuracy`: per model, data set and region the mean difference of Dice on the same
        films with its 95 % interval, and `verdict` (`worse`, `better`, `same`); `costs`: cold start, memory and size;
        `alone`: what only one of them has.
    """
    same = all(base["machine"].get(name) == other["machine"].get(name) for name in _SAME_MACHINE)
    ours, theirs = _timed(base), _timed(other)
    machine = _machine_ratio(base.get("yardstick"), other.get("yardstick")) if same else None
    first, second = {m["label"]: m for m in base["models"]}, {m["label"]: m for m in other["models"]}
    shared = [name for name in first if name in second]
    return {
        "same_machine": same,
        "machine_ratio": machine,
        "latency": [{**dict(zip(_KEY, key, strict=True)), **_compare_times(ours[key], theirs[key], machine or 1.0)}
                    for key in ours if key in theirs],
        "accuracy": [row for name in shared for row in _compare_scores(name, first[name], second[name])],
        "costs": [_compare_costs(name, first[name], second[name]) for name in shared],
        "alone": sorted({*first} ^ {*second}),
    }  # fmt: skip


_KEY = ("label", "engine", "threads")


def _timed(report: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Everything that was timed in inference, by model, engine and threads."""
    timed = {(m["label"], m["engine"], m["threads"]): m for m in report["models"]}
    return timed | {(run["label"], run["engine"], run["threads"]): run for run in report["runs"]}


def _machine_ratio(base: dict[str, Any] | None, other: dict[str, Any] | None) -> float | None:
    if base is None or other is None or base["what"] != other["what"]:
        return None
    ours, theirs = (np.median(_least(np.sort(found["samples_ms"]))) for found in (base, other))
    return float(theirs / ours)


def _least(times: np.ndarray) -> np.ndarray:
    """Those of sorted times that are thought undisturbed."""
    return times[: max(_FEWEST, round(len(times) * _LEAST))]


def _compare_times(base: dict[str, Any], other: dict[str, Any], machine: float) -> dict[str, Any]:
    ours, theirs = (np.sort(entry["samples_ms"][ALONE]) for entry in (base, other))
    least = [float(np.median(_least(times))) for times in (ours, theirs)]
    ratio = {
        "least": least[1] / least[0],
        "over_machine": least[1] / least[0] / machine,
        "p50": float(np.median(theirs) / np.median(ours)),
        "p95": float(np.percentile(theirs, 95) / np.percentile(ours, 95)),
    }
    slowdown, speedup = min(ratio["least"], ratio["over_machine"]), 1 / max(ratio["least"], ratio["over_machine"])
    p = rank_test(_least(ours).tolist(), (_least(theirs) / machine).tolist())
    verdict = "same"
    if min(len(ours), len(theirs)) < _FEWEST:
        verdict = "too few"
    elif p < SIGNIFICANT and slowdown > LEAST_RATIO:
        verdict = "slower"
    elif p < SIGNIFICANT and speedup > LEAST_RATIO:
        verdict = "faster"
    return {
        "least_ms": least,
        "p50_ms": [float(np.median(ours)), float(np.median(theirs))],
        "p95_ms": [float(np.percentile(ours, 95)), float(np.percentile(theirs, 95))],
        "ratio": ratio,
        "slowdown": slowdown,
        "p": p,
        "verdict": verdict,
    }


def _compare_scores(name: str, base: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for row in degradation(_scores(other), _scores(base)):
        verdict = "same"
        if row["high"] < 0 and row["mean"] < -_MOST_MISSED:
            verdict = "worse"
        elif row["low"] > 0 and row["mean"] > _MOST_MISSED:
            verdict = "better"
        rows.append({"label": name, **row, "verdict": verdict})
    return rows


def _scores(entry: dict[str, Any]) -> list[FilmScore]:
    return [FilmScore(**film) for film in entry["films"]]


def _compare_costs(name: str, base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    def both(what: str) -> list[float] | None:
        starts = base["cold_start"], other["cold_start"]
        return [start[what] for start in starts] if all(starts) else None

    return {
        "label": name,
        "cold_start_s": both("seconds"),
        "peak_rss_bytes": both("peak_rss_bytes"),
        "file_bytes": [base["file_bytes"], other["file_bytes"]],
    }
