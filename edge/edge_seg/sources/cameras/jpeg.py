"""JPEG pictures of cameras: a damaged one is known for what it is."""

from __future__ import annotations

import cv2
import numpy as np

from edge_seg.sources.cameras.stream import BrokenFrame
from edge_seg.sources.header import picture_size

MOST_PIXELS = 32_000_000
"""Of a frame: some hundred bytes can announce thousands of millions, which are not decoded."""


def decode_jpeg(frame: bytes) -> np.ndarray:
    """The picture of a JPEG frame; one that its decoder has to warn of is broken (OpenCV's keeps that to itself).

    Args:
        frame: as the camera sent it; zeros after its end are harmless.

    Returns:
        Grey `(height, width)` or BGR `(height, width, 3)`, uint8.

    Raises:
        BrokenFrame: it is damaged.
    """
    height, width = picture_size(frame) or (0, 0)
    if not 0 < height * width <= MOST_PIXELS:
        raise BrokenFrame(f"announces {width} x {height} pixels")
    try:
        import simplejpeg
    except ImportError:
        picture = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR) if frame else None
        if picture is None or not frame.rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
            raise BrokenFrame("no whole JPEG") from None
        return picture
    try:
        grey = simplejpeg.decode_jpeg_header(frame)[2].lower() == "gray"
        picture = simplejpeg.decode_jpeg(frame, "GRAY" if grey else "BGR", strict=True)
    except ValueError as error:
        raise BrokenFrame(str(error)) from error
    return np.asarray(picture[:, :, 0] if grey else picture)
