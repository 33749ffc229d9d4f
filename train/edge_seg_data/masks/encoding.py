"""The meaning of a set's mask values, decided over all its masks together, and reported or refused, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edge_seg.errors import InputError
from edge_seg.pixels import IGNORE

from edge_seg_data.masks.classes import BACKGROUND, HOW_TO_NAME, IGNORED, Classes
from edge_seg_data.masks.doubts import (
    ONE_VALUE,
    ask_about_ignored,
    ask_about_scales,
    ask_about_thin,
    refuse_shifted,
    refuse_without_background,
)
from edge_seg_data.masks.levels import (
    JPEG_STEP,
    MOST_CLASSES,
    distance_to_nearest,
    kind_of,
    levels_in,
    levels_of,
    not_a_mask,
    shown_value,
    shows,
    tells_by_colour,
    unify,
)
from edge_seg_data.masks.raw import ALPHA, COLOUR, FEW_VALUES, GREY, MaskScan, in_kind, read_raw
from edge_seg_data.masks.snapping import snapped
from edge_seg_data.report import counted

OBJECT = "object"
"""Name of the structure in a binary set without names."""

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


def decide(scans: Sequence[MaskScan], classes: Classes | None, structure: str | None = None) -> Encoding:
    """The encoding of a set's masks.

    Args:
        scans: of all masks.
        classes: the set's own names, if any.
        structure: the one structure that each file holds, if so.

    Raises:
        InputError: the values are ambiguous, or are not a mask's; the message names a file, a value and what to do.
    """
    kind = kind_of(scans)
    if kind == ALPHA and structure is None and tells_by_colour(scans, classes):
        kind = COLOUR
    unified = [unify(scan, kind) for scan in scans]
    if structure is None and classes is not None and classes.named:
        return _named(unified, kind, classes)
    levels = levels_of(unified, kind)
    refuse_without_background(unified, kind, levels)
    ask_about_thin(unified, kind, levels, structure)
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
    named = snapped(raw, sorted(encoding.names))
    found = {}
    ignored = [value for value, name in encoding.names.items() if name == IGNORED]
    for structure in encoding.structures:
        inside = [value for value, name in encoding.names.items() if name == structure]
        plane = np.isin(named, inside).astype(np.uint8)
        if ignored:
            plane[np.isin(named, ignored)] = IGNORE
        found[structure] = plane
    return found


def _named(scans: Sequence[MaskScan], kind: str, classes: Classes) -> Encoding:
    """By the values that `classes.txt` names; any other value must be on the edge of one."""
    if classes.colours and kind != COLOUR:
        raise InputError(f"{classes.path}: names colours, and the masks are {kind}: name their values")
    if kind == COLOUR and not classes.colours:
        raise InputError(f"{classes.path}: names numbers, and the masks are coloured: write `#RRGGBB = NAME`")
    names = {0: BACKGROUND, **classes.named}
    for scan in scans:
        strange = {
            v: n for v, n in scan.flat.items() if distance_to_nearest(v, list(names), kind) > (JPEG_STEP * scan.lossy)
        }
        if len(scan.counts) <= FEW_VALUES and not scan.lossy:
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
    if kind == GREY and any(shows(scan, IGNORE, kind) and levels_in(scan, rest, kind) for scan in scans):
        found = rest
        names[IGNORE] = IGNORED
        notes = (f"{structure}: grey {IGNORE} is ignored",)
    if len(found) > 1:
        scan = next(scan for scan in scans if any(value in scan.counts for value in found[:-1]))
        value = next(value for value in found if value in scan.counts)
        beside = f", or {IGNORE} to ignore beside it in at least one" if IGNORE in found and kind == GREY else ""
        raise InputError(
            f"{scan.path}: holds {shown_value(value, kind)}, and other masks of {structure} hold "
            f"{shown_value(found[-1], kind)}: {ONE_VALUE}{beside}"
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
        refuse_shifted(numbers, classes)
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


def _found(scans: Sequence[MaskScan], kind: str, levels: Sequence[int]) -> Encoding:
    """Without names: binary, class numbers, grey levels or colours."""
    found = [value for value in levels if value != 0]
    if kind != COLOUR:
        ask_about_scales(scans, kind, found)
    if len(found) <= 1:
        notes = (f"the structure is called {OBJECT}: write its name into classes.txt",)
        return Encoding(kind, {0: BACKGROUND, **dict.fromkeys(found or [255], OBJECT)}, (OBJECT,), notes)
    ask_about_ignored(scans, kind, found)
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
        raise not_a_mask(max(scans, key=lambda scan: len(scan.counts)), kind, levels)
    names = {value: f"class_{number}" for number, value in enumerate(found, 1)}
    notes = (f"grey levels {', '.join(map(str, found))} are classes 1 to {len(found)}: name them in classes.txt",)
    return Encoding(kind, {0: BACKGROUND, **names}, tuple(names.values()), notes)
