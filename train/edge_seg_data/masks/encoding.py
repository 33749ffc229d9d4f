"""The meaning of a set's mask values, decided over all its masks together, and reported or refused, never guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
from edge_seg.errors import InputError
from edge_seg.pixels import IGNORE

from edge_seg_data.masks.classes import BACKGROUND, HOW_TO_NAME, IGNORED, Classes
from edge_seg_data.masks.raw import (
    ALPHA,
    COLOUR,
    GREY,
    INDEX,
    MaskScan,
    RawMask,
    flat_pixels,
    in_kind,
    planes_of,
    read_raw,
)
from edge_seg_data.report import counted

MOST_CLASSES = 32
OBJECT = "object"
"""Name of the structure in a binary set without names."""

_JPEG_STEP = 20  # difference in grey that JPEG always preserves
_INSIDE = 0.2  # least share of a level's pixels without another value beside them
_LEAST_SHARE = 5e-4  # of the pixels inside areas; a level of a lossy set has at least this share
_MOST_EDGES = 0.5  # largest share of a mask's pixels that may be on edges
_EDGE = np.ones((5, 5), np.uint8)  # how far smoothing and JPEG reach
_HALF_WAY = range(124, 133)  # what JPEG makes of 127 and 128
_FEW_COLOURS = 4  # values of a mask without smoothed edges
_MIXED = 80  # how far, in a channel, a mixture of three colours may lie from all mixtures of two
_STRAY = 4  # pixels of a colour that may be nothing

_COLOUR_NAMES = {
    0xFF0000: "red",
    0x00FF00: "green",
    0x0000FF: "blue",
    0xFFFF00: "yellow",
    0xFF00FF: "magenta",
    0x00FFFF: "cyan",
    0xFFFFFF: "white",
}


@dataclass(frozen=True)
class Encoding:
    """The meaning of mask values, the same for all masks of a set.

    Attributes:
        kind: `raw.GREY`, `INDEX`, `COLOUR` or `ALPHA`.
        names: by value: a structure, `background` or `ignore`.
        structures: in the order of a network's outputs.
        notes: for the user, on how the meaning was decided.
    """

    kind: str
    names: dict[int, str]
    structures: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(f"{shown_value(value, self.kind)} = {name}" for value, name in sorted(self.names.items()))
        return f"{self.kind}: {shown}"


def shown_value(value: int, kind: str) -> str:
    """A value as text for people."""
    return f"#{value:06x}" if kind == COLOUR else f"{'grey ' if kind == GREY else ''}{value}"


def decide(scans: Sequence[MaskScan], classes: Classes | None, structure: str | None = None) -> Encoding:
    """The encoding of a set's masks.

    Args:
        scans: of all masks.
        classes: the set's own names, if any.
        structure: the one structure that each file holds, if so.

    Raises:
        InputError: the values are ambiguous, or are not a mask's; the message names a file, a value and what to do.
    """
    kind = _kind(scans)
    if kind == ALPHA and structure is None and _tells_by_colour(scans, classes):
        kind = COLOUR
    unified = [_unified(scan, kind) for scan in scans]
    if structure is None and classes is not None and classes.named:
        return _named(unified, kind, classes)
    levels = _levels(unified, kind)
    refuse_without_background(unified, kind, levels)
    if structure is not None:
        return _binary(unified, kind, levels, structure)
    if classes is not None:
        return _listed(unified, kind, levels, classes)
    return _found(unified, kind, levels)


def planes(path: Path, encoding: Encoding) -> dict[str, np.ndarray]:
    """The label planes of one mask file.

    Returns:
        Per structure, `(height, width)` uint8 of 0, 1 and `IGNORE`.

    Raises:
        InputError: the file cannot be read.
    """
    raw = read_raw(path)
    raw = replace(raw, values=in_kind(raw.values, raw, encoding.kind), kind=encoding.kind)
    named = _snapped(raw, sorted(encoding.names))
    found = {}
    ignored = [value for value, name in encoding.names.items() if name == IGNORED]
    for structure in encoding.structures:
        inside = [value for value, name in encoding.names.items() if name == structure]
        plane = np.isin(named, inside).astype(np.uint8)
        if ignored:
            plane[np.isin(named, ignored)] = IGNORE
        found[structure] = plane
    return found


def refuse_without_background(scans: Sequence[MaskScan], kind: str, levels: Sequence[int]) -> None:
    """Refuse masks without any black.

    Raises:
        InputError: no mask holds the value 0.
    """
    if scans and levels and 0 not in levels:
        commonest = Counter({value: sum(scan.counts.get(value, 0) for scan in scans) for value in levels})
        value = shown_value(commonest.most_common(1)[0][0], kind)
        raise InputError(
            f"{scans[0].path}: no mask of the set holds 0 for background, {value} is the commonest: {HOW_TO_NAME}"
        )


def _kind(scans: Sequence[MaskScan]) -> str:
    kinds = {scan.kind for scan in scans}
    if kinds == {INDEX}:
        palettes = {scan.palette for scan in scans}
        if len(palettes) == 1 and next(iter(palettes))[0] == 0:
            return INDEX
    if kinds <= {GREY, ALPHA}:
        return ALPHA if kinds == {ALPHA} else GREY
    grey = all(scan.kind == GREY or (scan.kind == INDEX and _is_grey_palette(scan)) for scan in scans)
    return GREY if grey else COLOUR


def _tells_by_colour(scans: Sequence[MaskScan], classes: Classes | None) -> bool:
    """Whether masks on a transparent layer, each painted in one colour, are told apart by it; none may be black."""
    painted = {scan.palette for scan in scans if scan.palette}
    return all(map(any, painted)) and (classes.colours if classes else len(painted) > 1)


def _is_grey_palette(scan: MaskScan) -> bool:
    return all(scan.palette[i] == (scan.palette[i] & 255) * 0x010101 for i in scan.counts)


def _unified(scan: MaskScan, kind: str) -> MaskScan:
    """The scan with its values in the set's kind."""
    return replace(scan, counts=_merged(scan.counts, scan, kind), flat=_merged(scan.flat, scan, kind))


def _merged(counts: dict[int, int], scan: MaskScan, kind: str) -> dict[int, int]:
    merged: Counter[int] = Counter()
    values: list[int] = in_kind(np.array([*counts], np.int32), scan, kind).tolist()
    for value, count in zip(values, counts.values(), strict=True):
        merged[value] += count
    return dict(merged)


def _levels(scans: Sequence[MaskScan], kind: str) -> list[int]:
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
        near = [value for value in left if _distance(value, best, kind) < _JPEG_STEP]
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


def _refuse_destroyed(scans: Sequence[MaskScan], kind: str, levels: Sequence[int]) -> None:
    if kind == COLOUR:
        return
    close = next((pair for pair in pairwise(levels) if pair[1] - pair[0] < 2 * _JPEG_STEP), None)
    if close and any(scan.lossy for scan in scans):
        scan = next(scan for scan in scans if scan.lossy)
        raise InputError(
            f"{scan.path}: holds {shown_value(close[0], kind)} and {shown_value(close[1], kind)}, which JPEG does not "
            "keep apart: save the masks as PNG, from where they were drawn"
        )
    for scan in scans:
        top = max(scan.counts)
        if scan.lossy and top > 0 and max(levels) < _JPEG_STEP:
            raise InputError(
                f"{scan.path}: holds the values 0 to {top}, which JPEG does not keep apart: save the masks as PNG, "
                "from where they were drawn"
            )


def _refuse_pictures(scans: Sequence[MaskScan], kind: str, levels: Sequence[int]) -> None:
    if len(levels) > MOST_CLASSES + 2:
        worst = max(scans, key=lambda scan: len(scan.counts))
        raise _not_a_mask(worst, kind, levels)
    for scan in scans:
        pixels, inside = sum(scan.counts.values()), sum(scan.flat.values())
        known = sum(n for value, n in scan.counts.items() if value in levels)
        strange = sum(n for v, n in scan.flat.items() if _nearest(v, levels, kind) > (_JPEG_STEP if scan.lossy else 0))
        if (not scan.lossy and pixels - known > _MOST_EDGES * pixels) or inside < (1 - _MOST_EDGES) * pixels:
            raise _not_a_mask(scan, kind, levels)
        if strange > max(_LEAST_SHARE * inside, 64):
            raise _not_a_mask(scan, kind, levels)


def _nearest(value: int, levels: Sequence[int], kind: str) -> int:
    return min((_distance(value, level, kind) for level in levels), default=1 << 16)


def _not_a_mask(scan: MaskScan, kind: str, levels: Sequence[int]) -> InputError:
    others = {value: count for value, count in scan.counts.items() if value not in levels} or scan.counts
    value = max(others, key=lambda v: others[v])
    return InputError(
        f"{scan.path}: holds {shown_value(value, kind)} and {len(scan.counts)} values in all, neither a binary mask "
        f"nor class labels up to {MOST_CLASSES}: save the masks as 0 and 255, or as class numbers"
    )


def _named(scans: Sequence[MaskScan], kind: str, classes: Classes) -> Encoding:
    """By the values that `classes.txt` names; any other value must be on the edge of one."""
    if classes.colours and kind != COLOUR:
        raise InputError(f"{classes.path}: names colours, and the masks are {kind}: name their values")
    if kind == COLOUR and not classes.colours:
        raise InputError(f"{classes.path}: names numbers, and the masks are coloured: write `#RRGGBB = NAME`")
    names = {0: BACKGROUND, **classes.named}
    for scan in scans:
        strange = {v: n for v, n in scan.flat.items() if _nearest(v, list(names), kind) > (_JPEG_STEP * scan.lossy)}
        if len(scan.counts) <= _FEW_COLOURS and not scan.lossy:
            strange = {v: n for v, n in scan.counts.items() if v not in names}
        if strange:
            value = max(strange, key=lambda v: strange[v])
            raise InputError(
                f"{scan.path}: holds {shown_value(value, kind)}, which {classes.path} does not name: add it"
            )
    return Encoding(kind, names, _structures(names.values()), classes.notes)


def _structures(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name not in (BACKGROUND, IGNORED)))


def _binary(scans: Sequence[MaskScan], kind: str, levels: Sequence[int], structure: str) -> Encoding:
    """For files that hold one structure each: one value beside 0, and `IGNORE`."""
    found = [value for value in levels if value != 0]
    notes: tuple[str, ...] = ()
    names = {0: BACKGROUND}
    rest = [value for value in found if value != IGNORE]
    if kind == GREY and any(_shows(scan, IGNORE, kind) and _shown(scan, rest, kind) for scan in scans):
        found = rest
        names[IGNORE] = IGNORED
        notes = (f"{structure}: grey {IGNORE} is ignored",)
    if len(found) > 1:
        scan = next(scan for scan in scans if any(value in scan.counts for value in found[:-1]))
        value = next(value for value in found if value in scan.counts)
        beside = f", or {IGNORE} to ignore beside it in at least one" if IGNORE in found and kind == GREY else ""
        raise InputError(
            f"{scan.path}: holds {shown_value(value, kind)}, and other masks of {structure} hold "
            f"{shown_value(found[-1], kind)}: a folder of one structure has masks of 0 and one other value{beside}"
        )
    if found == [IGNORE] and kind == GREY:
        notes = (f"{structure}: grey {IGNORE} is the only value beside 0, and is read as the structure",)
    return Encoding(kind, {**names, **dict.fromkeys(found or [255], structure)}, (structure,), notes)


def _listed(scans: Sequence[MaskScan], kind: str, levels: Sequence[int], classes: Classes) -> Encoding:
    """By names without values: class numbers 1, 2, ..., or one grey level per name, darkest first."""
    found, names = [value for value in levels if value != 0], classes.listed
    structures = _structures(names)
    if kind == COLOUR:
        scan = max(scans, key=lambda one: len(one.counts))
        value = next((value for value in found if value in scan.counts), 0)
        raise InputError(
            f"{scan.path}: holds {shown_value(value, kind)}, and {classes.path} names no colours: "
            "write `#RRGGBB = NAME` on each line"
        )
    if len(names) == 1 and len(found) <= 1:
        return Encoding(kind, {0: BACKGROUND, **dict.fromkeys(found or [255], names[0])}, structures, classes.notes)
    numbers = [value for value in found if value != IGNORE or len(names) >= IGNORE]
    if max(numbers, default=0) <= len(names):
        _refuse_shifted(numbers, classes)
        ignored = {IGNORE: IGNORED} if IGNORE in found and len(names) < IGNORE else {}
        numbered = dict(enumerate(names, 1))
        return Encoding(kind, {0: BACKGROUND, **numbered, **ignored}, structures, classes.notes)
    if len(found) == len(names) and found[0] > MOST_CLASSES:
        notes = (*classes.notes, "grey levels are named in their order, darkest first")
        return Encoding(kind, {0: BACKGROUND, **dict(zip(found, names, strict=True))}, structures, notes)
    worst = next(scan for scan in scans if max(numbers) in scan.counts or scan.lossy)
    wanted = max(numbers) if max(numbers) <= MOST_CLASSES else len(numbers)
    raise InputError(
        f"{classes.path}: {counted(len(names), 'name')} for {wanted} classes ({worst.path.name} "
        f"holds {shown_value(max(numbers), kind)}): name every class, one a line, or {HOW_TO_NAME}"
    )


def _refuse_shifted(numbers: Sequence[int], classes: Classes) -> None:
    """Refuse a list whose last name no mask needs, if it may begin with an unknown word for the background.

    Raises:
        InputError: the last class is in no mask.
    """
    last = max((number for number, name in enumerate(classes.listed, 1) if name != IGNORED), default=0)
    if numbers and max(numbers) < last and not classes.from_background:
        raise InputError(
            f"{classes.path}: no mask holds {last} for {classes.listed[last - 1]}: call the first line `background` "
            "if it stands for 0, or write `VALUE = NAME` on each line"
        )


def _found(scans: Sequence[MaskScan], kind: str, levels: Sequence[int]) -> Encoding:
    """Without names: binary, class numbers, grey levels or colours."""
    found = [value for value in levels if value != 0]
    if kind == COLOUR:
        _ask_about_thin(scans, levels)
    else:
        _ask_about_scales(scans, kind, found)
    if len(found) <= 1:
        notes = (f"the structure is called {OBJECT}: write its name into classes.txt",)
        return Encoding(kind, {0: BACKGROUND, **dict.fromkeys(found or [255], OBJECT)}, (OBJECT,), notes)
    _ask_about_ignored(scans, kind, found)
    if kind == COLOUR:
        names = {value: _COLOUR_NAMES.get(value, f"colour_{value:06x}") for value in found}
        notes = ("colours are told apart and named after themselves: name them in classes.txt as `#RRGGBB = NAME`",)
        return Encoding(kind, {0: BACKGROUND, **names}, tuple(names.values()), notes)
    numbers = [value for value in found if value != IGNORE]
    ignored = {IGNORE: IGNORED} if IGNORE in found else {}
    if numbers[-1] <= MOST_CLASSES:
        kept = (f"grey {IGNORE} is ignored",) if ignored else ()
        names = {value: f"class_{value}" for value in range(1, numbers[-1] + 1)}
        if len(numbers) == 1:
            names = {numbers[0]: OBJECT}
        kept = (*kept, f"the classes are called {', '.join(names.values())}: write their names into classes.txt")
        return Encoding(kind, {0: BACKGROUND, **names, **ignored}, tuple(names.values()), kept)
    if len(found) > MOST_CLASSES:
        raise _not_a_mask(max(scans, key=lambda scan: len(scan.counts)), kind, levels)
    names = {value: f"class_{number}" for number, value in enumerate(found, 1)}
    notes = (f"grey levels {', '.join(map(str, found))} are classes 1 to {len(found)}: name them in classes.txt",)
    return Encoding(kind, {0: BACKGROUND, **names}, tuple(names.values()), notes)


def _ask_about_ignored(scans: Sequence[MaskScan], kind: str, found: Sequence[int]) -> None:
    """Refuse a value that may be a class or mean ignore: half way to the only other value, or 255 among class numbers.

    Raises:
        InputError: there is such a value, whose meaning the set's author must give.
    """
    doubtful = None
    greys = _greys(scans, kind, found)
    if len(greys) == 2 and min(greys) in _HALF_WAY and max(greys) == 255:
        doubtful = found[greys.index(min(greys))]
    elif kind in (GREY, INDEX) and found[-1] == 255 and found[-2] <= MOST_CLASSES:
        doubtful = 255
    if doubtful is not None:
        scan = next(scan for scan in scans if doubtful in scan.counts or scan.lossy)
        rest = ", ".join(str(value) for value in found if value != doubtful)
        raise InputError(
            f"{scan.path}: holds {shown_value(doubtful, kind)} beside {rest}, a class or pixels to ignore: "
            f"{HOW_TO_NAME}"
        )


def _greys(scans: Sequence[MaskScan], kind: str, found: Sequence[int]) -> list[int]:
    """What each level looks like in 8 bits, none if it has a colour."""
    if kind == COLOUR or (kind == INDEX and not all(map(_is_grey_palette, scans))):
        return []
    if kind == INDEX:
        return [scans[0].palette[value] & 255 for value in found]
    return [value * 255 // (0xFFFF if found[-1] > 255 else 255) for value in found]


def _ask_about_scales(scans: Sequence[MaskScan], kind: str, found: Sequence[int]) -> None:
    """Refuse grey levels of which no mask holds two: structures, or one structure that some files save otherwise.

    Raises:
        InputError: there are such levels, whose meaning the set's author must give.
    """
    shown = [_shown(scan, found, kind) for scan in scans]
    holders = {values[0]: scan for scan, values in zip(reversed(scans), reversed(shown), strict=True) if values}
    if len(holders) < 2 or max(holders) <= MOST_CLASSES or any(len(values) > 1 for values in shown):
        return
    low, high = min(holders), max(holders)
    raise InputError(
        f"{holders[high].path}: holds 0 and {high}, and {holders[low].path.name} 0 and {low}: save both alike, or name "
        f"both values in classes.txt (`{low} = NAME`, `{high} = NAME`), with one name if they mean the same"
    )


def _shown(scan: MaskScan, levels: Sequence[int], kind: str) -> list[int]:
    return [level for level in levels if _shows(scan, level, kind)]


def _shows(scan: MaskScan, level: int, kind: str) -> bool:
    """Whether a mask holds a level, other than on the edges of others."""
    if scan.lossy:
        return any(_distance(value, level, kind) < _JPEG_STEP for value in scan.flat)
    return level in (scan.counts if len(scan.counts) <= _FEW_COLOURS else scan.flat)


def _ask_about_thin(scans: Sequence[MaskScan], levels: Sequence[int]) -> None:
    """Refuse a colour without areas that no edge between others shows.

    Raises:
        InputError: there is such a colour: a line, a spot, or stray pixels.
    """
    values = sorted({value for scan in scans for value in scan.counts if not scan.lossy} - {*levels})
    for value in _unmixed(values, levels):
        scan = max(scans, key=lambda one: one.counts.get(value, 0))
        if scan.counts[value] >= _STRAY:
            raise InputError(
                f"{scan.path}: holds {shown_value(value, COLOUR)} in {scan.counts[value]} pixels, a thin structure or "
                "stray pixels: write a line `#RRGGBB = NAME` for each colour that counts into classes.txt"
            )


def _unmixed(values: Sequence[int], levels: Sequence[int]) -> list[int]:
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


def _snapped(raw: RawMask, levels: Sequence[int]) -> np.ndarray:
    """The values, with those on smoothed or compressed edges replaced by the nearest level beside them."""
    known = np.isin(raw.values, levels)
    if known.all():
        return raw.values
    areas = _areas(raw, levels, known)
    distance = np.full(raw.values.shape, np.inf, np.float32)
    found = np.zeros(raw.values.shape, np.int32)
    for beside in (True, False):
        # Without a level beside the edge, the nearest of all levels counts.
        left = np.isinf(distance)
        for level in levels:
            near = cv2.dilate((areas == level).view(np.uint8), _EDGE) > 0 if beside else left
            apart = np.where(near, _apart(raw, level), np.inf).astype(np.float32)
            closer = apart < distance
            distance[closer], found[closer] = apart[closer], level
        if not np.isinf(distance).any():
            break
    return np.where(areas >= 0, areas, found)


def _areas(raw: RawMask, levels: Sequence[int], known: np.ndarray) -> np.ndarray:
    """The level of each pixel if certain, else -1."""
    if not raw.lossy:
        # An exact value among smoothed edges is certain inside an area, and if no edge shows it.
        certain = known & (flat_pixels(raw) | np.isin(raw.values, _ends(levels, raw.kind)))
        return np.where(certain, raw.values, -1)
    areas = np.full(raw.values.shape, -1, np.int32)
    flat = flat_pixels(raw)
    for level in levels:
        areas[flat & (_apart(raw, level) < _JPEG_STEP)] = level
    return areas


def _ends(levels: Sequence[int], kind: str) -> list[int]:
    """The levels that no mixture of others shows: both ends of the greys."""
    if kind != COLOUR:
        return [min(levels), max(levels)]
    return [level for level in levels if _unmixed([level], [other for other in levels if other != level])]


def _apart(raw: RawMask, level: int) -> np.ndarray:
    wanted = [(level >> shift) & 255 for shift in (16, 8, 0)] if raw.kind == COLOUR else [level]
    apart = np.zeros(raw.values.shape, np.int32)
    for plane, value in zip(planes_of(raw), wanted, strict=True):
        apart = np.maximum(apart, np.abs(plane.astype(np.int32) - value))
    return apart
