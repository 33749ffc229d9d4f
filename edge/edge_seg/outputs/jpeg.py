"""JPEG pictures of results, for viewing: a quarter of the bytes of a PNG in an eighth of the time."""

from __future__ import annotations

import cv2
import numpy as np

QUALITY = 85
"""High enough for outlines and letters to keep their edges."""


def encode_jpeg(picture: np.ndarray, *, halved: bool = False) -> bytes:
    """A JPEG file (baseline).

    Args:
        picture: `(height, width, 3)` uint8 in OpenCV's channel order.
        halved: whether to halve the horizontal colour resolution (4:2:2); thin coloured lines need all of it.
    """
    colour = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    wanted = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, colour]
    return cv2.imencode(".jpg", picture, wanted)[1].tobytes()
