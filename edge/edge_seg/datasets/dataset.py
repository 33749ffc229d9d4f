"""What every data set is to the rest of the program: named films with outlines, split by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from edge_seg.errors import InputError
from edge_seg.film import Film

Outlines = dict[str, np.ndarray]
"""Per structure or region, `(film height, film width)` uint8 of 0, 1 and 127 (ignore); only what is outlined."""

SPLITS = ("train", "val", "test")


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
        """The film and its outlines.

        Raises:
            InputError: a file of this film cannot be read.
        """
        return self.read()


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
    """A film from a picture file of a data set."""
    return Film(read_grey(path), name=path.name, source=str(path))


def read_mask(path: Path) -> np.ndarray:
    """Outline from a picture where black is background, `IGNORE` is ignored and anything else is inside.

    JPEG masks carry grey fringes; only lossless files are asked for the exact value of `IGNORE`.
    """
    picture = read_grey(path, cv2.IMREAD_GRAYSCALE)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        return (picture >= 128).astype(np.uint8)
    values = np.unique(picture)
    if values.size == 3 and values[1] == 127:
        return np.where(picture == 127, 127, picture > 127).astype(np.uint8)
    return (picture > 0).astype(np.uint8)
