"""Resampling that gives the same bytes on every processor: shrinking by area, enlarging bilinearly.

OpenCV's area average rounds differently between machines. Here every value is an integer, or a float that holds an
integer exactly, so that neither summation order nor register width affects the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

_LARGEST_BLOCK = 256  # edge of a block, in pixels: a column of 256 16-bit values just fits into a float32's 24 bits
_STRIPE = 1 << 18  # bytes of floats processed at a time: they stay in the cache of a small processor
_SIZES = 8  # films from one device have few sizes; taps for each are cached
_MOST_SKIPPED = 1.25  # factor by which a film may shrink bilinearly without averaging: more would skip pixels
_WEIGHT_STEPS = 65536.0  # for enlarging, as in OpenCV's INTER_LINEAR_EXACT


def resample(pixels: np.ndarray, height: int, width: int, together: tuple[int, int] = (1, 1)) -> np.ndarray:
    """Area average when shrinking, bilinear when enlarging.

    Args:
        pixels: two-dimensional, uint8 or uint16; any view.
        height, width: of the result.
        together: how many rows and columns correspond to one of a film with square pixels: with `(2, 1)`, a film with
            every row doubled gives the same result as the original.

    Returns:
        `(height, width)` float64.
    """
    pixels = np.ascontiguousarray(pixels)
    if height > pixels.shape[0] or width > pixels.shape[1]:
        # Non-square pixels may have to grow along one axis and shrink a lot along the other.
        shorter, narrower = min(height, pixels.shape[0]), min(width, pixels.shape[1])
        if pixels.shape[0] > _MOST_SKIPPED * shorter or pixels.shape[1] > _MOST_SKIPPED * narrower:
            pixels = np.rint(resample(pixels, shorter, narrower, together)).astype(pixels.dtype)
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.float64)
    rows, down = _area_taps(pixels.shape[0], height, together[0])
    columns, across = _area_taps(pixels.shape[1], width, together[1])
    largest = np.iinfo(pixels.dtype).max * down * across
    total = _apply(rows, _block_sums(pixels, down, across, _exact(largest)), 0, _exact(largest * rows.total))
    total = _apply(columns, total, 1, _exact(largest * rows.total * columns.total))
    return np.divide(total, down * across * rows.total * columns.total, dtype=np.float64)


def enlarge_above(plane: np.ndarray, cut: int, mask: np.ndarray) -> None:
    """Mark where a plane, enlarged bilinearly to a mask's size and rounded, is above `cut`.

    Bit-identical to `cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR_EXACT) > cut`, without the enlarged plane.
    Bilinear interpolation never leaves the range of the values it blends, so only the rectangle around the values above
    the cut is computed.

    Args:
        plane: two-dimensional int16.
        cut: what a pixel must exceed.
        mask: two-dimensional bool, all False; receives the marks.
    """
    x, y, width, height = cv2.boundingRect((plane > cut).astype(np.uint8))
    if not width:
        return
    down, across = (_linear_taps(source, target) for source, target in zip(plane.shape, mask.shape, strict=True))
    # One more pixel on each side: values above the cut have effect up to the centres of their neighbours.
    top, left = max(y - 1, 0), max(x - 1, 0)
    rows = slice(down.start[top], down.start[y + height])
    columns = slice(across.start[left], across.start[x + width])
    # Halves are rounded up, so values from cut + 1/2 on are above. Doubled to stay an integer.
    values = 2.0 * plane[top : y + height + 1, left : x + width + 1] - (2 * cut + 1)
    # Repeat the last row and column, so that each has a next one.
    above = cv2.copyMakeBorder(values, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
    index = across.index[columns] - left
    wide = np.diff(above, axis=1).take(index, axis=1)
    wide *= across.weight[columns]
    wide += above.take(index, axis=1)
    # Between two rows of the plane a column is above the cut where both rows are, and needs computing only where they
    # differ: along the outline.
    count = np.diff(down.start[top : y + height + 1])
    marked = wide[: len(count) + 1] >= 0
    both = marked[:-1] & marked[1:]
    step = max(1, _STRIPE // max(1, len(index)))
    for first in range(rows.start, rows.stop, step):
        stripe = slice(first, min(first + step, rows.stop))
        mask[stripe, columns] = both.take(down.index[stripe] - top, axis=0)
    outline = np.flatnonzero((marked[:-1] != marked[1:]) & (count > 0)[:, None])
    most = max(1, int(count.max()))
    step = max(1, _STRIPE // (8 * most))
    for first in range(0, len(outline), step):
        row, column = np.divmod(outline[first : first + step], len(index))
        target = down.start[top + row] + np.minimum(np.arange(most)[:, None], count[row] - 1)
        # Values have at most 21 bits and weights 16, applied twice: a float holds every product and sum exactly.
        low = wide[row, column]
        fall = (low - wide[row + 1, column]) * down.weight[target]
        mask[target, columns.start + column] = fall <= low


def edges_above_zero(planes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where each row first rises above zero in all planes at once, and where it last falls below.

    Between two pixel centres a row is linear, as in `enlarge_above`; beyond the outermost centres it is constant.

    Args:
        planes: two-dimensional, int32, of one shape; no value is zero.

    Returns:
        Two float64 arrays, one value per row, in pixels from the left edge; `inf` and `-inf` in rows that never do.
    """
    height, width = planes[0].shape
    first, behind = np.full(height, np.inf), np.full(height, -np.inf)
    x, y, columns, rows = cv2.boundingRect((planes[0] > 0).astype(np.uint8))
    if not columns:
        return first, behind
    # A cell is between two centres. In it each plane is above zero on one interval, and all are on the intersection.
    near = [
        cv2.copyMakeBorder(plane[y : y + rows], 0, 0, 1, 1, cv2.BORDER_REPLICATE)[:, x : x + columns + 2]
        for plane in planes
    ]
    above = [plane > 0 for plane in near]
    reached = np.logical_and.reduce([each[:, :-1] | each[:, 1:] for each in above])
    if len(planes) > 1:
        centres = np.logical_and.reduce(above)
        unsure = np.nonzero(reached & ~(centres[:, :-1] | centres[:, 1:]))
        reached[unsure] = np.less(*_stretch(near, *unsure))
    found = np.flatnonzero(reached.any(axis=1))
    one, other = reached[found].argmax(axis=1), columns - reached[found, ::-1].argmax(axis=1)
    first[y + found] = (x + one - 0.5 + _stretch(near, found, one)[0]).clip(0)
    behind[y + found] = (x + other - 0.5 + _stretch(near, found, other)[1]).clip(None, width)
    return first, behind


def _stretch(planes: Sequence[np.ndarray], row: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end, 0 to 1, of the interval in which all planes are above zero, in cells that each of them reaches."""
    start, end = np.zeros(len(row)), np.ones(len(row))
    for plane in planes:
        low, high = plane[row, cell].astype(np.float64), plane[row, cell + 1].astype(np.float64)
        crossing = np.divide(low, low - high, out=np.zeros_like(low), where=(low > 0) != (high > 0))
        np.maximum(start, crossing, out=start, where=low < 0)
        np.minimum(end, crossing, out=end, where=high < 0)
    return start, end


@dataclass(frozen=True)
class _AreaTaps:
    """For each target pixel: the source blocks it covers, how much of each, and the total; integers of one unit."""

    index: np.ndarray
    weight: np.ndarray
    total: int


@lru_cache(_SIZES)
def _area_taps(source: int, target: int, together: int) -> tuple[_AreaTaps, int]:
    """Taps from blocks of `k` source pixels, at least twice as fine as the target, and `k`.

    A block holds whole groups of `together` pixels. If target pixels consist of whole blocks, they become the blocks
    themselves: the sums are the same and need no weights.
    """
    k = min(source // (2 * target), _LARGEST_BLOCK)
    k = max(1, k - k % together)
    within, rest = divmod(source, target)
    if not rest and within % k == 0 and within <= _LARGEST_BLOCK:
        k = within
    edges = np.minimum(np.arange(-(-source // k) + 1) * k, source) * target
    low = np.arange(target) * source
    high = low + source
    first = np.searchsorted(edges, low, side="right") - 1
    count = int((np.searchsorted(edges, high, side="left") - first).max())
    index = np.minimum(first + np.arange(count)[:, None], len(edges) - 2)
    weight = np.minimum(high, edges[index + 1]) - np.maximum(low, edges[index])
    # A tap that was clipped to the last block must not count it twice.
    weight[first + np.arange(count)[:, None] > len(edges) - 2] = 0
    weight = np.maximum(weight, 0)
    # In units of the greatest common divisor: smaller numbers fit into narrower floats.
    unit = int(np.gcd.reduce(weight, axis=None))
    return _AreaTaps(index, (weight // unit).astype(np.float64), source // unit), k


def _exact(largest: int) -> type[np.floating]:
    """The narrowest float that holds every integer up to `largest` exactly."""
    return np.float32 if largest <= 1 << 24 else np.float64


def _apply(taps: _AreaTaps, values: np.ndarray, axis: int, dtype: type[np.floating]) -> np.ndarray:
    """Weighted sums along an axis, in a type that holds them.

    All values are integers, below 2**53 for any film at an input of 160 pixels or more, so that nothing is rounded;
    beyond that numpy multiplies and adds in separate steps on every machine.
    """
    if len(taps.index) == 1 and values.shape[axis] == len(taps.index[0]):
        return values.astype(dtype, copy=False)
    weights = np.expand_dims(taps.weight.astype(dtype), 2 - axis)
    total = np.multiply(values.take(taps.index[0], axis), weights[0], dtype=dtype)
    taken, part = np.empty(total.shape, values.dtype), np.empty_like(total)
    for index, weight in zip(taps.index[1:], weights[1:], strict=True):
        # In its default mode, numpy fills a copy of `out` first.
        values.take(index, axis, out=taken, mode="clip")
        np.multiply(taken, weight, out=part)
        total += part
    return total


def _block_sums(pixels: np.ndarray, down: int, across: int, dtype: type[np.floating]) -> np.ndarray:
    """Sums of blocks of `down` x `across` pixels; incomplete ones are padded with their last row or column.

    Works in stripes, so that the row sums never leave the cache.
    """
    height, width = pixels.shape
    sums = np.empty((-(-height // down), -(-width // across)), dtype)
    step = max(1, _STRIPE // (4 * width))
    for first in range(0, len(sums), step):
        stripe = pixels[first * down : (first + step) * down]
        sums[first : first + step] = _column_sums(_row_sums(stripe, down), across, dtype)
    return sums


def _row_sums(pixels: np.ndarray, k: int) -> np.ndarray:
    """Sums of `k` rows each, float32, which holds them exactly."""
    whole, rest = divmod(pixels.shape[0], k)
    sums = np.zeros((whole + (rest > 0), pixels.shape[1]), np.float32)
    for row in range(k):
        # OpenCV converts the pixels on the fly; numpy would write out a wider copy first.
        part = pixels[row::k]
        if len(part):
            cv2.accumulate(part, sums[: len(part)])
        if len(part) < len(sums):
            sums[-1] += pixels[-1]
    return sums


def _column_sums(values: np.ndarray, k: int, dtype: type[np.floating]) -> np.ndarray:
    """Sums of `k` columns each."""
    sums = values[:, ::k].astype(dtype)
    for column in range(1, k):
        part = values[:, column::k]
        sums[:, : part.shape[1]] += part
        if part.shape[1] < sums.shape[1]:
            sums[:, -1] += values[:, -1]
    return sums


@dataclass(frozen=True)
class _LinearTaps:
    """For each target pixel, the source pixel before it and the weight of the next one, along one axis.

    Attributes:
        index: of the source pixel at or before each target pixel, never decreasing.
        weight: of the source pixel after it, 0 to 1 in steps of 1/65536, float64.
        start: first target pixel of each source pixel's cell, followed by the number of target pixels.
    """

    index: np.ndarray
    weight: np.ndarray
    start: np.ndarray


@lru_cache(_SIZES)
def _linear_taps(source: int, target: int) -> _LinearTaps:
    """Taps of OpenCV's INTER_LINEAR_EXACT: pixels are areas; values are constant beyond the outermost centres."""
    # OpenCV's operations in the same order, so that not even the last bit differs.
    place = (1.0 / (target / source)) * (np.arange(target) + 0.5) - 0.5
    index = np.floor(place).astype(np.intp)
    weight = np.rint((place - index) * _WEIGHT_STEPS) / _WEIGHT_STEPS
    weight[(index < 0) | (index >= source - 1)] = 0
    index = index.clip(0, source - 1)
    return _LinearTaps(index, weight, np.searchsorted(index, np.arange(source + 1)))
