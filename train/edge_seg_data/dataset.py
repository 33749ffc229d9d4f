"""What every data set is to the rest of the program: named films with outlines, split by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.pixels import IGNORE
from edge_seg.sources.image import decode_picture, read_bytes
from edge_seg.structures import regions

Outlines = dict[str, np.ndarray]
"""Per structure or region, `(film height, film width)` uint8 of 0, 1 and `IGNORE`; only what is outlined."""

Item = TypeVar("Item")

SPLITS = ("train", "val", "test")

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Suffixes of the files that are films or outlines; anything else in their folders is passed over."""

_JPEG = (".jpg", ".jpeg")


@dataclass(frozen=True)
class LabelledFilm:
    """One film with its outlines, read when asked for.

    Attributes:
        name: unique in its data set.
        patient: films of one patient never lie in two splits.
        split: `train`, `val` or `test`.
        read: reads film and outlines.
        attributes: what else is known (`finding`, `view`, ...).
        scored: false where the outline is too doubtful to score against.
    """

    name: str
    patient: str
    split: str
    read: Callable[[], tuple[Film, Outlines]] = field(repr=False, compare=False)
    attributes: dict[str, str] = field(default_factory=dict)
    scored: bool = True

    def load(self) -> tuple[Film, Outlines]:
        """The film and its outlines, which are enlarged or shrunk to the film's size where they were stored at another.

        Raises:
            InputError: a file of this film cannot be read, or an outline lies on its side.
        """
        film, outlines = self.read()
        return film, {name: _fitted(name, mask, film) for name, mask in outlines.items()}


@dataclass(frozen=True)
class Dataset:
    """A named set of labelled films.

    Attributes:
        name: the folder's name.
        layout: which reader read it.
        structures: what its films can be outlined for, in the order of a network's outputs.
        films: all films.
        facts: sources, licences and anything else a model card should repeat.
    """

    name: str
    layout: str
    structures: tuple[str, ...]
    films: tuple[LabelledFilm, ...]
    facts: dict[str, str] = field(default_factory=dict)

    def split(self, name: str) -> tuple[LabelledFilm, ...]:
        """The films of one split: `train`, `val`, `test`, or `all`."""
        return tuple(film for film in self.films if name in (film.split, "all"))


def evenly_spaced(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, evenly spaced from the first to the last; all of them where there is no limit.

    >>> evenly_spaced("abcde", 3)
    ['a', 'c', 'e']
    """
    count = len(items) if limit is None else min(len(items), limit)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).astype(int)]


def truth_regions(outlines: Outlines) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Truth and validity of every outlined region, and of those derived from them: bool arrays.

    A region that the film has an outline for is scored against that outline, not against a derived one.
    """
    truth = {name: plane == 1 for name, plane in outlines.items()}
    ignored = np.zeros(next(iter(outlines.values())).shape, bool) if outlines else np.zeros((0, 0), bool)
    for plane in outlines.values():
        ignored |= plane == IGNORE
    return {
        name: (mask, outlines[name] != IGNORE if name in outlines else ~ignored)
        for name, mask in regions(truth).items()
    }


def split_by_patient(films: Iterable[LabelledFilm], seed: int = 0) -> tuple[LabelledFilm, ...]:
    """Splits 80:10:10 by patient, for data that name no split.

    Patients are ordered by a hash of their identifier, so that the split does not change with the order of files;
    with at least three patients no split is empty.
    """
    films = tuple(films)
    patients = sorted({film.patient for film in films}, key=lambda p: hashlib.sha256(f"{seed}/{p}".encode()).digest())
    tenth = max(1, round(len(patients) / 10)) if len(patients) >= 3 else 0
    held_out = dict.fromkeys(patients[:tenth], "test") | dict.fromkeys(patients[tenth : 2 * tenth], "val")
    return tuple(replace(film, split=held_out.get(film.patient, "train")) for film in films)


def read_grey(path: Path, flags: int = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) -> np.ndarray:
    """A picture as a grey array of its own depth.

    Raises:
        InputError: it is absent or no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): complete the data set") from error
    picture = cv2.imdecode(data, flags) if data.size else None
    if picture is None:
        raise InputError(f"{path}: not a picture that can be decoded: replace it or leave it out")
    return picture


def read_film(path: Path) -> Film:
    """A film from a picture file of a data set, decoded as a device decodes it.

    Raises:
        InputError: it is absent, cut off, or no film.
    """
    return decode_picture(read_bytes(path), path)


def read_mask(path: Path) -> np.ndarray:
    """Outline from a picture of black background, one brighter value inside, and `IGNORE` where nobody can tell.

    JPEG masks and smoothed ones carry grey fringes: those are cut half way up, and hold no `IGNORE`.

    Returns:
        `(height, width)` uint8 of 0, 1 and `IGNORE`.
    """
    picture = read_labels(path)
    inside = set(values_of(picture)) - {0, IGNORE}
    if len(inside) > 1:
        return (2 * picture.astype(np.int64) >= int(picture.max())).astype(np.uint8)
    return np.where(picture == IGNORE, IGNORE, picture > 0).astype(np.uint8)


def read_labels(path: Path) -> np.ndarray:
    """A mask's own values; what JPEG did to them is undone, as far as 0 and 255 go. uint8 or uint16.

    Raises:
        InputError: the mask is absent, no picture, or not of whole numbers.
    """
    picture = read_grey(path)
    if picture.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: the mask's values are {picture.dtype}: save it with 8 or 16 bits a pixel")
    if path.suffix.lower() in _JPEG:
        return np.where(picture >= 128, 255, 0).astype(np.uint8)
    return picture


def values_of(picture: np.ndarray) -> list[int]:
    """The values that a picture of unsigned integers holds, in order; counted, since sorting a large mask is slow."""
    return [int(value) for value in np.flatnonzero(np.bincount(picture.ravel()))]


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder, by name.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.name[0] != ".")
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}): complete the data set") from error


def _fitted(name: str, mask: np.ndarray, film: Film) -> np.ndarray:
    if mask.shape == film.shape:
        return mask
    if mask.shape == film.shape[::-1]:
        raise InputError(f"{film.source}: its outline `{name}` lies on its side: turn the outline or the film")
    return cv2.resize(mask, film.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
