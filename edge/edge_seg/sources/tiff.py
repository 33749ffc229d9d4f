"""Reads TIFF directories (TIFF 6.0) and separates colour planes stored one after another, which OpenCV misreads."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

_TAGS = {
    "NewSubfileType": 254,
    "ImageWidth": 256,
    "ImageLength": 257,
    "BitsPerSample": 258,
    "Compression": 259,
    "PhotometricInterpretation": 262,
    "StripOffsets": 273,
    "Orientation": 274,
    "SamplesPerPixel": 277,
    "RowsPerStrip": 278,
    "StripByteCounts": 279,
    "PlanarConfiguration": 284,
    "Predictor": 317,
    "TileWidth": 322,
    "TileLength": 323,
    "TileOffsets": 324,
    "TileByteCounts": 325,
}
_SIZES = {1: "B", 3: "H", 4: "I"}  # bytes, shorts and longs: the only types of sizes and offsets
_MOST_ENTRIES = 4096
_MOST_PAGES = 1000
_SEPARATE = 2
_REDUCED_OR_MASK = 1 | 4
_WHITE_IS_ZERO = 0
_GREY_OR_RGB = (_WHITE_IS_ZERO, 1, 2)  # of Photometric Interpretation


class TiffError(ValueError):
    """The directory cannot be read."""


@dataclass(frozen=True)
class Directory:
    """A directory of a file.

    Attributes:
        order: `<` or `>`.
        values: whole numbers of the known tags, by tag.
        following: offset of the next directory, 0 after the last.
    """

    order: str
    values: dict[int, tuple[int, ...]]
    following: int

    def number(self, name: str, default: int | None = None) -> int:
        """The first value of a tag.

        Raises:
            TiffError: it is absent, and there is no default.
        """
        values = self.values.get(_TAGS[name], ())
        if values:
            return values[0]
        if default is None:
            raise TiffError(f"no {name}")
        return default


def read_directory(data: bytes, start: int = 0) -> Directory:
    """A directory of a TIFF file: the one at an offset, or the first.

    Raises:
        TiffError: it is damaged.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        start = start or struct.unpack(f"{order}I", data[4:8])[0]
        count = struct.unpack(f"{order}H", data[start : start + 2])[0]
        if count > _MOST_ENTRIES:
            raise TiffError(f"{count} entries")
        values = {}
        for index in range(count):
            entry = data[start + 2 + 12 * index : start + 14 + 12 * index]
            tag, kind, many = struct.unpack(f"{order}HHI", entry[:8])
            # Decoders take the first of a repeated tag.
            if tag in _TAGS.values() and tag not in values and kind in _SIZES:
                values[tag] = _values(data, entry, f"{order}{{}}{_SIZES[kind]}", many)
        end = start + 2 + 12 * count
        # Some files end with their last entry.
        following = struct.unpack(f"{order}I", data[end : end + 4])[0] if len(data) >= end + 4 else 0
    except struct.error as error:
        raise TiffError(str(error)) from error
    return Directory(order, values, following)


def count_pages(data: bytes) -> int:
    """Number of full-size pictures in a file; thumbnails and masks (TIFF 6.0, NewSubfileType) are not counted."""
    pages, start = 0, 0
    for _ in range(_MOST_PAGES):
        try:
            directory = read_directory(data, start)
        except TiffError:
            # Decoders do not read it either.
            break
        pages += directory.number("NewSubfileType", 0) & _REDUCED_OR_MASK == 0
        start = directory.following
        if not start:
            break
    return pages


def white_is_zero(data: bytes) -> bool:
    """Whether the lowest value of a grey picture is white.

    Raises:
        TiffError: the directory is damaged.
    """
    return read_directory(data).number("PhotometricInterpretation", 1) == _WHITE_IS_ZERO


def separate_planes(data: bytes) -> list[bytes]:
    """Each colour plane as a grey TIFF of its own; none if the colours of a pixel are stored together.

    Strip and tile data stay as they are, whatever their compression: each file ends in a directory that lists only
    those of its plane.

    Raises:
        TiffError: the directory is damaged, or the planes are neither grey nor red, green and blue.
    """
    directory = read_directory(data)
    colours = directory.number("SamplesPerPixel", 1)
    if directory.number("PlanarConfiguration", 1) != _SEPARATE or not 1 < colours <= 4:
        return []
    if directory.number("PhotometricInterpretation", 1) not in _GREY_OR_RGB:
        raise TiffError("planes of other colours")
    kind = "Strip" if _TAGS["StripOffsets"] in directory.values else "Tile"
    places, lengths = (directory.values.get(_TAGS[f"{kind}{what}"], ()) for what in ("Offsets", "ByteCounts"))
    if not places or len(places) % colours or len(places) != len(lengths):
        raise TiffError("planes of unlike size")
    each = len(places) // colours
    return [
        _plane(data, directory, kind, places[k * each : (k + 1) * each], lengths[k * each : (k + 1) * each])
        for k in range(colours)
    ]


def _plane(data: bytes, directory: Directory, kind: str, places: tuple[int, ...], lengths: tuple[int, ...]) -> bytes:
    values = {
        **directory.values,
        _TAGS["SamplesPerPixel"]: (1,),
        _TAGS["PhotometricInterpretation"]: (1,),
        _TAGS["BitsPerSample"]: directory.values[_TAGS["BitsPerSample"]][:1],
        _TAGS["PlanarConfiguration"]: (1,),
        _TAGS[f"{kind}Offsets"]: places,
        _TAGS[f"{kind}ByteCounts"]: lengths,
    }
    order, start = directory.order, len(data) + len(data) % 2
    behind = start + 2 + 12 * len(values) + 4
    entries, rest = b"", b""
    for tag, numbers in sorted(values.items()):
        packed = np.asarray(numbers, f"{order}u4").tobytes()
        if len(numbers) > 1:
            rest, packed = rest + packed, struct.pack(f"{order}I", behind + len(rest))
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + packed
    head = data[:4] + struct.pack(f"{order}I", start) + data[8:] + bytes(len(data) % 2)
    return head + struct.pack(f"{order}H", len(values)) + entries + bytes(4) + rest


def _values(data: bytes, entry: bytes, layout: str, many: int) -> tuple[int, ...]:
    size = struct.calcsize(layout.format(1)) * many
    if size > len(data):
        raise TiffError(f"{many} values")
    start = struct.unpack(f"{layout[0]}I", entry[8:12])[0] if size > 4 else None
    packed = entry[8 : 8 + size] if start is None else data[start : start + size]
    return struct.unpack(layout.format(many), packed)
