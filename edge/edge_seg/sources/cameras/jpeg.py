"""Decodes JPEG frames of cameras and refuses damaged ones."""

from __future__ import annotations

import numpy as np

from edge_seg.sources.cameras.stream import BrokenFrame
from edge_seg.sources.header import read_header
from edge_seg.sources.jpeg import DamagedJpegError, decode_jpeg

MOST_PIXELS = 32_000_000
"""Most pixels of a frame that is decoded: a few hundred bytes can announce billions."""


def decode_frame(frame: bytes) -> np.ndarray:
    """The picture of a JPEG frame.

    Args:
        frame: as the camera sent it; zeros after the end are allowed.

    Returns:
        Grey `(height, width)` or BGR `(height, width, 3)`, uint8.

    Raises:
        BrokenFrame: the frame is damaged or too large.
    """
    header = read_header(frame)
    height, width = (header.height, header.width) if header else (0, 0)
    if not 0 < height * width <= MOST_PIXELS:
        raise BrokenFrame(f"announces {width} x {height} pixels")
    try:
        picture = decode_jpeg(frame) if header and header.kind == "JPEG" and header.whole else None
    except DamagedJpegError as error:
        raise BrokenFrame(str(error)) from error
    if picture is None:
        raise BrokenFrame("no whole JPEG")
    return picture
