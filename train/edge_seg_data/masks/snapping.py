"""Pixels on smoothed or compressed edges, each given to one of the levels beside it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_seg_data.masks.levels import JPEG_STEP, unmixed
from edge_seg_data.masks.raw import COLOUR, RawMask, flat_pixels, planes_of

_EDGE = np.ones((5, 5), np.uint8)  # how far smoothing and JPEG reach


def snapped(raw: RawMask, levels: Sequence[int]) -> np.ndarray:
    """The values, with those on smoothed or compressed edges replaced by the nearest level beside them.

    Args:
        raw: a mask of any size.
        levels: the values with a meaning, at least one, in the mask's kind and ascending.

    Returns:
        `(height, width)` int32 of these levels alone.
    """
    known = np.isin(raw.values, levels)
    if known.all():
        return raw.values
    areas = _areas(raw, levels, known)
    distance = np.full(raw.values.shape, np.inf, np.float32)
    found = np.zeros(raw.values.shape, np.int32)
    for beside in (True, False):
        # Without a level beside the edge, the nearest of all levels counts.
        left = np.isinf(distance)
        for level in levels:
            near = cv2.dilate((areas == level).view(np.uint8), _EDGE) > 0 if beside else left
            apart = np.where(near, _apart(raw, level), np.inf).astype(np.float32)
            closer = apart < distance
            distance[closer], found[closer] = apart[closer], level
        if not np.isinf(distance).any():
            break
    return np.where(areas >= 0, areas, found)


def _areas(raw: RawMask, levels: Sequence[int], known: np.ndarray) -> np.ndarray:
    """The level of each pixel if certain, else -1."""
    if not raw.lossy:
        # An exact value among smoothed edges is certain inside an area, and if no edge shows it.
        certain = known & (flat_pixels(raw) | np.isin(raw.values, _ends(levels, raw.kind)))
        return np.where(certain, raw.values, -1)
    areas = np.full(raw.values.shape, -1, np.int32)
    flat = flat_pixels(raw)
    for level in levels:
        areas[flat & (_apart(raw, level) < JPEG_STEP)] = level
    return areas


def _ends(levels: Sequence[int], kind: str) -> list[int]:
    """The levels that no mixture of others shows: both ends of the greys."""
    if kind != COLOUR:
        return [min(levels), max(levels)]
    return [level for level in levels if unmixed([level], [other for other in levels if other != level])]


def _apart(raw: RawMask, level: int) -> np.ndarray:
    wanted = [(level >> shift) & 255 for shift in (16, 8, 0)] if raw.kind == COLOUR else [level]
    apart = np.zeros(raw.values.shape, np.int32)
    for plane, value in zip(planes_of(raw), wanted, strict=True):
        apart = np.maximum(apart, np.abs(plane.astype(np.int32) - value))
    return apart
