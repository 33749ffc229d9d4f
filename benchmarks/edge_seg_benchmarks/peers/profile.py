"""Which operators the time goes to, where an engine tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from edge_seg.runtime import Runtime

WARM_UP = 3
"""Runs of a profile that do not count."""


@dataclass(frozen=True)
class OperatorTimes:
    """One operator as the engine runs it: its kind and name there, and its milliseconds in each run."""

    kind: str
    name: str
    milliseconds: list[float]


@runtime_checkable
class Profiled(Protocol):
    """A runtime that tells of its operators."""

    def operator_times(self, tensor: np.ndarray, runs: int) -> list[OperatorTimes]:
        """What each operator takes in so many runs, after `WARM_UP` others; operators in the order they run in."""
        ...


def operator_profile(runtime: Runtime, tensor: np.ndarray, runs: int) -> list[dict[str, Any]] | None:
    """What each operator takes: `{"kind", "name", "ms", "share"}`, in the order they run in.

    Operators are the engine's own: it joins, splits and adds some. `ms` is the median over runs, `share` is of the sum
    of these medians. Profiling costs time too: `ms` is for comparing operators, not engines.

    Args:
        runtime: an open engine.
        tensor: as `Runtime.run` takes it.
        runs: at least 1.

    Returns:
        `None` where the engine does not tell: the Python interface of LiteRT and tflite-runtime has no profiler. (Its
        `experimental_force_delegate_node_profiling` is for a profiler that only C++ can set.)
    """
    if not isinstance(runtime, Profiled):
        return None
    found = runtime.operator_times(tensor, runs)
    medians = [float(np.median(times.milliseconds)) for times in found]
    total = sum(medians)
    return [
        {"kind": times.kind, "name": times.name, "ms": ms, "share": ms / total if total else 0.0}
        for times, ms in zip(found, medians, strict=True)
    ]


def by_kind(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums over operators of one kind: `{"kind", "count", "ms", "share"}`, what takes longest first."""
    kinds: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = kinds.setdefault(row["kind"], {"kind": row["kind"], "count": 0, "ms": 0.0, "share": 0.0})
        entry["count"] += 1
        entry["ms"] += row["ms"]
        entry["share"] += row["share"]
    return sorted(kinds.values(), key=lambda entry: entry["ms"], reverse=True)
