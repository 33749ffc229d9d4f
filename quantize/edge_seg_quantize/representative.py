"""The representative data set that sets the ranges of a PTQ model: films of the training splits, or the phantom."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from edge_seg import Film, pixels
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg.structures import CHEST
from edge_seg_data import Dataset, LabelledFilm, Outlines, evenly_spaced

REPRESENTATIVE_FILMS = 128
"""Maximum number of films that set the ranges."""

_PHANTOMS = 32  # drawing a chest takes a third of a second
_PHANTOM_SHAPES = ((384, 384), (416, 340), (340, 448))
_FIRST_SEED = 1000  # avoids the chests that `edge-seg benchmark --data phantom` scores


def evenly_of_each(origin: np.ndarray) -> np.ndarray:
    """Indices of at most `REPRESENTATIVE_FILMS` evenly spaced films, equally many from each data set.

    Args:
        origin: `(films,)` index of the data set each film came from.
    """
    origins = np.unique(origin)
    share = max(1, REPRESENTATIVE_FILMS // max(1, len(origins)))
    chosen = [np.zeros(0, np.int64)]
    for one in origins:
        of_set = np.flatnonzero(origin == one)
        chosen.append(of_set[evenly_spaced(range(len(of_set)), share)])
    return np.concatenate(chosen)


def representative_films(
    datasets: Sequence[Dataset], input_shape: tuple[int, int]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Evenly spaced training films of each data set, at a network's size, and the number from each.

    Args:
        datasets: films are taken from their training splits.
        input_shape: `(height, width)`.

    Returns:
        `(films, height, width)` uint8, and `{name, layout, films}` of each data set.

    Raises:
        InputError: no data set has training films, or a film cannot be read.
    """
    films = [(k, film) for k, dataset in enumerate(datasets) for film in dataset.split("train")]
    chosen = [films[i] for i in evenly_of_each(np.array([k for k, _ in films], np.int64))]
    if not chosen:
        raise InputError("none of the data sets has films to train on: give one with a train split")
    grey = np.stack([pixels.to_input(film.load()[0], input_shape)[0] for _, film in chosen])
    counts = [sum(k == of for of, _ in chosen) for k in range(len(datasets))]
    facts = [{"name": d.name, "layout": d.layout, "films": n} for d, n in zip(datasets, counts, strict=True)]
    return grey, facts


def phantoms() -> Dataset:
    """Synthetic chests of several shapes, exposures and breathing phases, to use without real films."""
    films = tuple(
        LabelledFilm(f"phantom-{seed}", f"phantom-{seed}", "train", partial(_draw, seed))
        for seed in range(_FIRST_SEED, _FIRST_SEED + _PHANTOMS)
    )
    return Dataset("phantom", "phantom", tuple(s.name for s in CHEST), films, {"source": "synthetic"})


def _draw(seed: int) -> tuple[Film, Outlines]:
    height, width = _PHANTOM_SHAPES[seed % len(_PHANTOM_SHAPES)]
    made = phantom(height, width, seed=seed, phase=(seed % 4) / 4)
    return made.film, {name: mask.astype(np.uint8) for name, mask in made.masks.items()}
