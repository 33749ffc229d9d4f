"""Values with more than one possible meaning: refused, with what the set's author can say to settle it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edge_seg.errors import InputError

from edge_seg_data.masks.classes import HOW_TO_NAME, IGNORED, Classes
from edge_seg_data.masks.levels import MOST_CLASSES, is_grey_palette, levels_in, shown_value, unmixed
from edge_seg_data.masks.raw import COLOUR, FEW_VALUES, GREY, INDEX, MaskScan

_HALF_WAY = range(124, 133)  # what JPEG makes of 127 and 128
_STRAY = 4  # pixels of a value that may be nothing
_APART = 0.2  # least share of a thin structure's pixels that no edge explains
_HOW_TO_NAME_COLOURS = "write a line `#RRGGBB = NAME` for each colour that counts into classes.txt"

ONE_VALUE = "a folder of one structure has masks of 0 and one other value"
"""What to do about a second value in such a folder."""


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


def refuse_shifted(numbers: Sequence[int], classes: Classes) -> None:
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


def ask_about_ignored(scans: Sequence[MaskScan], kind: str, found: Sequence[int]) -> None:
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
    if kind == COLOUR or (kind == INDEX and not all(map(is_grey_palette, scans))):
        return []
    if kind == INDEX:
        return [scans[0].palette[value] & 255 for value in found]
    return [value * 255 // (0xFFFF if found[-1] > 255 else 255) for value in found]


def ask_about_scales(scans: Sequence[MaskScan], kind: str, found: Sequence[int]) -> None:
    """Refuse grey levels of which no mask holds two: structures, or one structure that some files save otherwise.

    Raises:
        InputError: there are such levels, whose meaning the set's author must give.
    """
    shown = [levels_in(scan, found, kind) for scan in scans]
    holders = {values[0]: scan for scan, values in zip(reversed(scans), reversed(shown), strict=True) if values}
    if len(holders) < 2 or max(holders) <= MOST_CLASSES or any(len(values) > 1 for values in shown):
        return
    low, high = min(holders), max(holders)
    raise InputError(
        f"{holders[high].path}: holds 0 and {high}, and {holders[low].path.name} 0 and {low}: save both alike, or name "
        f"both values in classes.txt (`{low} = NAME`, `{high} = NAME`), with one name if they mean the same"
    )


def ask_about_thin(scans: Sequence[MaskScan], kind: str, levels: Sequence[int], structure: str | None) -> None:
    """Refuse a value without areas that smoothing between others does not explain.

    Such is a colour far from all mixtures of the levels, and, where no mask has the many values of smoothed edges, a
    value of which many pixels do not lie between a darker and a brighter one.

    Args:
        scans: of all masks, in the set's kind.
        kind: of the set.
        levels: of the set.
        structure: the one that each file holds, if so.

    Raises:
        InputError: there is such a value: a line, a spot, or stray pixels.
    """
    exact = [scan for scan in scans if not scan.lossy]
    values = sorted({value for scan in exact for value in scan.counts} - {*levels})
    unmixable = {*unmixed(values, levels)} if kind == COLOUR else set()
    unsmoothed = all(len(scan.counts) <= FEW_VALUES for scan in exact)

    def unexplained(scan: MaskScan, value: int) -> int:
        pixels, apart = scan.counts.get(value, 0), scan.apart.get(value, 0)
        if value in unmixable:
            return pixels
        return apart if unsmoothed and apart >= _APART * pixels else 0

    for value in values:
        scan = max(exact, key=lambda one: unexplained(one, value))
        if unexplained(scan, value) >= _STRAY:
            how = HOW_TO_NAME if kind != COLOUR else _HOW_TO_NAME_COLOURS
            raise InputError(
                f"{scan.path}: holds {shown_value(value, kind)} in {scan.counts[value]} pixels, a thin structure or "
                f"stray pixels: {how if structure is None else ONE_VALUE}"
            )
