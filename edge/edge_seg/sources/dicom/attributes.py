"""Attributes of a DICOM header as they really come: empty, in lower case, with too many values, or with nonsense."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

LONGEST_TEXT = 64
"""Characters of an attribute that are looked at: a code string has 16, a long string 64 (PS3.5 section 6.2)."""

_MOST_VALUES = 16  # no attribute that is read here has more


def raw(dataset: Any, keyword: str) -> Any:
    """The value as pydicom gives it; `None` where it is absent, empty, or cannot be converted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dataset.get(keyword)
    # pydicom converts when it is asked, and raises what it likes about values that are none.
    except Exception:
        return None


def texts(dataset: Any, keyword: str) -> tuple[str, ...]:
    """The values, without blanks at their ends and never longer than `LONGEST_TEXT`; none where there is nothing."""
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
    """The first value in capitals, empty where there is none: what a code string says."""
    return next(iter(texts(dataset, keyword)), "").upper()


def numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    """The values that are not empty; none at all where one of them is no finite number."""
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
    """The first value, or `default` where there is none."""
    return next(iter(numbers(dataset, keyword)), default)


def is_nonsense(dataset: Any, keyword: str) -> bool:
    """Whether there is a value that should be a number and is none."""
    return keyword in dataset and any(texts(dataset, keyword)) and not numbers(dataset, keyword)


def items(dataset: Any, keyword: str) -> tuple[Any, ...]:
    """The items of a sequence; none where it is absent, empty, or no sequence."""
    value = raw(dataset, keyword)
    if value is None or isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return ()
    return tuple(item for item in value if hasattr(item, "get"))
