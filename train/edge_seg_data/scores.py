"""How well two masks agree: Dice, intersection over union, distances between their outlines.

Pixels where `valid` is false do not count. A structure absent from both truth and prediction scores 1 (distance 0);
absent from only one of them it scores 0 (distance: the film's diagonal).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


def dice(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Dice coefficient `2 |A and B| / (|A| + |B|)` (Dice 1945) of two bool arrays of the same shape.

    >>> dice(np.array([[True, True]]), np.array([[True, False]]))
    0.6666666666666666
    """
    both, truth_size, prediction_size = _sizes(truth, prediction, valid)
    return 2 * both / (truth_size + prediction_size) if truth_size + prediction_size else 1.0


def intersection_over_union(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Jaccard index `|A and B| / |A or B|` of two bool arrays of the same shape."""
    both, truth_size, prediction_size = _sizes(truth, prediction, valid)
    either = truth_size + prediction_size - both
    return both / either if either else 1.0


@dataclass(frozen=True)
class OutlineDistance:
    """How far apart two outlines are, in pixels.

    Attributes:
        hd95: larger of the two 95th percentiles of outline-to-outline distance. Huttenlocher et al. 1993, with the 95th
            percentile in place of the maximum, as the BraTS and Medical Decathlon challenges score it.
        average: average symmetric surface distance: the mean over both outlines' pixels of the distance to the other
            outline (Heimann et al. 2009, IEEE TMI 28:1251).
    """

    hd95: float
    average: float


def outline_distance(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> OutlineDistance:
    """Distances between the outlines of two masks, Euclidean, from pixel centre to pixel centre.

    Args:
        truth, prediction: `(height, width)` bool.
        valid: bool of the same shape; pixels where it is false do not count.
    """
    if valid is not None:
        truth, prediction = truth & valid, prediction & valid
    if not truth.any() and not prediction.any():
        return OutlineDistance(0.0, 0.0)
    if not truth.any() or not prediction.any():
        diagonal = float(np.hypot(*truth.shape))
        return OutlineDistance(diagonal, diagonal)
    # Both outlines are in this box, and so are the shortest paths between them.
    x, y, width, height = cv2.boundingRect((truth | prediction).view(np.uint8))
    box = slice(y, y + height), slice(x, x + width)
    edges = [_edge(truth[box]), _edge(prediction[box])]
    maps = [cv2.distanceTransform((~edge).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for edge in edges]
    there, back = _exact(maps[1][edges[0]]), _exact(maps[0][edges[1]])
    average = (there.sum(dtype=np.float64) + back.sum(dtype=np.float64)) / (there.size + back.size)
    return OutlineDistance(float(max(np.percentile(there, 95), np.percentile(back, 95))), float(average))


def _exact(distances: np.ndarray) -> np.ndarray:
    """Exact distances between pixel centres, float64: their squares are integers.

    Limited to one thread, OpenCV uses another implementation, which differs in the last digits of float32. Scores must
    not depend on the number of free cores: a resumed benchmark mixes scores from several runs. Exact for distances
    below some 1,500 pixels.
    """
    return np.sqrt(np.rint(distances.astype(np.float64) ** 2))


def _edge(mask: np.ndarray) -> np.ndarray:
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0)
    return mask & (inner == 0)


def _sizes(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None) -> tuple[int, int, int]:
    if valid is not None:
        truth, prediction = truth & valid, prediction & valid
    return (
        int(np.count_nonzero(truth & prediction)),
        int(np.count_nonzero(truth)),
        int(np.count_nonzero(prediction)),
    )
