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
    "SubIFDs": 330,
    "ExtraSamples": 338,
}
_KNOWN = frozenset(_TAGS.values())
_LISTS = frozenset(_TAGS[name] for name in ("StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"))
_SIZES = {1: "B", 3: "H", 4: "I", 13: "I"}  # bytes, shorts, longs and directories: the only types of sizes and offsets
_MOST_ENTRIES = 4096
_MOST_STRIPS = 1 << 17
_MOST_PAGES = 1000
_SEPARATE = 2
_REDUCED_OR_MASK = 1 | 4
_WHITE_IS_ZERO = 0
_UNSPECIFIED, _TRANSPARENCY = 0, 2  # of ExtraSamples
_GREY_OR_RGB = (_WHITE_IS_ZERO, 1, 2)  # of Photometric Interpretation


class TiffError(ValueError):
    """The directory cannot be read."""


@dataclass(frozen=True)
class Directory:
    """A directory of a file.

    Attributes:
        order: `<` or `>`.
        start: its offset.
        values: whole numbers of the known tags, by tag; of those that are no lists, the first alone.
        following: offset of the next directory, 0 after the last.
    """

    order: str
    start: int
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


def read_directory(data: bytes, start: int = 0, *, lists: bool = False) -> Directory:
    """A directory of a TIFF file.

    Args:
        data: the file.
        start: where the directory is; 0 for the first.
        lists: whether all offsets and lengths of strips and tiles are read, which can be millions.

    Raises:
        TiffError: it is damaged, or lists more than `_MOST_STRIPS`.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        start = start or struct.unpack(f"{order}I", data[4:8])[0]
        count = struct.unpack(f"{order}H", data[start : start + 2])[0]
        end = start + 2 + 12 * count
        if count > _MOST_ENTRIES or end > len(data):
            raise TiffError(f"{count} entries")
        values: dict[int, tuple[int, ...]] = {}
        for tag, kind, many, field in struct.iter_unpack(f"{order}HHI4s", data[start + 2 : end]):
            # Decoders take the first of a repeated tag, whatever its type.
            if tag in _KNOWN and tag not in values:
                if kind not in _SIZES:
                    raise TiffError(f"tag {tag} of type {kind}")
                wanted = many if lists and tag in _LISTS else min(many, 1)
                values[tag] = _values(data, field, f"{order}{{}}{_SIZES[kind]}", many, wanted)
        # Some files end with their last entry.
        following = struct.unpack(f"{order}I", data[end : end + 4])[0] if len(data) >= end + 4 else 0
    except struct.error as error:
        raise TiffError(str(error)) from error
    return Directory(order, start, values, following)


def count_pages(data: bytes) -> int:
    """Number of full-size pictures in a file; thumbnails and masks (TIFF 6.0, NewSubfileType) are not counted."""
    pages, start = 0, 0
    read: set[int] = set()
    while len(read) < _MOST_PAGES:
        try:
            directory = read_directory(data, start)
        except TiffError:
            # Decoders do not read it either.
            break
        if directory.start in read:
            break
        read.add(directory.start)
        pages += directory.number("NewSubfileType", 0) & _REDUCED_OR_MASK == 0
        start = directory.following
        if not start:
            break
    return pages


def begins_with_preview(data: bytes) -> bool:
    """Whether the first picture is a preview or a mask of one in a later or subordinate directory.

    Raises:
        TiffError: the directory is damaged.
    """
    directory = read_directory(data)
    if directory.number("NewSubfileType", 0) & _REDUCED_OR_MASK == 0:
        return False
    return directory.number("SubIFDs", 0) > 0 or count_pages(data) > 0


def depth(data: bytes) -> int:
    """Bits of a sample.

    Raises:
        TiffError: the directory is damaged.
    """
    return read_directory(data).number("BitsPerSample", 1)


def white_is_zero(data: bytes) -> bool:
    """Whether the lowest value of a grey picture is white.

    Raises:
        TiffError: the directory is damaged.
    """
    return read_directory(data).number("PhotometricInterpretation", 1) == _WHITE_IS_ZERO


def has_unspecified_sample(data: bytes) -> bool:
    """Whether the sample behind the colours is something other than transparency (TIFF 6.0, section 18).

    Raises:
        TiffError: the directory is damaged.
    """
    return read_directory(data).number("ExtraSamples", _TRANSPARENCY) == _UNSPECIFIED


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
    directory = read_directory(data, lists=True)
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
        **{tag: numbers for tag, numbers in directory.values.items() if tag != _TAGS["ExtraSamples"]},
        _TAGS["SamplesPerPixel"]: (1,),
        _TAGS["PhotometricInterpretation"]: (1,),
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


def _values(data: bytes, field: bytes, layout: str, many: int, wanted: int) -> tuple[int, ...]:
    """The first of the values of an entry, whose field holds them or says where they are."""
    each = struct.calcsize(layout.format(1))
    if each * many > len(data) or wanted > _MOST_STRIPS:
        raise TiffError(f"{many} values")
    start = struct.unpack(f"{layout[0]}I", field)[0] if each * many > 4 else None
    packed = field[: each * wanted] if start is None else data[start : start + each * wanted]
    return struct.unpack(layout.format(wanted), packed)
