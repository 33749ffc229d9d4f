"""How well two masks agree: Dice, intersection over union, 95th-percentile Hausdorff distance.

Pixels where `valid` is false count for nothing. A structure that is absent in truth and prediction scores
1 (distance 0); absent in only one of them it scores 0 (distance: the film's diagonal).
"""

from __future__ import annotations

import cv2
import numpy as np


def dice(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Dice coefficient `2 |A and B| / (|A| + |B|)` (Dice 1945) of two bool arrays of one shape.

    >>> dice(np.array([[True, True]]), np.array([[True, False]]))
    0.6666666666666666
    """
    both, truth_size, prediction_size = _sizes(truth, prediction, valid)
    return 2 * both / (truth_size + prediction_size) if truth_size + prediction_size else 1.0


def intersection_over_union(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Jaccard index `|A and B| / |A or B|` of two bool arrays of one shape."""
    both, truth_size, prediction_size = _sizes(truth, prediction, valid)
    either = truth_size + prediction_size - both
    return both / either if either else 1.0


def hausdorff95(truth: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Larger of the two 95th percentiles of outline-to-outline distance, in pixels (HD95).

    Huttenlocher et al. 1993, with the 95th percentile in place of the maximum, as the BraTS and
    Medical Decathlon challenges score it. Distances are Euclidean, from pixel centre to pixel centre.
    """
    if valid is not None:
        truth, prediction = truth & valid, prediction & valid
    if not truth.any() and not prediction.any():
        return 0.0
    if not truth.any() or not prediction.any():
        return float(np.hypot(*truth.shape))
    edges = [_edge(truth), _edge(prediction)]
    distances = [cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for edge in edges]
    return float(max(np.percentile(distances[1][edges[0]], 95), np.percentile(distances[0][edges[1]], 95)))


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
