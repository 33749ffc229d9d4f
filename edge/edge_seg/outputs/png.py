"""PNG pictures of results, encoded for speed: a film should not wait for its files."""

from __future__ import annotations

import struct

import cv2
import numpy as np

try:
    from isal import isal_zlib as zlib
except ImportError:  # no wheel for 32-bit ARM
    import zlib  # type: ignore[no-redef]

_NOTHING, _SUB = 0, 1  # row filters, PNG (third edition) 9.2
_GREY, _COLOUR = 0, 2  # colour types, 11.2.1


def encode_png(picture: np.ndarray) -> bytes:
    """A PNG file, 8 bits per sample.

    Masks are runs of two values and need no filter. For an overlay, one filter for all rows gives a file nearly as
    small as the best filter for each row, which OpenCV would search for.

    Args:
        picture: uint8, a mask `(height, width)` of 0 and 255, or `(height, width, 3)` in OpenCV's channel order.
    """
    height, width = picture.shape[:2]
    mask = picture.ndim == 2
    rows = np.empty((height, 1 + picture.size // height), np.uint8)
    if mask:
        rows[:, 0], rows[:, 1:] = _NOTHING, picture
    else:
        samples = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).reshape(height, -1)
        rows[:, 0], rows[:, 1:4] = _SUB, samples[:, :3]
        np.subtract(samples[:, 3:], samples[:, :-3], out=rows[:, 4:])
    header = struct.pack(">IIBBBBB", width, height, 8, _GREY if mask else _COLOUR, 0, 0, 0)
    pixels = zlib.compress(rows, 1)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
