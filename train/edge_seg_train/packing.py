"""Films in memory: read once and laid at the network's size, with the labels to learn."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edge_seg import pixels
from edge_seg.hardware import usable_cores
from edge_seg_data import LabelledFilm, truth_regions

from edge_seg_train.teacher import Teacher

_ARRAYS = ("grey", "labels", "origin", "aspect_known")


@dataclass(frozen=True)
class PackedFilms:
    """Films at a network's input size, in memory.

    Attributes:
        grey: `(films, height, width)` uint8, exactly what the device's pixel path gives.
        labels: `(films, height, width, structures and regions)` uint8 of 0, 1 and 127 (ignore). Probabilities of the
            structures that are learned from other networks stand behind them, as uint8 of 0 to 255.
        names: of the films.
        origin: `(films,)` index of the data set each came from.
        aspect_known: `(films,)` bool, false where a film may be squashed.
    """

    grey: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    origin: np.ndarray
    aspect_known: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def save(self, folder: Path) -> None:
        """Write the arrays, for `mapped` to read."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def mapped(cls, folder: Path) -> PackedFilms:
        """The films of a folder that `save` wrote, read from its files as they are needed, under numbers as names."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        return cls(names=tuple(map(str, range(len(arrays["grey"])))), **arrays)


_NOTHING = np.zeros((0, 1, 1, 1), np.uint8)
NO_FILMS = PackedFilms(_NOTHING[..., 0], _NOTHING, (), np.zeros(0, np.int64), np.zeros(0, bool))
"""None at all."""


def pack(
    groups: Sequence[Sequence[LabelledFilm]],
    structures: Sequence[str],
    input_shape: tuple[int, int],
    teacher: Teacher | None = None,
    regions: Sequence[str] = (),
) -> PackedFilms:
    """Read films and lay them at the network's size; structures that cannot be had from a film's outlines are ignored.

    Args:
        groups: films by data set.
        structures: output names, in order.
        input_shape: `(height, width)`.
        teacher: outlines structures that a film has no outline for, where it is sure.
        regions: names of derived regions whose labels follow those of the structures, where they are outlined.

    Raises:
        InputError: a film cannot be read.
    """
    films = [(index, film) for index, group in enumerate(groups) for film in group]
    with ThreadPoolExecutor(max(4, usable_cores())) as pool:
        laid = list(pool.map(lambda item: lay(item[1], structures, input_shape, teacher, regions), films))
    height, width = input_shape
    planes = len(structures) + len(regions)
    return PackedFilms(
        np.stack([grey for grey, _ in laid]) if laid else np.zeros((0, height, width), np.uint8),
        np.stack([labels for _, labels in laid]) if laid else np.zeros((0, height, width, planes), np.uint8),
        tuple(film.name for _, film in films),
        np.array([index for index, _ in films], np.int64),
        np.array([film.aspect_known for _, film in films], bool),
    )


def lay(
    film: LabelledFilm,
    structures: Sequence[str],
    input_shape: tuple[int, int],
    teacher: Teacher | None = None,
    regions: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """One film at the network's size: grey `(height, width)` and labels `(height, width, structures and regions)`."""
    picture, outlines = film.load()
    derived = truth_regions(outlines) if set(structures) - outlines.keys() else {}
    missing = [name for name in structures if name not in outlines and name not in derived]
    if teacher and missing:
        outlines = {**outlines, **teacher(picture, missing)}
    nothing = np.zeros(picture.shape, bool)
    planes = [
        outlines[name] if name in outlines else _labels(*derived.get(name, (nothing, nothing))) for name in structures
    ]
    # Where a region is not outlined itself, the outlines it would follow from teach as much as it would.
    planes += [outlines.get(name, _labels(nothing, nothing)) for name in regions]
    grey, letterbox = pixels.to_input(picture, input_shape)
    return grey, pixels.labels_to_input(np.stack(planes, axis=2), letterbox)


def _labels(truth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.where(valid, truth, pixels.IGNORE).astype(np.uint8)


def network_input(grey: np.ndarray, channels: int) -> np.ndarray:
    """`(films, height, width, channels)` float32 in [0, 1] of grey films `(films, height, width)` uint8."""
    table = pixels.input_table(0.0, 1.0, None, 0)
    return np.concatenate([pixels.to_tensor(film, table, channels) for film in grey])
