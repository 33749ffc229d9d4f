"""How planes of a film are stored in the data set of corrections: upright, and under the names used in training."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from edge_seg.orientation import UPRIGHT, Orientation
from edge_seg.record import DoneRecord
from edge_seg.structures import LUNG_DEFINITIONS


def kept_name(record: DoneRecord, name: str) -> str:
    """What a structure is called in a data set: visible lungs must not be learned as whole lungs."""
    return f"visible_{name}" if record.structures.get(name) == LUNG_DEFINITIONS["visible"] else name


def kept_masks(record: DoneRecord, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Masks of a film, given by the model's names, as the data set stores them."""
    return {kept_name(record, name): upright(record, mask) for name, mask in masks.items()}


def _orientation(record: DoneRecord) -> Orientation:
    every = (Orientation(*ways) for ways in product((False, True), repeat=3))
    return next((one for one in every if one.letters == record.film.orientation), UPRIGHT)


def upright(record: DoneRecord, plane: np.ndarray) -> np.ndarray:
    """A plane of the film turned upright: pictures in a data set have no header that says which way is up."""
    return np.ascontiguousarray(_orientation(record).upright(plane))


def turned_back(record: DoneRecord, plane: np.ndarray) -> np.ndarray:
    """An upright plane turned back to the film's own pixels."""
    orientation = _orientation(record)
    own = np.empty(plane.shape[::-1] if orientation.transposed else plane.shape, plane.dtype)
    orientation.upright(own)[...] = plane
    return own
