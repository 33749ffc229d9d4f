"""The EXIF orientation of a picture: what turns it upright."""

from __future__ import annotations

import struct
from itertools import takewhile

import numpy as np

from edge_seg.orientation import Orientation
from edge_seg.sources.header import JPEG_START_OF_SCAN, jpeg_segments, webp_chunks

_PREFIX = b"Exif\0\0"  # of JPEG; some programs write it to PNG and WebP too
_ORIENTATION_TAG = 274
_SIZES = {1: "B", 3: "H", 4: "I"}  # bytes, shorts and longs: EXIF says shorts, programs write any

_APP1 = 0xE1  # of JPEG: EXIF 2.3 section 4.5.5
_WEBP_EXIF = 0x08  # among the flags of VP8X

# EXIF 2.3 section 4.6.4 A: what turns a picture upright, by where its first row and column are.
_EXIF = {
    2: Orientation(columns_reversed=True),
    3: Orientation(rows_reversed=True, columns_reversed=True),
    4: Orientation(rows_reversed=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, columns_reversed=True),
    7: Orientation(transposed=True, rows_reversed=True, columns_reversed=True),
    8: Orientation(transposed=True, rows_reversed=True),
}


def exif_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, which is a TIFF directory; 1 if there is none from 1 to 8."""
    exif = exif.removeprefix(_PREFIX)
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        start = struct.unpack(f"{order}I", exif[4:8])[0]
        for index in range(struct.unpack(f"{order}H", exif[start : start + 2])[0]):
            at = start + 2 + 12 * index
            tag, kind, _, field = struct.unpack(f"{order}HHI4s", exif[at : at + 12])
            if tag == _ORIENTATION_TAG:
                found = int(struct.unpack_from(f"{order}{_SIZES[kind]}", field)[0])
                return found if found in _EXIF else 1
    except (struct.error, KeyError):
        return 1
    return 1


def jpeg_orientation(data: bytes) -> int:
    """The orientation of a JPEG, from its first EXIF segment; 1 if it has none."""
    before_scans = takewhile(lambda segment: segment[0] != JPEG_START_OF_SCAN, jpeg_segments(data))
    blocks = (data[begin:end] for marker, begin, end in before_scans if marker == _APP1)
    return next((exif_orientation(block) for block in blocks if block.startswith(_PREFIX)), 1)


def webp_orientation(data: bytes) -> int:
    """The orientation of a WebP, from its EXIF chunk; 1 if its header announces none."""
    if data[12:16] != b"VP8X" or not data[20] & _WEBP_EXIF:
        return 1
    return next((exif_orientation(data[begin:end]) for kind, begin, end in webp_chunks(data) if kind == b"EXIF"), 1)


def set_upright(picture: np.ndarray, exif: int) -> np.ndarray:
    """A picture `(height, width, ...)` turned upright by its EXIF orientation."""
    orientation = _EXIF.get(exif)
    return picture if orientation is None else np.ascontiguousarray(orientation.upright(picture))
