"""Pixel Padding Value (0028,0120) and Range Limit (0028,0121): what the header declares not to be film."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.sources.dicom.attributes import numbers


def declared_padding(dataset: Any, stored: np.ndarray) -> np.ndarray | None:
    """Where the padding value lies, or a value between it and its limit (PS3.3 C.7.5.1.1.2).

    Args:
        dataset: pydicom's.
        stored: `(height, width)` whole numbers.

    Returns:
        `(height, width)` bool; `None` if the header declares no padding.
    """
    ends = numbers(dataset, "PixelPaddingValue")[:1]
    if not ends:
        return None
    ends += numbers(dataset, "PixelPaddingRangeLimit")[:1]
    first, last = sorted(_in_type(int(end), stored.dtype) for end in (ends[0], ends[-1]))
    return np.asarray((stored >= first) & (stored <= last) if first != last else stored == first)


def _in_type(value: int, dtype: np.dtype[Any]) -> int:
    """A padding value in the type of the pixels, whichever value representation it was read as."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "i" and value >= 1 << (bits - 1):
        return value - (1 << bits)
    return value + (1 << bits) if dtype.kind == "u" and value < 0 else value
