"""The chunks that make up the picture of a PNG, and its orientation: all else is kept from the decoder."""

from __future__ import annotations

from edge_seg.sources.exif import exif_orientation
from edge_seg.sources.header import png_chunks

_ESSENTIAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def essential_png(data: bytes) -> tuple[bytes, int]:
    """The PNG without chunks that its picture does not need, and its EXIF orientation, 1 to 8.

    Profiles, texts and animations are dropped, as some are crafted to exhaust memory; a file without them is returned
    as it is.
    """
    chunks = png_chunks(data)
    orientation = next(
        (exif_orientation(data[begin + 8 : end - 4]) for kind, begin, end in chunks if kind == b"eXIf"), 1
    )
    if all(kind in _ESSENTIAL for kind, _, _ in chunks):
        return data, orientation
    return data[:8] + b"".join(data[begin:end] for kind, begin, end in chunks if kind in _ESSENTIAL), orientation
