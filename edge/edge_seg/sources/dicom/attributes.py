"""Attributes of a DICOM header as found in practice: empty, in lower case, with too many values, or nonsense."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from edge_seg.quiet import warnings_ignored

LONGEST_TEXT = 64
"""Characters of an attribute that are read: a code string has 16, a long string 64 (PS3.5 section 6.2)."""

_MOST_VALUES = 16  # no attribute read here has more


def raw(dataset: Any, keyword: str) -> Any:
    """The value as pydicom gives it; `None` if it is absent, empty, or cannot be converted."""
    try:
        with warnings_ignored():
            return dataset.get(keyword)
    # pydicom converts on access, and raises all kinds of exceptions for invalid values.
    except Exception:
        return None


def texts(dataset: Any, keyword: str) -> tuple[str, ...]:
    """The values, cut to `LONGEST_TEXT` and stripped; none if the attribute is absent or empty."""
    value = raw(dataset, keyword)
    if value is None:
        return ()
    values = [value] if isinstance(value, (str, bytes)) or not isinstance(value, Iterable) else list(value)
    found = []
    for one in values[:_MOST_VALUES]:
        text = one[:LONGEST_TEXT].decode("latin-1") if isinstance(one, bytes) else str(one)[:LONGEST_TEXT]
        found.append(text.strip(" \0\t\r\n"))
    return tuple(found)


def text(dataset: Any, keyword: str) -> str:
    """The first value in capitals, as in a code string; empty if there is none."""
    return next(iter(texts(dataset, keyword)), "").upper()


def numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    """The values that are not empty; none at all if one of them is not a finite number."""
    found = []
    for value in texts(dataset, keyword):
        if not value:
            continue
        try:
            found.append(float(value))
        except ValueError:
            return ()
    return tuple(found) if all(math.isfinite(value) for value in found) else ()


def number(dataset: Any, keyword: str, default: float) -> float:
    """The first value, or `default` if there is none."""
    return next(iter(numbers(dataset, keyword)), default)


def is_nonsense(dataset: Any, keyword: str) -> bool:
    """Whether there is a value that should be a number but is not."""
    return keyword in dataset and any(texts(dataset, keyword)) and not numbers(dataset, keyword)


def items(dataset: Any, keyword: str) -> tuple[Any, ...]:
    """The items of a sequence; none if it is absent, empty, or not a sequence."""
    value = raw(dataset, keyword)
    if value is None or isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return ()
    return tuple(item for item in value if hasattr(item, "get"))
