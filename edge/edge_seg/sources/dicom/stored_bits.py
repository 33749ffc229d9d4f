"""Which of the bits of a decoded pixel are its value: those that the header names, or all that a film uses."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.sources.dicom.padding import declared_padding

_OVERSHOOTING = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51)}
"""JPEG Baseline and Extended: beside edges, values go beyond those of the original, and so beyond its bits."""

_OVERSHOOT = 0.125  # share of the range; a film that lacks a bit in its header goes up to its double
_LOSSY = _OVERSHOOTING | {f"1.2.840.10008.1.2.4.{number}" for number in (81, 91, 93, 203)}
"""These, JPEG-LS near-lossless, JPEG 2000 and its part 2, and HTJ2K: no overlay survives in them."""

_OVERLAYS = range(0x6000, 0x6020, 2)  # groups
_OVERLAY_BIT, _OVERLAY_DATA = 0x0102, 0x3000


def values_of(stored: np.ndarray, dataset: Any, bits: int, shift: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """What pixels mean of which all bits are decoded: the values in the bits up to High Bit, or in all that are used.

    By PS3.5 section 8.1.1 no bit above High Bit is part of a value, but some films need more bits than their header
    gives them. Others have an overlay there, as was allowed before 2004, or a padding value.

    Args:
        stored: as decoded; it is changed.
        dataset: pydicom's.
        bits: Bits Stored.
        shift: number of bits below the values by High Bit.

    Returns:
        The values, and notes about them. Padding that the bits cannot hold keeps the value that the header gives it.
    """
    film: np.ndarray | bool = True
    notes: tuple[str, ...] = ()
    if not _fit(stored, bits + shift, film):
        padding = declared_padding(dataset, stored)
        film = True if padding is None else ~padding
    if not _fit(stored, bits + shift, film):
        syntax = dataset.file_meta.TransferSyntaxUID
        keeps_bits = syntax not in _LOSSY
        if syntax in _OVERSHOOTING and _fit(stored, bits + shift, film, _OVERSHOOT):
            np.clip(stored, *_limits(stored, bits + shift), out=stored, where=film)
        elif (keeps_bits and _has_embedded_overlay(dataset)) or _fit_unextended(stored, bits + shift, film):
            _keep_lowest(stored, bits + shift, film)
        elif not keeps_bits or _are_values_above(stored, bits + shift, film):
            return stored, (f"values go beyond the {bits} bits that the header gives them: all bits are used",)
        else:
            taken = "taken for an overlay that the header does not declare"
            notes = (f"a bit above the {bits} bits of the values is left out: {taken}",)
            _keep_lowest(stored, bits + shift, film)
    if shift:
        _shift(stored, bits, shift, film)
    return stored, notes


def _least_and_most(stored: np.ndarray, film: np.ndarray | bool) -> tuple[int, int]:
    """Of the film and 0, which is in every range."""
    return int(stored.min(where=film, initial=0)), int(stored.max(where=film, initial=0))


def _limits(stored: np.ndarray, bits: int) -> tuple[int, int]:
    """The least and the greatest number of that many bits, with a sign if the values' type has one."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if stored.dtype.kind == "i" else (0, (1 << bits) - 1)


def _fit(stored: np.ndarray, bits: int, film: np.ndarray | bool, beyond: float = 0.0) -> bool:
    """Whether the film's values are numbers of that many bits, or go beyond them by no more than a share of them."""
    (low, high), (least, most) = _limits(stored, bits), _least_and_most(stored, film)
    more = beyond * (1 << bits)
    return low - more <= least and most <= high + more


def _fit_unextended(stored: np.ndarray, bits: int, film: np.ndarray | bool) -> bool:
    """Whether the film's values leave all bits above zero, even those of negative numbers."""
    least, most = _least_and_most(stored, film)
    return least == 0 and most < 1 << bits


def _are_values_above(stored: np.ndarray, bits: int, film: np.ndarray | bool) -> bool:
    """Whether the bits above, some of which are set, are part of the values: a single one may be an overlay."""
    if -(1 << bits - 1) <= _least_and_most(stored, film)[0] < 0:
        # The bits above go with the sign.
        return True
    unsigned = stored.view(stored.dtype.str.replace("i", "u"))
    return (int(np.bitwise_or.reduce(unsigned, axis=None, where=film)) >> bits).bit_count() > 1


def _keep_lowest(stored: np.ndarray, bits: int, film: np.ndarray | bool) -> None:
    """Drop the bits above; of signed values, the highest bit that is left is the sign."""
    unused = 8 * stored.dtype.itemsize - bits
    np.left_shift(stored, unused, out=stored, where=film)
    np.right_shift(stored, unused, out=stored, where=film)


def _shift(stored: np.ndarray, bits: int, shift: int, film: np.ndarray | bool) -> None:
    """Shift to the right the values that lie in the bits up to High Bit; some lie in the lowest, whatever it says.

    Left-justified values, however small, leave the bits below them zero.

    Args:
        stored: all bits up to High Bit; it is changed.
        bits: Bits Stored.
        shift: number of bits below the values by High Bit.
        film: where to shift.
    """
    least, most = _least_and_most(stored, film)
    fit = least >= -(1 << bits - 1) and most < 1 << bits
    if fit and int(np.bitwise_or.reduce(stored, axis=None, where=film)) & (1 << shift) - 1:
        _keep_lowest(stored, bits, film)
    else:
        np.right_shift(stored, shift, out=stored, where=film)


def _has_embedded_overlay(dataset: Any) -> bool:
    """Whether overlays lie in unused bits of the pixels (PS3.3-2004 C.9.2, since retired), not in elements."""
    return any((group, _OVERLAY_BIT) in dataset and (group, _OVERLAY_DATA) not in dataset for group in _OVERLAYS)
