"""`classes.txt`: the names of the values in a set's masks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import InputError

from edge_seg_data.text import read_text

CLASSES_NAME = "classes.txt"
BACKGROUND, IGNORED = "background", "ignore"
"""Reserved names."""

HOW_TO_NAME = "write a line `VALUE = NAME` for each value into classes.txt, NAME may be `ignore` or `background`"

_OTHER_WORDS = {
    **dict.fromkeys(("bg", "_background_", "__background__", "unlabeled", "unlabelled", "nothing", "none"), BACKGROUND),
    **dict.fromkeys(("void", "ignored", "__ignore__", "_ignore_"), IGNORED),
}
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})\s*[=:,;\s]\s*(.+)")
_TRIPLE = re.compile(r"(\d+)[\s,;]+(\d+)[\s,;]+(\d+)\s*[=:,;\s]\s*(\D.*)")
_NUMBER = re.compile(r"(\d+)\s*(?:[=:,;]|\s)\s*(\D.*)")
_NAME = re.compile(r"\w[\w.-]*")
_MOST_SIGNS = 64


@dataclass(frozen=True)
class Classes:
    """A set's names for its values.

    Attributes:
        path: of the file, for messages.
        named: name by value, if the file gives values; a colour is `0xRRGGBB`.
        listed: names without values, for classes 1, 2, ..., in order.
        colours: whether the values are colours.
        from_background: whether the list begins with the background, so that its names cannot be shifted.
        notes: for the user, on how the file was read.
    """

    path: Path
    named: dict[int, str]
    listed: tuple[str, ...]
    colours: bool = False
    from_background: bool = False
    notes: tuple[str, ...] = ()


def read_classes(folder: Path) -> Classes | None:
    """The names in a folder's `classes.txt`, or in a subfolder's; `None` if there is no such file.

    A line is a name (class 1, 2, ... in order; a first line `background` stands for value 0), `VALUE = NAME`,
    `#RRGGBB = NAME` or `R,G,B = NAME`.

    Raises:
        InputError: two lines with one name, a name that cannot be part of a file name, lines of different kinds, or
            several such files that disagree.
    """
    path = _classes_file(folder)
    if path is None:
        return None
    named: dict[int, str] = {}
    listed: list[str] = []
    colours = False
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        value, text, is_colour = _line(line.strip())
        name = checked_name(f"{path}: line {number}:", text)
        if value is None:
            listed.append(name)
            continue
        if value in named:
            raise InputError(f"{path}: line {number} names a value a second time: give each value one line")
        colours |= is_colour
        named[value] = name
    if named and listed:
        raise InputError(f"{path}: {listed[0]} has no value and other lines do: write `VALUE = NAME` on every line")
    return _classes(path, named, listed, colours)


def _classes_file(folder: Path) -> Path | None:
    """The folder's own file, or the one beside its masks or splits."""
    own, below = (
        [path for path in sorted(folder.glob(where)) if path.name.lower() == CLASSES_NAME and path.is_file()]
        for where in ("*", "*/*")
    )
    found = own or below
    if len({read_text(path).strip() for path in found}) > 1:
        raise InputError(f"{found[0]}: {found[1]} names other classes: leave one {CLASSES_NAME} in {folder}")
    return found[0] if found else None


def _classes(path: Path, named: dict[int, str], listed: list[str], colours: bool) -> Classes:
    notes: tuple[str, ...] = ()
    if listed[:2] == [IGNORED, BACKGROUND]:
        # labelme's own list starts like this: there the ignored class is -1, which masks store as 255.
        listed = listed[1:]
    from_background = listed[:1] == [BACKGROUND]
    if from_background:
        listed = listed[1:]
        notes = (
            f"{path.name} starts with background: it is value 0, and {listed[0] if listed else 'none'} is class 1",
        )
    names = [name for name in (*listed, *dict.fromkeys(named.values())) if name not in (BACKGROUND, IGNORED)]
    same = names_alike(names)
    if same:
        raise InputError(f"{path}: {same[1]} is there twice: give every class a name of its own")
    for name in names:
        values = [value for value, other in named.items() if other == name]
        if len(values) > 1:
            notes += (f"{path.name}: {name} is what {len(values)} values hold together",)
    if BACKGROUND in listed:
        raise InputError(f"{path}: background is value 0: write it on the first line, or leave it out")
    return Classes(path, named, tuple(listed), colours, from_background, notes)


def names_alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that are equal on a case-insensitive file system (`Lung`, `lung`), if any."""
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            return seen[name.casefold()], name
        seen[name.casefold()] = name
    return None


def _line(line: str) -> tuple[int | None, str, bool]:
    if found := _COLOUR.fullmatch(line):
        return int(found[1], 16), found[2], True
    if found := _TRIPLE.fullmatch(line):
        red, green, blue = (min(255, int(found[k])) for k in (1, 2, 3))
        return red << 16 | green << 8 | blue, found[4], True
    if found := _NUMBER.fullmatch(line):
        return int(found[1]), found[2], False
    return None, line, False


def checked_name(where: str, text: str) -> str:
    """Normalise a name to a structure's, `background` or `ignore`.

    Args:
        where: file and position, for the message.
        text: the name as written.

    Raises:
        InputError: it cannot be part of a file name.
    """
    name = unicodedata.normalize("NFC", text.strip().replace(" ", "_"))
    name = _OTHER_WORDS.get(name.lower(), name.lower() if name.lower() in (BACKGROUND, IGNORED) else name)
    # Hindi, Thai and others write vowels as marks on a letter.
    letters = name[:1] + "".join(sign for sign in name[1:] if not unicodedata.category(sign).startswith("M"))
    if len(name) > _MOST_SIGNS or not _NAME.fullmatch(letters):
        raise InputError(f"{where} {text.strip()[:80]} cannot be part of a file name: use letters, digits, - and _")
    return name
