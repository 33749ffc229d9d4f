"""Limits at which a comparison fails: `dice_drop>0.002`, `p95>1.1x`."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_seg.errors import UsageError

from edge_seg_benchmarks.compare.reports import Comparison, CostComparison, Pair

_KEPT = {">": operator.le, ">=": operator.lt}
"""How a figure compares with a limit that it keeps; NaN keeps none."""

_TIMES = ("least", "p50", "p95")
_RATIOS = (*_TIMES, "cold_start", "peak_rss", "file_bytes")
_DIFFERENCES = ("dice_drop",)
_PATTERN = re.compile(r"\s*([a-z0-9_]+)\s*(>=|>)\s*([0-9.]+)\s*(x?)\s*")


@dataclass(frozen=True)
class Limit:
    """A limit that a later report must not exceed.

    Attributes:
        figure: `dice_drop`, the mean Dice lost on the same films; or a ratio to the base (`1.1x`): `least` (the
            shortest tenth of the times, as measured or relative to the reference timing, whichever grew less), `p50`
            and `p95` of inference, `cold_start`, `peak_rss`, `file_bytes`.
        sign: `>` or `>=`.
        value: the number.
    """

    figure: str
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Parse a limit from the command line.

        Raises:
            UsageError: it is not a limit, or its figure is unknown.

        >>> Limit.parse("p95>1.1x")
        Limit(figure='p95', sign='>', value=1.1)
        """
        found = _PATTERN.fullmatch(text)
        try:
            if found is None:
                raise ValueError(text)
            figure, sign, value, ratio = found[1], found[2], float(found[3]), found[4] == "x"
        except ValueError:
            raise UsageError(
                f"--fail-if {text!r}: write it as `dice_drop>0.002` or `p95>1.1x`; known: "
                f"{', '.join((*_DIFFERENCES, *_RATIOS))}"
            ) from None
        if figure not in (_RATIOS if ratio else _DIFFERENCES):
            known = [*_DIFFERENCES, *(f"{name}>1.1x" for name in _RATIOS)]
            raise UsageError(f"--fail-if {text!r}: no such figure: choose from {', '.join(known)}")
        return cls(figure, sign, value)

    def broken(self, comparison: Comparison) -> list[str]:
        """A line for each figure that exceeds the limit, and for each figure of the base that could not be compared."""
        exceeded = [
            f"{self.figure} of {name} is {value:.4g}, {self.sign} {self.value:g}"
            for name, value in self._values(comparison)
            if not _KEPT[self.sign](value, self.value)
        ]
        return exceeded + [f"{self.figure} could not be compared: {gap}" for gap in self._gaps(comparison)]

    def _gaps(self, comparison: Comparison) -> list[str]:
        """What the limit could not be checked on: otherwise a renamed model or other data would pass."""
        if self.figure in _DIFFERENCES:
            return list(comparison.dice_gaps)
        missing = [f"{label} is only in the base" for label in comparison.missing]
        if self.figure in _TIMES:
            return missing + list(comparison.time_gaps)
        return missing + [
            f"{cost.label} has it in one report alone" for cost in comparison.costs if self._pair(cost) is None
        ]

    def _pair(self, cost: CostComparison) -> Pair | None:
        return {"cold_start": cost.cold_start_s, "peak_rss": cost.peak_rss_bytes, "file_bytes": cost.file_bytes}[
            self.figure
        ]

    def _values(self, comparison: Comparison) -> Iterator[tuple[str, float]]:
        if self.figure == "dice_drop":
            for row in comparison.accuracy:
                yield f"{row.label}, {row.dataset} {row.region}", -row.mean
        elif self.figure in _TIMES:
            for timed in comparison.latency:
                value = {"least": timed.slowdown, "p50": timed.ratio.p50, "p95": timed.ratio.p95}[self.figure]
                yield f"{timed.label}, {timed.engine}, {timed.threads} threads", value
        else:
            for cost in comparison.costs:
                if (pair := self._pair(cost)) is not None:
                    yield cost.label, pair[1] / pair[0]
