"""Any `images/` + `masks/` pair of folders, as Shenzhen and the Kaggle sets have them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.pixels import IGNORE

from edge_seg_data.dataset import (
    Dataset,
    LabelledFilm,
    Outlines,
    picture_files,
    read_film,
    read_labels,
    split_by_patient,
    values_of,
)

SUFFIXES = ("", "_mask", "-mask", "_seg", "_label")
MOST_CLASSES = 32


def recognises(folder: Path) -> bool:
    """Whether there are folders `images` and `masks`."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


@dataclass(frozen=True)
class Coding:
    """What the values of a set's masks mean, the same for all of them.

    Attributes:
        classes: value of each structure, in order.
        ignored: value of pixels that nobody can tell, if there is one.
    """

    classes: tuple[int, ...]
    ignored: int | None = None

    @classmethod
    def of(cls, values: Iterable[int]) -> Coding | None:
        """The coding of a set whose masks hold these values, or `None` where they are grey.

        One value beside 0 is a binary set, whatever the value; more are class numbers, and then `IGNORE` is ignored.
        """
        found = sorted(set(values) - {0})
        if len(found) <= 1:
            return cls(tuple(found) or (1,))
        named = [value for value in found if value != IGNORE]
        ignored = IGNORE if IGNORE in found else None
        if len(named) == 1:
            return cls(tuple(named), ignored)
        return cls(tuple(range(1, named[-1] + 1)), ignored) if named[-1] <= MOST_CLASSES else None


def read(folder: Path) -> Dataset:
    """Every image with a mask. Masks are binary (0 and one other value) or hold integer class labels 0, 1, 2, ...

    Which of the two is read off all masks of the set together. What the classes are called stands in `classes.txt`, a
    name a line, first line for class 1; without it a binary set has the structure `object` and others
    `class_1`, `class_2`, ....

    Raises:
        InputError: the masks hold grey values that are neither binary nor class labels, or one cannot be read.
    """
    masks = {path.stem: path for path in picture_files(folder / "masks")}
    pairs = []
    for path in picture_files(folder / "images"):
        mask = next((masks[path.stem + s] for s in SUFFIXES if path.stem + s in masks), None)
        if mask is not None:
            pairs.append((path, mask))
    listed = _listed(folder)
    coding = _coding([mask for _, mask in pairs], listed)
    names = _names(folder, listed, len(coding.classes))
    films = [
        LabelledFilm(image.stem, image.stem, "", partial(_read, image, mask, names, coding)) for image, mask in pairs
    ]
    return Dataset(folder.name, "pairs", names, split_by_patient(films))


def _coding(masks: list[Path], listed: tuple[str, ...]) -> Coding:
    with ThreadPoolExecutor(4) as pool:
        held = dict(zip(masks, pool.map(lambda path: values_of(read_labels(path)), masks), strict=True))
    values = {value for each in held.values() for value in each}
    if len(listed) > 1 and max(values, default=0) <= len(listed):
        return Coding(tuple(range(1, len(listed) + 1)))
    coding = Coding.of(values)
    if coding is None:
        worst = max(masks, key=lambda path: held[path][-1])
        raise InputError(
            f"{worst}: holds grey value {held[worst][-1]}, neither a binary mask nor class labels up to "
            f"{MOST_CLASSES}: save all masks as 0 and 255, or as class numbers"
        )
    return coding


def _listed(folder: Path) -> tuple[str, ...]:
    """The names in `classes.txt`, none where there is no such file."""
    listed = folder / "classes.txt"
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    return tuple(line.strip().replace(" ", "_") for line in lines if line.strip())


def _names(folder: Path, listed: tuple[str, ...], classes: int) -> tuple[str, ...]:
    if not listed:
        return ("object",) if classes == 1 else tuple(f"class_{i}" for i in range(1, classes + 1))
    if len(listed) < classes:
        raise InputError(
            f"{folder / 'classes.txt'}: {len(listed)} names for {classes} classes: name every class, one a line"
        )
    return listed[:classes]


def _read(image: Path, mask: Path, names: tuple[str, ...], coding: Coding) -> tuple[Film, Outlines]:
    labels = read_labels(mask)
    outlines = {name: (labels == value).astype(np.uint8) for name, value in zip(names, coding.classes, strict=True)}
    if coding.ignored is not None:
        for outline in outlines.values():
            outline[labels == coding.ignored] = IGNORE
    return read_film(image), outlines
