"""The films that a benchmark scores: data sets on disk, or the phantom."""

from __future__ import annotations

from functools import partial

import numpy as np
from edge_seg.film import Film
from edge_seg.phantom import phantom
from edge_seg.structures import CHEST
from edge_seg_data import Dataset, LabelledFilm, Outlines, open_dataset

PHANTOM = "phantom"
_PHANTOM_FILMS = 24
_PHANTOM_SHAPES = ((1024, 1024), (1100, 900), (900, 1200))


def open_benchmark_data(name: str) -> Dataset:
    """A data set by folder, or `phantom`: 24 synthetic chests of several shapes and breathing phases.

    Raises:
        InputError: see `open_dataset`.
    """
    if name != PHANTOM:
        return open_dataset(name)
    films = tuple(
        LabelledFilm(f"phantom-{seed}", f"phantom-{seed}", "test", partial(_read_phantom, seed))
        for seed in range(_PHANTOM_FILMS)
    )
    return Dataset(PHANTOM, PHANTOM, tuple(s.name for s in CHEST), films, {"source": "synthetic"})


def _read_phantom(seed: int) -> tuple[Film, Outlines]:
    height, width = _PHANTOM_SHAPES[seed % len(_PHANTOM_SHAPES)]
    made = phantom(height, width, seed=seed, phase=(seed % 4) / 4, bits=16 if seed % 2 else 8)
    return made.film, {name: mask.astype(np.uint8) for name, mask in made.masks.items()}
