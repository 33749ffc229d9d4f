"""Size of a picture from its header, before anybody decodes hundreds of megapixels; and whether it is whole."""

from __future__ import annotations

import struct

_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF markers; ITU-T T.81 table B.1
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


def picture_size(data: bytes) -> tuple[int, int] | None:
    """`(height, width)` of a PNG, JPEG or TIFF; `None` for other formats and damaged headers."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack(">II", data[16:24])
            return height, width
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data)
    except (struct.error, IndexError):
        return None
    return None


def is_cut_off(data: bytes) -> bool:
    """Whether a PNG or JPEG ends before its end mark: decoders fill up such films with grey and say nothing."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" not in data[-64:] and b"IEND" not in data
    if data[:2] == b"\xff\xd8":
        return b"\xff\xd9" not in data[-4096:]
    return False


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position < len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF or marker in _JPEG_BARE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return height, width
        position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack(f"{order}I", data[4:8])[0]
    count = struct.unpack(f"{order}H", data[start : start + 2])[0]
    found = {}
    for index in range(count):
        entry = data[start + 2 + 12 * index : start + 14 + 12 * index]
        tag, kind = struct.unpack(f"{order}HH", entry[:4])
        if tag in (256, 257):  # ImageWidth, ImageLength; TIFF 6.0
            found[tag] = struct.unpack(f"{order}H" if kind == 3 else f"{order}I", entry[8 : 10 if kind == 3 else 12])[0]
    return (found[257], found[256]) if len(found) == 2 else None
