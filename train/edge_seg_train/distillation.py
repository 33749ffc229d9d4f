"""Probabilities from other networks as targets for a smaller one.

A target is the mean of the networks' probabilities (Hinton et al. 2015, "Distilling the knowledge in a neural
network"), on films without outlines too. Networks that held a film out take precedence over those trained on it (Dao
et al. 2021, "Knowledge distillation as semiparametric inference").
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_seg import pixels
from edge_seg.errors import UsageError
from edge_seg.hardware import usable_cores
from edge_seg_data import LabelledFilm

from edge_seg_train.config import BACKGROUND, read_config
from edge_seg_train.data import is_run, lineage, patients_learned
from edge_seg_train.network import build
from edge_seg_train.packing import PackedFilms, network_input
from edge_seg_train.pretrained import load_pretrained, read_pretrained

_BATCH = 32


def with_probabilities(
    films: PackedFilms, groups: Sequence[Sequence[LabelledFilm]], runs: Sequence[str], structures: Sequence[str]
) -> PackedFilms:
    """Append the runs' probabilities of each structure to the films' labels.

    A network repeats the outlines of the films it was trained on, faults and all. If any of the runs was not trained on
    a film's patient, only such runs contribute to that film's target; otherwise all do.

    Args:
        films: packed from `groups`.
        groups: films by data set.
        runs: folders of training runs, or names of shipped weights.
        structures: wanted, in order; each run must have them.

    Raises:
        InputError: a run or a film cannot be read.
        UsageError: a run lacks a structure, or its input has a different aspect ratio from the films'.
    """
    if not runs:
        return films
    height, width = films.grey.shape[1:]
    every = [film for group in groups for film in group]
    speaks = _speaking(every, runs)
    # Integers, so that thousands of films fit into a small machine's memory.
    total = np.zeros((len(films), height, width, len(structures)), np.uint16)
    for run, asked in zip(runs, speaks, strict=True):
        model, outputs, output = _network(run)
        shape = model.input_shape[1], model.input_shape[2]
        if shape[0] * width != shape[1] * height:
            raise UsageError(f"{run}: its input of {shape[0]}x{shape[1]} is not shaped like {height}x{width}")
        at = _channels(run, outputs, structures)
        numbers = np.flatnonzero(asked)
        for start in range(0, len(numbers), _BATCH):
            shown = numbers[start : start + _BATCH]
            grey = films.grey[shown] if shape == (height, width) else _lay([every[i] for i in shown], shape)
            logits = np.asarray(model.predict_on_batch(network_input(grey, model.input_shape[3])), np.float32)
            found = pixels.structure_logits(logits, output)[..., at]
            for number, one in zip(shown, 255 / (1 + np.exp(-found)), strict=True):
                laid = cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA).reshape(total.shape[1:])
                total[number] += np.rint(laid).astype(np.uint16)
    count = speaks.sum(axis=0).astype(np.uint16)[:, None, None, None]
    total += count // 2
    taught = (total // count).astype(np.uint8)
    return replace(films, labels=np.concatenate([films.labels, taught], axis=3))


def _speaking(films: Sequence[LabelledFilm], runs: Sequence[str]) -> np.ndarray:
    """Which runs contribute to each film's target: `(runs, films)` bool, at least one run per film."""
    learned = [_patients_learned(run) for run in runs]
    unseen = np.array([[of is not None and film.patient not in of for film in films] for of in learned], bool)
    return unseen | ~unseen.any(axis=0)


def _patients_learned(run: str) -> set[str] | None:
    """Patients that a run, or a run it started from, was trained on; `None` if shipped weights or a run is gone."""
    return patients_learned(run) if is_run(lineage(run)[-1]) else None


def _network(run: str) -> tuple[Any, tuple[str, ...], str]:
    """The network of a run or of shipped weights, the names of its output channels, and its output kind."""
    import keras

    found = read_pretrained(run)
    model = build(keras, found.network)
    load_pretrained(model, found.outputs, found)
    output = read_config(Path(run))[0].output if is_run(run) else "sigmoid"
    return model, found.outputs, output


def _channels(run: str, outputs: Sequence[str], structures: Sequence[str]) -> list[int]:
    known = [name for name in outputs if name != BACKGROUND]
    missing = [name for name in structures if name not in known]
    if missing:
        raise UsageError(f"{run}: knows nothing of {missing[0]}, which is to be learned: choose another --distill")
    return [known.index(name) for name in structures]


def _lay(films: Sequence[LabelledFilm], shape: tuple[int, int]) -> np.ndarray:
    with ThreadPoolExecutor(max(4, usable_cores())) as pool:
        return np.stack(list(pool.map(lambda film: pixels.to_input(film.load()[0], shape)[0], films)))
