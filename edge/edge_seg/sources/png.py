"""The chunks that make up the picture of a PNG, and its orientation: all else is kept from the decoder."""

from __future__ import annotations

import struct

import numpy as np

from edge_seg.orientation import Orientation
from edge_seg.sources.header import png_chunks

_ESSENTIAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_ORIENTATION_TAG = 274

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


def essential_png(data: bytes) -> tuple[bytes, int]:
    """The PNG without chunks that its picture does not need, and its EXIF orientation, 1 to 8.

    Profiles, texts and animations are dropped, as some are crafted to exhaust memory; a file without them is returned
    as it is.
    """
    chunks = png_chunks(data)
    orientation = next((_orientation(data[begin + 8 : end - 4]) for kind, begin, end in chunks if kind == b"eXIf"), 1)
    if all(kind in _ESSENTIAL for kind, _, _ in chunks):
        return data, orientation
    return data[:8] + b"".join(data[begin:end] for kind, begin, end in chunks if kind in _ESSENTIAL), orientation


def set_upright(picture: np.ndarray, exif: int) -> np.ndarray:
    """A picture `(height, width, ...)` turned upright by its EXIF orientation."""
    orientation = _EXIF.get(exif)
    return picture if orientation is None else np.ascontiguousarray(orientation.upright(picture))


def _orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, which is a TIFF directory; 1 if there is none."""
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        start = struct.unpack(f"{order}I", exif[4:8])[0]
        for index in range(struct.unpack(f"{order}H", exif[start : start + 2])[0]):
            tag, _, _, value = struct.unpack(f"{order}HHIH", exif[start + 2 + 12 * index : start + 12 + 12 * index])
            if tag == _ORIENTATION_TAG:
                return int(value)
    except (struct.error, KeyError):
        return 1
    return 1
