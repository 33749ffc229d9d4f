"""Films as batches of arrays: read once, laid at the network's size, changed anew each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from edge_seg import pixels
from edge_seg_data import LabelledFilm, truth_regions

from edge_seg_train.augmentation import Augmentation
from edge_seg_train.teacher import Teacher


@dataclass(frozen=True)
class PackedFilms:
    """Films at a network's input size, in memory.

    Attributes:
        grey: `(films, height, width)` uint8, exactly what the device's pixel path gives.
        labels: `(films, height, width, structures and regions)` uint8 of 0, 1 and 127 (ignore).
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
    with ThreadPoolExecutor(4) as pool:
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


class TrainingBatches(keras.utils.PyDataset):
    """Augmented batches, a pure function of seed, epoch and step: a resumed run sees what the killed one would have.

    Args:
        films: packed films.
        batch_size: films a batch.
        steps: batches an epoch.
        channels: of the network's input.
        augmentation: what is done to each film.
        balance: films are drawn from each data set with probability proportional to its size to this power:
            1 draws every film equally often, 0 every data set.
        shares: in place of `balance`, how often films of each data set are drawn.
        seed: of all chance.
    """

    def __init__(
        self,
        films: PackedFilms,
        batch_size: int,
        steps: int,
        channels: int,
        augmentation: Augmentation,
        balance: float = 1.0,
        seed: int = 0,
        shares: Sequence[float] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.films, self.batch_size, self.steps, self.channels = films, batch_size, steps, channels
        self.augmentation, self.seed, self.epoch = augmentation, seed, 0
        sizes = np.bincount(films.origin)
        if shares:
            self._weight = np.array(shares, np.float64)[films.origin] / sizes[films.origin]
        else:
            self._weight = (sizes[films.origin] ** (balance - 1.0)).astype(np.float64)
        self._weight /= self._weight.sum()
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.steps

    def _epoch_order(self) -> np.ndarray:
        if self._order is None or self._order[0] != self.epoch:
            rng = np.random.default_rng((self.seed, self.epoch))
            wanted, count = self.steps * self.batch_size, len(self.films)
            # Systematic sampling: each film comes as often as its weight says, give or take one.
            marks = (np.arange(wanted) + rng.random()) / wanted
            shuffled = rng.permutation(count)
            chosen = shuffled[np.minimum(np.searchsorted(np.cumsum(self._weight[shuffled]), marks), count - 1)]
            self._order = self.epoch, rng.permutation(chosen)
        return self._order[1]

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch `index` of the current epoch: `(batch, height, width, channels)` float32 and labels uint8."""
        chosen = self._epoch_order()[index * self.batch_size : (index + 1) * self.batch_size]
        rng = np.random.default_rng((self.seed, self.epoch, index, 1))
        films = self.films
        made = [self.augmentation(films.grey[i], films.labels[i], rng, films.aspect_known[i]) for i in chosen]
        return network_input(np.stack([g for g, _ in made]), self.channels), np.stack([m for _, m in made])

    def on_epoch_end(self) -> None:
        """Move on to the next epoch's films."""
        self.epoch += 1
