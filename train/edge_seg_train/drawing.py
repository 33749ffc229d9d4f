"""Which films make up a batch, and how each is augmented: a pure function of seed, epoch, step and row.

A resumed run therefore sees the films an uninterrupted one would have, however the batches are made, and so do
processes that share a batch. Worker processes make the batches if the accelerator trains faster than one process
augments; they load no framework.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from edge_seg_train.augmentation import Augmentation
from edge_seg_train.packing import NO_FILMS, Films, FilmsOnDemand, PackedFilms
from edge_seg_train.processes import ALONE, Processes

RECIPE = 2
"""Version, in a run's record, of how films are seeded: 2 seeds each row of a batch, 1 seeded each batch."""


@dataclass
class Drawing:
    """Draws and augments the films of a batch.

    Attributes:
        films: at the network's input size.
        batch_size: films per batch.
        steps: batches per epoch.
        augmentation: applied to each film.
        balance: films are drawn from each data set with probability proportional to its size to this power:
            1 draws every film equally often, 0 every data set.
        seed: of all random choices.
        shares: in place of `balance`, how often films of each data set are drawn.
        outlines: number of label planes that are outlines; the planes after them are probabilities.
        processes: that share each batch.
    """

    films: Films
    batch_size: int
    steps: int
    augmentation: Augmentation
    balance: float = 1.0
    seed: int = 0
    shares: Sequence[float] = ()
    outlines: int | None = None
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        self._order: tuple[int, np.ndarray] | None = None

    def __call__(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """This process's rows of batch `index` of an epoch: grey `(rows, height, width)` and labels, both uint8."""
        rows = self.processes.rows(self.batch_size)
        chosen = self.chosen(epoch, index)[rows]
        chance = [np.random.default_rng((self.seed, epoch, index, row, 1)) for row in range(rows.start, rows.stop)]
        known = self.films.aspect_known[chosen]
        films = zip(self.films.take(chosen.tolist()), chance, known, strict=True)
        made = [self.augmentation(grey, labels, rng, aspect, self.outlines) for (grey, labels), rng, aspect in films]
        return np.stack([grey for grey, _ in made]), np.stack([labels for _, labels in made])

    def chosen(self, epoch: int, index: int) -> np.ndarray:
        """Indices of the films in batch `index` of an epoch: `(batch,)` int64."""
        return self._epoch_order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            wanted, count = self.steps * self.batch_size, len(self.films)
            # Systematic sampling: each film is drawn in proportion to its weight, give or take one.
            marks = (np.arange(wanted) + rng.random()) / wanted
            shuffled = rng.permutation(count)
            weight = self._weights()[shuffled]
            chosen = shuffled[np.minimum(np.searchsorted(np.cumsum(weight), marks), count - 1)]
            self._order = epoch, rng.permutation(chosen)
        return self._order[1]

    def _weights(self) -> np.ndarray:
        sizes = np.bincount(self.films.origin)
        if self.shares:
            weight = np.array(self.shares, np.float64)[self.films.origin] / sizes[self.films.origin]
        else:
            weight = (sizes[self.films.origin] ** (self.balance - 1.0)).astype(np.float64)
        return np.asarray(weight / weight.sum())


@contextmanager
def drawing_processes(drawing: Drawing, count: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool whose processes make the drawing's batches with `draw`; `None` for a count of 0.

    The processes read the films from files in a temporary folder (`TMPDIR`), which needs as much space as the films.
    """
    if not count:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="edge-seg-films-") as folder:
        films = drawing.films.all() if isinstance(drawing.films, FilmsOnDemand) else drawing.films
        films.save(Path(folder))
        # Not fork: frameworks have threads by now, and the locks they hold would stay locked in the child.
        context = get_context("spawn")
        with ProcessPoolExecutor(
            count, context, initializer=_begin, initargs=(folder, replace(drawing, films=NO_FILMS))
        ) as pool:
            yield pool


def draw(epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Call the `Drawing`, inside a process of `drawing_processes`."""
    return _drawings[0](epoch, index)


_drawings: list[Drawing] = []


def _begin(folder: str, drawing: Drawing) -> None:
    # The processes share the cores, so each has one thread.
    cv2.setNumThreads(1)
    _drawings.append(replace(drawing, films=PackedFilms.mapped(Path(folder))))
