"""Limits at which a comparison fails: `dice_drop>0.002`, `p95>1.1x`."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_seg.errors import UsageError

from edge_seg_benchmarks.compare.reports import Comparison

_SIGNS = {">": operator.gt, ">=": operator.ge}
_RATIOS = ("least", "p50", "p95", "cold_start", "peak_rss", "file_bytes")
_DIFFERENCES = ("dice_drop",)
_PATTERN = re.compile(r"\s*([a-z0-9_]+)\s*(>=|>)\s*([0-9.]+)\s*(x?)\s*")


@dataclass(frozen=True)
class Limit:
    """A limit that a later report must not exceed.

    Attributes:
        figure: `dice_drop`, the mean Dice lost on the same films; or a ratio to the base (`1.1x`): `least` (the least
            tenth of the times, as they are or relative to the reference timing, whichever grew less), `p50` and `p95`
            of inference, `cold_start`, `peak_rss`, `file_bytes`.
        sign: `>` or `>=`.
        value: the number.
    """

    figure: str
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read a limit as the command line gives it.

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
        """A line for each figure that exceeds the limit, and for each Dice that could not be compared."""
        exceeded = [
            f"{self.figure} of {name} is {value:.4g}, {self.sign} {self.value:g}"
            for name, value in self._values(comparison)
            if _SIGNS[self.sign](value, self.value)
        ]
        # A limit that nothing was held against would pass a renamed model or another data set.
        gaps = comparison.dice_gaps if self.figure in _DIFFERENCES else ()
        return exceeded + [f"{self.figure} could not be compared: {gap}" for gap in gaps]

    def _values(self, comparison: Comparison) -> Iterator[tuple[str, float]]:
        if self.figure == "dice_drop":
            for row in comparison.accuracy:
                yield f"{row.label}, {row.dataset} {row.region}", -row.mean
        elif self.figure in ("least", "p50", "p95"):
            for timed in comparison.latency:
                value = {"least": timed.slowdown, "p50": timed.ratio.p50, "p95": timed.ratio.p95}[self.figure]
                yield f"{timed.label}, {timed.engine}, {timed.threads} threads", value
        else:
            for cost in comparison.costs:
                pair = {
                    "cold_start": cost.cold_start_s, "peak_rss": cost.peak_rss_bytes, "file_bytes": cost.file_bytes
                }[self.figure]  # fmt: skip
                if pair is not None:
                    yield cost.label, pair[1] / pair[0]
