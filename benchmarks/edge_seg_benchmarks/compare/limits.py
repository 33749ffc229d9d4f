"""Conditions under which a comparison fails: `dice_drop>0.002`, `p95>1.1x`."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_seg.errors import UsageError

_SIGNS = {">": operator.gt, ">=": operator.ge}
_RATIOS = ("least", "p50", "p95", "cold_start", "peak_rss", "file_bytes")
_DIFFERENCES = ("dice_drop",)
_PATTERN = re.compile(r"\s*([a-z0-9_]+)\s*(>=|>)\s*([0-9.]+)\s*(x?)\s*")


@dataclass(frozen=True)
class Condition:
    """A limit that a later report must not pass.

    Attributes:
        what: `dice_drop`, mean Dice lost on the same films; `least` (the least tenth of the times, as they are and in
            proportion to the yardstick's, whichever grew less), `p50` and `p95` of inference, `cold_start`,
            `peak_rss`, `file_bytes`, each as a ratio (`1.1x`) to the base.
        sign: `>` or `>=`.
        limit: the number.
    """

    what: str
    sign: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """A condition from words.

        Raises:
            UsageError: it is none.

        >>> Condition.parse("p95>1.1x")
        Condition(what='p95', sign='>', limit=1.1)
        """
        found = _PATTERN.fullmatch(text)
        try:
            if found is None:
                raise ValueError(text)
            what, sign, limit, ratio = found[1], found[2], float(found[3]), found[4] == "x"
        except ValueError:
            raise UsageError(
                f"--fail-if {text!r}: write it as `dice_drop>0.002` or `p95>1.1x`; known: "
                f"{', '.join((*_DIFFERENCES, *_RATIOS))}"
            ) from None
        if what not in (_RATIOS if ratio else _DIFFERENCES):
            known = [*_DIFFERENCES, *(f"{name}>1.1x" for name in _RATIOS)]
            raise UsageError(f"--fail-if {text!r}: no such figure: choose from {', '.join(known)}")
        return cls(what, sign, limit)

    def broken(self, comparison: dict[str, Any]) -> list[str]:
        """A line for each model that passes the limit; what was not measured in both cannot."""
        return [
            f"{self.what} of {name} is {value:.4g}, {self.sign} {self.limit:g}"
            for name, value in self._values(comparison)
            if _SIGNS[self.sign](value, self.limit)
        ]

    def _values(self, comparison: dict[str, Any]) -> Iterator[tuple[str, float]]:
        if self.what == "dice_drop":
            for row in comparison["accuracy"]:
                yield f"{row['label']}, {row['dataset']} {row['region']}", -row["mean"]
        elif self.what in ("least", "p50", "p95"):
            for row in comparison["latency"]:
                value = row["slowdown"] if self.what == "least" else row["ratio"][self.what]
                yield f"{row['label']}, {row['engine']}, {row['threads']} threads", value
        else:
            key = {"cold_start": "cold_start_s", "peak_rss": "peak_rss_bytes"}.get(self.what, self.what)
            for row in comparison["costs"]:
                if row[key]:
                    yield row["label"], row[key][1] / row[key][0]
