"""A data set as the rest of the program sees it: named films with outlines, split by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.pixels import IGNORE
from edge_seg.structures import regions

from edge_seg_data.report import DatasetReport

Outlines = dict[str, np.ndarray]
"""Per outlined structure or region, `(film height, film width)` uint8 of 0, 1 and `IGNORE`."""

Item = TypeVar("Item")

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelledFilm:
    """A film with its outlines, read on demand.

    Attributes:
        name: of the film's file without suffix; unique in its data set, with the folder in front where it has to be.
        patient: films of one patient are never in two splits.
        split: `train`, `val` or `test`.
        read: reads film and outlines.
        attributes: other known facts (`finding`, `view`, ...).
        scored: false if the outline is too doubtful to score against.
        source: path of the film's file, if it comes from one.
        aspect_known: false if the film is stored squashed by an unknown amount.
        content: hash of the film's file, which identifies equal films across data sets.
    """

    name: str
    patient: str
    split: str
    read: Callable[[], tuple[Film, Outlines]] = field(repr=False, compare=False)
    attributes: dict[str, str] = field(default_factory=dict)
    scored: bool = True
    source: str = ""
    aspect_known: bool = True
    content: str = ""

    def load(self) -> tuple[Film, Outlines]:
        """The film and its outlines, resized to the film's size if stored at another.

        Raises:
            InputError: a file of this film cannot be read, or an outline lies on its side.
        """
        film, outlines = self.read()
        return film, fit_outlines(film, outlines)


@dataclass(frozen=True)
class Dataset:
    """A named set of labelled films.

    Attributes:
        name: of the folder that was given.
        layout: the reader's name.
        structures: outlined structures, and regions that derive from structures.
        films: all films.
        facts: sources, licences and anything else a model card should repeat.
        report: what was read and how, if a folder reader made the set.
    """

    name: str
    layout: str
    structures: tuple[str, ...]
    films: tuple[LabelledFilm, ...]
    facts: dict[str, str] = field(default_factory=dict)
    report: DatasetReport | None = field(default=None, compare=False, repr=False)

    def split(self, name: str) -> tuple[LabelledFilm, ...]:
        """The films of one split: `train`, `val`, `test`, or `all`."""
        return tuple(film for film in self.films if name in (film.split, "all"))


def fit_outlines(film: Film, outlines: Outlines) -> Outlines:
    """The outlines at the film's size.

    Raises:
        InputError: one lies on its side, or has another aspect ratio.
    """
    return {name: _fitted(name, mask, film) for name, mask in outlines.items()}


def evenly_spaced(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, evenly spaced from the first to the last; all of them if `limit` is `None`.

    >>> evenly_spaced("abcde", 3)
    ['a', 'c', 'e']
    """
    count = len(items) if limit is None else min(len(items), limit)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).astype(int)]


def truth_regions(outlines: Outlines) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Truth and validity of every outlined region and of the regions derived from them: bool arrays.

    A region with its own outline on the film is scored against that outline, not against a derived one.
    """
    truth = {name: plane == 1 for name, plane in outlines.items()}
    ignored = np.zeros(next(iter(outlines.values())).shape, bool) if outlines else np.zeros((0, 0), bool)
    for plane in outlines.values():
        ignored |= plane == IGNORE
    return {
        name: (mask, outlines[name] != IGNORE if name in outlines else ~ignored)
        for name, mask in regions(truth).items()
    }


def misfit(film: tuple[int, int], outline: tuple[int, int]) -> str:
    """Why an outline of `(height, width)` cannot be fitted to a film; empty if it can.

    >>> misfit((60, 80), (30, 40)), misfit((60, 80), (80, 60))
    ('', 'lies on its side: turn the outline or the film')
    """
    if outline == film:
        return ""
    if outline == film[::-1]:
        return "lies on its side: turn the outline or the film"
    (height, width), (tall, wide) = film, outline
    # Allow for a pixel of rounding either way.
    if abs(height * wide - width * tall) <= max(height, width) + max(tall, wide):
        return ""
    return f"has {wide} x {tall} pixels, another aspect than the film's {width} x {height}: crop or pad both alike"


def _fitted(name: str, mask: np.ndarray, film: Film) -> np.ndarray:
    height, width = mask.shape
    why = misfit(film.shape, (height, width))
    if why:
        raise InputError(f"{film.source}: its outline `{name}` {why}")
    if mask.shape == film.shape:
        return mask
    return cv2.resize(mask, film.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
