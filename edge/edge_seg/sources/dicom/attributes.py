"""Attributes of a DICOM header as found in practice: empty, in lower case, with too many values, or nonsense."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from edge_seg.quiet import warnings_ignored

LONGEST_TEXT = 64
"""Characters of an attribute that are read: a code string has 16, a long string 64 (PS3.5 section 6.2)."""

_MOST_VALUES = 16  # no attribute read here has more
_LONGEST = 2048
"""Bytes of a value that is converted, tables and sequences aside: pydicom makes an object of each number in it."""


def raw(dataset: Any, keyword: str, longest: int | None = _LONGEST) -> Any:
    """The value as pydicom gives it; `None` if it is absent, empty, cannot be converted, or has more bytes."""
    try:
        with warnings_ignored():
            return None if longest is not None and _length(dataset, keyword) > longest else dataset.get(keyword)
    # pydicom converts on access, and raises all kinds of exceptions for invalid values.
    except Exception:
        return None


def texts(dataset: Any, keyword: str) -> tuple[str, ...]:
    """The values, cut to `LONGEST_TEXT` and stripped; none if the attribute is absent, empty, or longer than 2 kB."""
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


def photometric(dataset: Any) -> str:
    """Photometric Interpretation in capitals, without the spaces and underscores that some senders write into it."""
    return text(dataset, "PhotometricInterpretation").replace(" ", "").replace("_", "")


def numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    """The values that are not empty; none at all if one of them is not a finite number."""
    found = []
    for value in filter(None, texts(dataset, keyword)):
        if (one := finite(value)) is None:
            return ()
        found.append(one)
    return tuple(found)


def finite(value: str) -> float | None:
    """The number that a text says; `None` if it says no finite one."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def number(dataset: Any, keyword: str, default: float) -> float:
    """The first value, or `default` if there is none."""
    return next(iter(numbers(dataset, keyword)), default)


def is_nonsense(dataset: Any, keyword: str) -> bool:
    """Whether there is a value that should be a number but is not."""
    if keyword not in dataset or numbers(dataset, keyword):
        return False
    return any(texts(dataset, keyword)) or _length(dataset, keyword) > _LONGEST


def items(dataset: Any, keyword: str) -> tuple[Any, ...]:
    """The items of a sequence; none if it is absent, empty, or not a sequence."""
    value = raw(dataset, keyword, None)
    if value is None or isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return ()
    return tuple(item for item in value if hasattr(item, "get"))


def _length(dataset: Any, keyword: str) -> int:
    """Bytes of a value that has not been converted yet; 0 if it is absent, or has been."""
    return int(getattr(dataset.get_item(keyword), "length", 0))
