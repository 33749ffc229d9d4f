"""Two reports beside each other: what is significantly slower, faster, worse or better.

Other work on a machine only ever adds time, in bursts and in spells of minutes, so what a network itself takes shows in
its least times (Chen & Revels 2016, arXiv:1608.04295). A model is slower where the least tenth of its times says so
(Mann-Whitney) and the least time of all is longer by more than any machine repeats itself.
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
        `same_machine`; `latency`: per model, engine and number of threads `least_ms`, `p50_ms` and `p95_ms` of both,
        their `ratio`s (other to base), `p`, and `verdict` (`slower`, `faster`, `same`, `too few`); `accuracy`: per
        model, data set and region the mean difference of Dice on the same films with its 95 % interval, and `verdict`
        (`worse`, `better`, `same`); `costs`: cold start, memory and size; `alone`: what only one of them has.
    """
    same = all(base["machine"].get(name) == other["machine"].get(name) for name in _SAME_MACHINE)
    ours, theirs = _timed(base), _timed(other)
    first, second = {m["label"]: m for m in base["models"]}, {m["label"]: m for m in other["models"]}
    shared = [name for name in first if name in second]
    return {
        "same_machine": same,
        "latency": [{**dict(zip(_KEY, key, strict=True)), **_compare_times(ours[key], theirs[key])}
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


def _compare_times(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    ours, theirs = (np.sort(entry["samples_ms"][ALONE]) for entry in (base, other))
    ratio = {
        "least": float(theirs[0] / ours[0]),
        "p50": float(np.median(theirs) / np.median(ours)),
        "p95": float(np.percentile(theirs, 95) / np.percentile(ours, 95)),
    }
    p = rank_test(*(times[: max(_FEWEST, round(len(times) * _LEAST))].tolist() for times in (ours, theirs)))
    verdict = "same"
    if min(len(ours), len(theirs)) < _FEWEST:
        verdict = "too few"
    elif p < SIGNIFICANT and max(ratio["least"], 1 / ratio["least"]) > LEAST_RATIO:
        verdict = "slower" if ratio["least"] > 1 else "faster"
    return {
        "least_ms": [float(ours[0]), float(theirs[0])],
        "p50_ms": [float(np.median(ours)), float(np.median(theirs))],
        "p95_ms": [float(np.percentile(ours, 95)), float(np.percentile(theirs, 95))],
        "ratio": ratio,
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
