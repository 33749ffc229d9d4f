"""The values of a set's masks that have a meaning, without those that smoothing and JPEG put in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
from edge_seg.errors import InputError
from edge_seg.pixels import IGNORE

from edge_seg_data.masks.classes import Classes
from edge_seg_data.masks.raw import ALPHA, COLOUR, FEW_VALUES, GREY, INDEX, MaskScan, in_kind

MOST_CLASSES = 32

JPEG_STEP = 20
"""Difference in grey that JPEG always preserves."""

_INSIDE = 0.2  # least share of a level's pixels without another value beside them
_LEAST_SHARE = 5e-4  # of the pixels inside areas; a level of a lossy set has at least this share
_MOST_EDGES = 0.5  # largest share of a mask's pixels that may be on edges
_MIXED = 80  # how far, in a channel, a mixture of three colours may lie from all mixtures of two


def shown_value(value: int, kind: str) -> str:
    """A value as text for people."""
    return f"#{value:06x}" if kind == COLOUR else f"{'grey ' if kind == GREY else ''}{value}"


def kind_of(scans: Sequence[MaskScan]) -> str:
    """The kind of value that tells all masks of a set apart: `raw.GREY`, `INDEX`, `COLOUR` or `ALPHA`."""
    kinds = {scan.kind for scan in scans}
    if kinds == {INDEX}:
        palettes = {scan.palette for scan in scans}
        if len(palettes) == 1 and next(iter(palettes))[0] == 0:
            return INDEX
    if kinds <= {GREY, ALPHA}:
        return ALPHA if kinds == {ALPHA} else GREY
    grey = all(scan.kind == GREY or (scan.kind == INDEX and is_grey_palette(scan)) for scan in scans)
    return GREY if grey else COLOUR


def tells_by_colour(scans: Sequence[MaskScan], classes: Classes | None) -> bool:
    """Whether masks on a transparent layer, each painted in one colour, are told apart by it; none may be black."""
    # A palette also says from which alpha its file is painted; the colour stands at its end.
    painted = {scan.palette[-1] for scan in scans if scan.palette}
    return all(painted) and (classes.colours if classes else len(painted) > 1)


def is_grey_palette(scan: MaskScan) -> bool:
    """Whether the palette shows every value of the mask as a grey."""
    return all(scan.palette[i] == (scan.palette[i] & 255) * 0x010101 for i in scan.counts)


def unify(scan: MaskScan, kind: str) -> MaskScan:
    """The scan with its values in the set's kind."""
    counts, flat, apart = (_merged(one, scan, kind) for one in (scan.counts, scan.flat, scan.apart))
    return replace(scan, counts=counts, flat=flat, apart=apart)


def _merged(counts: dict[int, int], scan: MaskScan, kind: str) -> dict[int, int]:
    merged: Counter[int] = Counter()
    values: list[int] = in_kind(np.array([*counts], np.int32), scan, kind).tolist()
    for value, count in zip(values, counts.values(), strict=True):
        merged[value] += count
    return dict(merged)


def levels_of(scans: Sequence[MaskScan], kind: str) -> list[int]:
    """The values that have a meaning, without those that smoothing and JPEG put in between.

    Raises:
        InputError: the masks hold grey values all over, or JPEG has destroyed them.
    """
    values = sorted({value for scan in scans for value in scan.counts})
    lossless = not any(scan.lossy for scan in scans)
    if lossless and (len(values) <= 2 or _are_class_numbers(values, kind)):
        return values
    flat, counts = Counter[int](), Counter[int]()
    for scan in scans:
        flat.update(scan.flat)
        counts.update(scan.counts)
    if lossless:
        # Pixels on an edge have neighbours of other values; most pixels of a structure do not.
        inside = [v for v in values if v == 0 or flat[v] >= _INSIDE * counts[v]]
        # No edge holds the highest grey; of colours, resampling makes some that are higher than those of areas.
        levels = inside if kind == COLOUR and len(inside) > 1 else sorted({*inside, values[-1]})
    else:
        levels = _clusters(flat, kind)
    _refuse_destroyed(scans, kind, levels)
    _refuse_pictures(scans, kind, levels)
    return levels


def _are_class_numbers(values: list[int], kind: str) -> bool:
    return kind in (GREY, INDEX) and max(v for v in [0, *values] if v not in (IGNORE, 255)) <= MOST_CLASSES


def _clusters(flat: Counter[int], kind: str) -> list[int]:
    """The commonest values inside areas, each absorbing the values JPEG turned it into."""
    total, left = sum(flat.values()), dict(flat)
    levels: list[int] = []
    while left and len(levels) <= MOST_CLASSES + 1:
        best = max(left, key=lambda value: left[value])
        near = [value for value in left if _distance(value, best, kind) < JPEG_STEP]
        if sum(left[value] for value in near) < _LEAST_SHARE * total:
            break
        levels.append(_true_value(best, kind))
        for value in near:
            del left[value]
    return sorted(levels)


def _true_value(value: int, kind: str) -> int:
    """The value with near-black and near-white, as JPEG makes them, restored to 0 and 255."""

    def channel(one: int) -> int:
        return 0 if one <= 4 else 255 if one >= 251 else one

    if kind != COLOUR:
        return channel(value)
    return channel(value >> 16) << 16 | channel(value >> 8 & 255) << 8 | channel(value & 255)


def _distance(one: int, other: int, kind: str) -> int:
    if kind != COLOUR:
        return abs(one - other)
    return max(abs((one >> shift & 255) - (other >> shift & 255)) for shift in (16, 8, 0))


def distance_to_nearest(value: int, levels: Sequence[int], kind: str) -> int:
    """Difference between a value and the nearest level, in the channel where it is largest; 65536 without levels."""
    return min((_distance(value, level, kind) for level in levels), default=1 << 16)


def levels_in(scan: MaskScan, levels: Sequence[int], kind: str) -> list[int]:
    """The levels that a mask holds, other than on the edges of others."""
    return [level for level in levels if shows(scan, level, kind)]


def shows(scan: MaskScan, level: int, kind: str) -> bool:
    """Whether a mask holds a level, other than on the edges of others."""
    if scan.lossy:
        return any(_distance(value, level, kind) < JPEG_STEP for value in scan.flat)
    return level in (scan.counts if len(scan.counts) <= FEW_VALUES else scan.flat)


def unmixed(values: Sequence[int], levels: Sequence[int]) -> list[int]:
    """The colours that are not near a mixture of two of the levels."""
    points, ends = _channels(values), _channels(levels)
    apart = np.full(len(values), np.inf)
    for start, stop in combinations(ends, 2):
        way = stop - start
        share = np.clip((points - start) @ way / (way @ way), 0, 1)
        apart = np.minimum(apart, np.abs(points - start - share[:, None] * way).max(axis=1))
    return [value for value, distance in zip(values, apart, strict=True) if distance > _MIXED]


def _channels(colours: Sequence[int]) -> np.ndarray:
    return np.array([[colour >> shift & 255 for shift in (16, 8, 0)] for colour in colours], float).reshape(-1, 3)


def _refuse_destroyed(scans: Sequence[MaskScan], kind: str, levels: Sequence[int]) -> None:
    if kind == COLOUR:
        return
    close = next((pair for pair in pairwise(levels) if pair[1] - pair[0] < 2 * JPEG_STEP), None)
    if close and any(scan.lossy for scan in scans):
        scan = next(scan for scan in scans if scan.lossy)
        raise InputError(
            f"{scan.path}: holds {shown_value(close[0], kind)} and {shown_value(close[1], kind)}, which JPEG does not "
            "keep apart: save the masks as PNG, from where they were drawn"
        )
    for scan in scans:
        top = max(scan.counts)
        if scan.lossy and top > 0 and max(levels) < JPEG_STEP:
            raise InputError(
                f"{scan.path}: holds the values 0 to {top}, which JPEG does not keep apart: save the masks as PNG, "
                "from where they were drawn"
            )


def _refuse_pictures(scans: Sequence[MaskScan], kind: str, levels: Sequence[int]) -> None:
    if len(levels) > MOST_CLASSES + 2:
        worst = max(scans, key=lambda scan: len(scan.counts))
        raise not_a_mask(worst, kind, levels)
    for scan in scans:
        pixels, inside = sum(scan.counts.values()), sum(scan.flat.values())
        known = sum(n for value, n in scan.counts.items() if value in levels)
        strange = sum(
            n for v, n in scan.flat.items() if distance_to_nearest(v, levels, kind) > (JPEG_STEP if scan.lossy else 0)
        )
        if (not scan.lossy and pixels - known > _MOST_EDGES * pixels) or inside < (1 - _MOST_EDGES) * pixels:
            raise not_a_mask(scan, kind, levels)
        if strange > max(_LEAST_SHARE * inside, 64):
            raise not_a_mask(scan, kind, levels)


def not_a_mask(scan: MaskScan, kind: str, levels: Sequence[int]) -> InputError:
    """The error of a file that holds values all over."""
    others = {value: count for value, count in scan.counts.items() if value not in levels} or scan.counts
    value = max(others, key=lambda v: others[v])
    return InputError(
        f"{scan.path}: holds {shown_value(value, kind)} and {len(scan.counts)} values in all, neither a binary mask "
        f"nor class labels up to {MOST_CLASSES}: save the masks as 0 and 255, or as class numbers"
    )
