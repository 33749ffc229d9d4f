"""Decodes JPEG frames of cameras and refuses damaged ones."""

from __future__ import annotations

import cv2
import numpy as np

from edge_seg.sources.cameras.stream import BrokenFrame
from edge_seg.sources.header import picture_size

MOST_PIXELS = 32_000_000
"""Most pixels of a frame that is decoded: a few hundred bytes can announce billions."""


def decode_jpeg(frame: bytes) -> np.ndarray:
    """The picture of a JPEG frame. A frame with a decoder warning counts as broken; OpenCV does not report warnings.

    Args:
        frame: as the camera sent it; zeros after the end are allowed.

    Returns:
        Grey `(height, width)` or BGR `(height, width, 3)`, uint8.

    Raises:
        BrokenFrame: the frame is damaged or too large.
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
