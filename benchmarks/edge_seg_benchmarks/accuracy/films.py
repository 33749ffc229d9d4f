"""The films that a benchmark scores: data sets on disk, or the phantom."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from edge_seg.film import Film
from edge_seg.phantom import phantom
from edge_seg.pixels import IGNORE
from edge_seg.structures import CHEST
from edge_seg_data import Dataset, LabelledFilm, Outlines, open_dataset, truth_regions

PHANTOM = "phantom"
_PHANTOM_FILMS = 24
_PHANTOM_SHAPES = ((1024, 1024), (1100, 900), (900, 1200))

_VISIBLE = "visible lung"  # the fact `lung` of a data set


def open_benchmark_data(name: str) -> Dataset:
    """A data set by folder, or `phantom`: 24 synthetic chests of several shapes and breathing phases.

    A set whose right and left lung are visible lungs is opened with regions of these names, so that it is never scored
    as whole lungs.

    Raises:
        InputError: see `open_dataset`.
    """
    if name != PHANTOM:
        dataset = open_dataset(name)
        return _with_visible_lungs(dataset) if dataset.facts.get("lung") == _VISIBLE else dataset
    films = tuple(
        LabelledFilm(f"phantom-{seed}", f"phantom-{seed}", "test", partial(_read_phantom, seed))
        for seed in range(_PHANTOM_FILMS)
    )
    return Dataset(PHANTOM, PHANTOM, tuple(s.name for s in CHEST), films, {"source": "synthetic"})


def _with_visible_lungs(dataset: Dataset) -> Dataset:
    films = tuple(replace(film, read=partial(_read_visible, film)) for film in dataset.films)
    structures = (*(f"visible_{name}" for name in dataset.structures), "visible_lung")
    return replace(dataset, structures=structures, films=films)


def _read_visible(film: LabelledFilm) -> tuple[Film, Outlines]:
    picture, sides = film.load()
    both, valid = truth_regions(sides)["whole_lung"]
    shown = {f"visible_{name}": plane for name, plane in sides.items()}
    return picture, {**shown, "visible_lung": np.where(valid, both, IGNORE).astype(np.uint8)}


def _read_phantom(seed: int) -> tuple[Film, Outlines]:
    height, width = _PHANTOM_SHAPES[seed % len(_PHANTOM_SHAPES)]
    made = phantom(height, width, seed=seed, phase=(seed % 4) / 4, bits=16 if seed % 2 else 8)
    return made.film, {name: mask.astype(np.uint8) for name, mask in made.masks.items()}
