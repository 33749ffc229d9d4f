"""Converts between masks and closed outlines in the film's pixels; the first pixel's centre is at (0.5, 0.5)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_seg.errors import InputError

Points = tuple[tuple[float, float], ...]
"""A ring: points `(x, y)` in the film's pixels."""

MOST_RINGS, MOST_POINTS = 64, 20_000
"""For one structure; a lung has one ring and a few hundred points."""

_MOST_CROSSINGS = 20_000_000  # of edges with pixel rows: an outline on a film of the largest size has 100,000
_TOLERANCE, _TOLERANCE_SHARE = 0.4, 2e-4  # pixels, or share of a side, that an outline may deviate from its mask's edge
_AROUND = 3  # points on each side that give an outline's direction
_LEAST_SHARE = 5e-4  # of a mask: smaller pieces are specks, too small to grab


def rings_of(mask: np.ndarray) -> list[np.ndarray]:
    """Closed outlines of a mask and of the holes in it.

    Args:
        mask: bool, `(height, width)`.

    Returns:
        Rings of points `(x, y)`, largest first; filled by the even-odd rule they give the mask without its specks.
    """
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    least = max(4.0, _LEAST_SHARE * np.count_nonzero(mask))
    large = [c for c in contours if len(c) >= 8 and abs(cv2.contourArea(c)) >= least]
    tolerance = max(_TOLERANCE, _TOLERANCE_SHARE * max(mask.shape))
    rings = [_simplified(_outward(c[:, 0].astype(np.float64)), tolerance) for c in large]
    return sorted(rings, key=lambda ring: -float(cv2.contourArea(ring.astype(np.float32))))


def mask_of(rings: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie inside rings by the even-odd rule.

    Args:
        rings: each `(points, 2)` of `(x, y)`; parts beyond the film are cut off.
        shape: `(height, width)` of the film.

    Returns:
        Bool, of the film's size.

    Raises:
        InputError: the outlines are longer than any that a person would draw.
    """
    height, width = shape
    turns = np.zeros((height, width + 1), np.uint8)
    crossings = 0
    for ring in rings:
        x, y = np.asarray(ring, np.float64).T
        next_x, next_y = np.roll(x, -1), np.roll(y, -1)
        first = np.clip(np.ceil(np.minimum(y, next_y) - 0.5), 0, height).astype(np.int64)
        last = np.clip(np.ceil(np.maximum(y, next_y) - 0.5), 0, height).astype(np.int64)
        count = last - first
        crossings += int(count.sum())
        if crossings > _MOST_CROSSINGS:
            raise InputError("the outline crosses the film too often: draw it with fewer points")
        edge = np.repeat(np.arange(len(x)), count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        slope = (next_x[edge] - x[edge]) / (next_y[edge] - y[edge])
        column = np.clip(np.ceil(x[edge] + (row + 0.5 - y[edge]) * slope - 0.5), 0, width).astype(np.int64)
        np.bitwise_xor.at(turns, (row, column), 1)
    return np.bitwise_xor.accumulate(turns, axis=1)[:, :width].astype(bool)


def _outward(points: np.ndarray) -> np.ndarray:
    """A contour through the centres of the outermost pixels, moved by half a pixel to their edge."""
    along = np.roll(points, -_AROUND, axis=0) - np.roll(points, _AROUND, axis=0)
    length = np.hypot(along[:, 0], along[:, 1])[:, np.newaxis]
    # OpenCV traces areas and holes in opposite directions, so one normal serves both.
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(length, 1e-9)
    return points + 0.5 + 0.5 * normal


def _simplified(points: np.ndarray, tolerance: float) -> np.ndarray:
    found = cv2.approxPolyDP(points.astype(np.float32)[:, np.newaxis], tolerance, True)[:, 0]
    return np.round(found.astype(np.float64), 1)
