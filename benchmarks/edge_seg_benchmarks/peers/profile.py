"""Time per operator, for engines that have a profiler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from edge_seg.runtime import Runtime

WARM_UP = 3
"""Untimed runs before the timed ones."""


@dataclass(frozen=True)
class OperatorTimes:
    """An operator as the engine runs it: the engine's kind and name for it, and its milliseconds in each run."""

    kind: str
    name: str
    milliseconds: list[float]


@dataclass(frozen=True)
class ProfiledOperator:
    """An operator's median milliseconds over runs, and their share of the sum over all operators."""

    kind: str
    name: str
    ms: float
    share: float


@dataclass(frozen=True)
class OperatorKind:
    """The operators of one kind: how many, their milliseconds and their share of the time."""

    kind: str
    count: int
    ms: float
    share: float


@runtime_checkable
class Profiled(Protocol):
    """A runtime with a profiler."""

    def operator_times(self, tensor: np.ndarray, runs: int) -> list[OperatorTimes]:
        """Times of each operator over `runs` runs after `WARM_UP` others, in the order the operators run in."""
        ...


def operator_profile(runtime: Runtime, tensor: np.ndarray, runs: int) -> list[ProfiledOperator] | None:
    """Time of each operator, in the order they run in.

    Operators are the engine's own: it fuses, splits and adds some. Profiling costs time too, so the times compare
    operators, not engines.

    Args:
        runtime: an open engine.
        tensor: as `Runtime.run` takes it.
        runs: at least 1.

    Returns:
        `None` if the engine has no profiler: LiteRT and tflite-runtime offer none in Python (their
        `experimental_force_delegate_node_profiling` needs a profiler that only C++ can set).
    """
    if not isinstance(runtime, Profiled):
        return None
    found = runtime.operator_times(tensor, runs)
    medians = [float(np.median(times.milliseconds)) for times in found]
    total = sum(medians)
    return [
        ProfiledOperator(times.kind, times.name, ms, ms / total if total else 0.0)
        for times, ms in zip(found, medians, strict=True)
    ]


def by_kind(operators: Sequence[ProfiledOperator]) -> list[OperatorKind]:
    """Sums per kind of operator, the longest first."""
    kinds: dict[str, list[ProfiledOperator]] = {}
    for operator in operators:
        kinds.setdefault(operator.kind, []).append(operator)
    found = [
        OperatorKind(kind, len(group), sum(one.ms for one in group), sum(one.share for one in group))
        for kind, group in kinds.items()
    ]
    return sorted(found, key=lambda kind: kind.ms, reverse=True)
