"""Two reports beside each other: what is significantly slower, faster, worse or better.

A machine is not the same twice: within a run neighbouring rounds are alike, and between runs its pace drifts. So
rounds are put together in blocks, of each the least disturbed time counts, and that in units of a fixed piece of work
that was timed in the same rounds. A model is slower only where the blocks say so (Mann-Whitney) and the ratio is larger
than what blocks of one run differ by.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edge_seg_benchmarks.accuracy import FilmScore, degradation
from edge_seg_benchmarks.statistics import rank_test

SIGNIFICANT = 0.01
"""Below this p-value two times differ."""

LEAST_RATIO = 1.04
"""Smaller differences of time are nobody's concern, and no machine repeats itself better."""

_BLOCKS = 12
_QUIET = 10
"""Percentile that stands for a block: other work on the machine only ever adds time."""

_MOST_MISSED = 0.0005
"""Dice that is lost with certainty and is yet too little to be called worse."""

_SAME_MACHINE = ("board", "processor", "architecture", "cores")


def compare_reports(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What changed from one report to another.

    Args:
        base: a report (`report.json`).
        other: a later one, or one of another device.

    Returns:
        `same_machine`; `latency`: per model, engine and number of threads `p50_ms` and `p95_ms` of both, their `ratio`s
        (other to base), `p`, and `verdict` (`slower`, `faster`, `same`); `accuracy`: per model, data set and region the
        mean difference of Dice on the same films with its 95 % interval, and `verdict` (`worse`, `better`, `same`);
        `costs`: cold start, memory and size; `alone`: what only one of them has.
    """
    same = all(base["machine"].get(name) == other["machine"].get(name) for name in _SAME_MACHINE)
    # Another numpy does the fixed work at another pace.
    paced = same and base["machine"]["versions"].get("numpy") == other["machine"]["versions"].get("numpy")
    ours, theirs = _timed(base), _timed(other)
    first, second = {m["label"]: m for m in base["models"]}, {m["label"]: m for m in other["models"]}
    shared = [name for name in first if name in second]
    return {
        "same_machine": same,
        "latency": [{**dict(zip(_KEY, key, strict=True)), **_compare_times(ours[key], theirs[key], paced)}
                    for key in ours if key in theirs],
        "accuracy": [row for name in shared for row in _compare_scores(name, first[name], second[name])],
        "costs": [_compare_costs(name, first[name], second[name]) for name in shared],
        "alone": sorted({*first} ^ {*second}),
    }  # fmt: skip


_KEY = ("label", "engine", "threads")


def _timed(report: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Everything that was timed in inference, by model, engine and threads."""
    timed = {(m["label"], m["runtime"].split()[0], m["threads"]): m for m in report["models"]}
    return timed | {(run["label"], run["runtime"].split()[0], run["threads"]): run for run in report["runs"]}


def _compare_times(base: dict[str, Any], other: dict[str, Any], paced: bool) -> dict[str, Any]:
    ours, theirs = base["samples_ms"]["inference"], other["samples_ms"]["inference"]
    found: dict[str, Any] = {
        "p50_ms": [float(np.median(ours)), float(np.median(theirs))],
        "p95_ms": [float(np.percentile(ours, 95)), float(np.percentile(theirs, 95))],
    }
    paces = (base["pace_ms"], other["pace_ms"]) if paced else (None, None)
    blocks = _blocks(ours, paces[0], _QUIET), _blocks(theirs, paces[1], _QUIET)
    ratio = float(np.median(blocks[1]) / np.median(blocks[0]))
    # Within blocks too: one burst of somebody else's work is not the model's tail.
    tails = [float(np.median(_blocks(times, own, 95))) for times, own in zip((ours, theirs), paces, strict=True)]
    p = rank_test(*blocks)
    # By how much blocks of one and the same run differ, as a factor.
    spread = np.exp(np.sqrt(sum(_log_spread(values) ** 2 for values in blocks)))
    threshold = max(LEAST_RATIO, float(spread))
    verdict = "same"
    if p < SIGNIFICANT and max(ratio, 1 / ratio) > threshold:
        verdict = "slower" if ratio > 1 else "faster"
    return {
        **found,
        "ratio": {"p50": ratio, "p95": tails[1] / tails[0]},
        "p": p,
        "threshold": threshold,
        "verdict": verdict,
    }


def _blocks(samples: list[float], pace: list[float] | None, percentile: float) -> list[float]:
    """A percentile of each block of consecutive samples, in units of the pace where it can be told."""
    count = min(_BLOCKS, len(samples))
    times = [float(np.percentile(part, percentile)) for part in np.array_split(np.asarray(samples), count)]
    if pace is None:
        return times
    paces = [float(np.median(part)) for part in np.array_split(np.asarray(pace), count)]
    return [time / own for time, own in zip(times, paces, strict=True)]


def _log_spread(values: Iterable[float]) -> float:
    """Robust standard deviation of the logarithms (1.4826 times the median absolute deviation)."""
    logs = np.log(np.asarray(list(values)))
    return 1.4826 * float(np.median(np.abs(logs - np.median(logs))))


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
