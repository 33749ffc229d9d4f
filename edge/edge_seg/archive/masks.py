"""Masks as run lengths: the form in which an archive stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from edge_seg.errors import InputError


def encode_mask(mask: np.ndarray) -> np.ndarray:
    """Run lengths of a mask: column by column, starting with pixels outside it, as in COCO's uncompressed RLE.

    Args:
        mask: bool, `(height, width)`.

    Returns:
        uint32; they add up to `height * width`.
    """
    flat = cv2.transpose(mask.view(np.uint8)).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(edges, prepend=0, append=flat.size).astype(np.uint32)
    return np.insert(runs, 0, 0).astype(np.uint32) if flat[0] else runs


def decode_mask(mask: Mapping[str, Any]) -> np.ndarray:
    """Decode one mask from an archive's column `masks`.

    The runs go column by column, and the first counts pixels outside the structure (it may be 0): COCO's uncompressed
    RLE, so `{"size": [height, width], "counts": runs}` is what pycocotools takes.

    Args:
        mask: `height` and `width` in pixels, and `runs`, the run lengths.

    Returns:
        bool, `(height, width)`, the film's own size.

    Raises:
        InputError: the runs do not add up to the size.

    >>> decode_mask({"height": 2, "width": 2, "runs": [0, 2, 2]}).tolist()
    [[True, False], [True, False]]
    """
    height, width, runs = int(mask["height"]), int(mask["width"]), np.asarray(mask["runs"], np.int64)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise InputError(
            f"run lengths of {int(runs.sum())} pixels for a mask of {width} x {height}: the part is damaged"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
