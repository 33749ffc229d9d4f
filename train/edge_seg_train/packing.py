"""Films in memory: read once, all up front or each on demand, and letterboxed to the network's input size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import TypeAlias

import click
import numpy as np
from edge_seg import pixels
from edge_seg.errors import InputError
from edge_seg.hardware import usable_cores
from edge_seg_data import Dataset, LabelledFilm, truth_regions

from edge_seg_train.teacher import Teacher

_PORTION = 64  # films to read before copying their labels
_ARRAYS = ("grey", "labels", "origin", "aspect_known")


@dataclass(frozen=True)
class PackedFilms:
    """Films at a network's input size, in memory.

    Attributes:
        grey: `(films, height, width)` uint8, exactly as the device prepares them.
        labels: `(films, height, width, structures and regions)` uint8 of 0, 1 and 127 (ignore). Other networks'
            probabilities of the structures, if learned, follow as uint8 of 0 to 255.
        names: of the films.
        origin: `(films,)` index of the data set each came from.
        aspect_known: `(films,)` bool, false if a film may be squashed.
    """

    grey: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    origin: np.ndarray
    aspect_known: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def take(self, chosen: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Grey and labels of these films."""
        return [(self.grey[i], self.labels[i]) for i in chosen]

    def save(self, folder: Path) -> None:
        """Write the arrays for `mapped`."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def mapped(cls, folder: Path) -> PackedFilms:
        """The films that `save` wrote to a folder, memory-mapped, with numbers as names."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        return cls(names=tuple(map(str, range(len(arrays["grey"])))), **arrays)


_NOTHING = np.zeros((0, 1, 1, 1), np.uint8)
NO_FILMS = PackedFilms(_NOTHING[..., 0], _NOTHING, (), np.zeros(0, np.int64), np.zeros(0, bool))
"""No films."""


class FilmsOnDemand:
    """Films at a network's input size, read on first use and kept.

    The first training step then waits only for its own films. Labels are kept compressed: outlines are mostly runs of
    one value, so a set of ten thousand films fits a small machine.

    Args:
        groups, structures, input_shape, teacher, regions, skip_bad: see `pack`.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[LabelledFilm]],
        structures: Sequence[str],
        input_shape: tuple[int, int],
        teacher: Teacher | None = None,
        regions: Sequence[str] = (),
        skip_bad: bool = False,
    ) -> None:
        self._skip_bad = skip_bad
        self._films = [film for group in groups for film in group]
        self._structures, self._regions, self._teacher = structures, regions, teacher
        self._input_shape = input_shape
        self._labels: list[bytes | None] = [None] * len(self._films)
        # An array of zeros takes up memory only once written.
        self._grey = np.zeros((len(self._films), *input_shape), np.uint8)
        self.names = tuple(film.name for film in self._films)
        self.origin = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        self.aspect_known = np.array([film.aspect_known for film in self._films], bool)

    def __len__(self) -> int:
        return len(self._films)

    def take(self, chosen: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Grey and labels of these films, read by several threads on first use.

        Raises:
            InputError: a film cannot be read.
        """
        unread = [i for i in dict.fromkeys(map(int, chosen)) if self._labels[i] is None]
        if unread:
            with ThreadPoolExecutor(max(4, usable_cores())) as pool:
                list(pool.map(self._read, unread))
        return [(self._grey[i], self._unpacked(i)) for i in chosen]

    def all(self) -> PackedFilms:
        """All films, as arrays.

        Raises:
            InputError: a film cannot be read.
        """
        labels = np.zeros((len(self), *self._label_shape), np.uint8)
        for start in range(0, len(self), _PORTION):
            portion = range(start, min(start + _PORTION, len(self)))
            for i, (_, of_film) in zip(portion, self.take(portion), strict=True):
                labels[i] = of_film
        return PackedFilms(self._grey, labels, self.names, self.origin, self.aspect_known)

    @property
    def _label_shape(self) -> tuple[int, int, int]:
        return *self._input_shape, len(self._structures) + len(self._regions)

    def _read(self, index: int) -> None:
        try:
            grey, labels = lay(self._films[index], self._structures, self._input_shape, self._teacher, self._regions)
        except InputError as error:
            if not self._skip_bad:
                raise InputError(f"{error} (or leave it out: repeat the command with --skip-bad)") from error
            # Only decoding showed the damage: the film keeps its place, and all its labels are ignored.
            click.echo(f"left out: {error}", err=True)
            grey = np.zeros(self._input_shape, np.uint8)
            labels = np.full(self._label_shape, pixels.IGNORE, np.uint8)
        self._grey[index] = grey
        self._labels[index] = zlib.compress(np.ascontiguousarray(labels).tobytes(), 1)

    def _unpacked(self, index: int) -> np.ndarray:
        data = self._labels[index]
        assert data is not None
        return np.frombuffer(zlib.decompress(data), np.uint8).reshape(self._label_shape)


Films: TypeAlias = "PackedFilms | FilmsOnDemand"


def pack(
    groups: Sequence[Sequence[LabelledFilm]],
    structures: Sequence[str],
    input_shape: tuple[int, int],
    teacher: Teacher | None = None,
    regions: Sequence[str] = (),
    skip_bad: bool = False,
) -> PackedFilms:
    """Read films and letterbox them to the network's input size.

    Structures that do not follow from a film's outlines are ignored on it.

    Args:
        groups: films by data set.
        structures: output names, in order.
        input_shape: `(height, width)`.
        teacher: outlines structures that a film lacks, where it is confident.
        regions: names of derived regions whose labels, if outlined, follow those of the structures.
        skip_bad: report a film that cannot be read and ignore all its labels, instead of stopping.

    Raises:
        InputError: a film cannot be read.
    """
    return FilmsOnDemand(groups, structures, input_shape, teacher, regions, skip_bad).all()


def without_undecodable(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The data sets without the films to train or validate on that only decoding shows to be damaged; each is named."""
    with ThreadPoolExecutor(max(4, usable_cores())) as pool:
        return [replace(one, films=tuple(compress(one.films, pool.map(_is_usable, one.films)))) for one in datasets]


def _is_usable(film: LabelledFilm) -> bool:
    if film.split == "test":
        return True  # nothing reads it
    try:
        film.load()
    except InputError as error:
        click.echo(f"left out: {error}", err=True)
        return False
    return True


def lay(
    film: LabelledFilm,
    structures: Sequence[str],
    input_shape: tuple[int, int],
    teacher: Teacher | None = None,
    regions: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """A film at the network's input size: grey `(height, width)`, labels `(height, width, structures and regions)`."""
    picture, outlines = film.load()
    derived = truth_regions(outlines) if set(structures) - outlines.keys() else {}
    missing = [name for name in structures if name not in outlines and name not in derived]
    if teacher and missing:
        outlines = {**outlines, **teacher(picture, missing)}
    nothing = np.zeros(picture.shape, bool)
    planes = [
        outlines[name] if name in outlines else _labels(*derived.get(name, (nothing, nothing))) for name in structures
    ]
    # A region without its own outline is ignored: the outlines it derives from already carry its information.
    planes += [outlines.get(name, _labels(nothing, nothing)) for name in regions]
    grey, letterbox = pixels.to_input(picture, input_shape)
    return grey, pixels.labels_to_input(np.stack(planes, axis=2), letterbox)


def _labels(truth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.where(valid, truth, pixels.IGNORE).astype(np.uint8)


def network_input(grey: np.ndarray, channels: int) -> np.ndarray:
    """`(films, height, width, channels)` float32 in [0, 1] from grey films `(films, height, width)` uint8."""
    table = pixels.input_table(0.0, 1.0, None, 0)
    return np.concatenate([pixels.to_tensor(film, table, channels) for film in grey])
