"""What a film's file shows at a glance: content hash, damage, and rotation by a tag.

This takes seconds for ten thousand films that need not be decoded for it, and a minute or so for others, so damage is
reported before training, not in the middle of it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg.sources.dicom import is_dicom, may_be_dataset, refuse_unusable
from edge_seg.sources.files import film_in
from edge_seg.sources.header import picture_kind, picture_size, png_chunks, read_header
from edge_seg.sources.image import read_bytes

from edge_seg_data.files import DICOM, content_hash
from edge_seg_data.masks.raw import orientation_of

_CHECKED_CHUNKS = (b"IHDR", b"PLTE", b"IDAT")
_TAGGED = (b"Exif\0\0", b"eXIf", b"EXIF")  # of JPEG, PNG and WebP; may occur anywhere in a file


@dataclass(frozen=True)
class Look:
    """What a glance at a film's file shows.

    Attributes:
        path: of the file.
        content: hash of its content, empty if it cannot be read.
        problem: why it is not a film, empty if it may be one.
        turned: its EXIF orientation, 1 for none.
        shape: `(height, width)`, `None` if only decoding would show it.
    """

    path: Path
    content: str
    problem: str = ""
    turned: int = 1
    shape: tuple[int, int] | None = None


def look(path: Path) -> Look:
    """Glance at a film's file."""
    content = ""
    try:
        data = read_bytes(path)
        content = content_hash(data)
        refuse_damaged(data, path)
    except InputError as error:
        return Look(path, content, str(error))
    tagged = data[:2] in (b"II", b"MM") or any(mark in data for mark in _TAGGED)
    return Look(path, content, turned=orientation_of(data) if tagged else 1, shape=picture_size(data))


def refuse_damaged(data: bytes, path: Path) -> None:
    """Refuse a file that is not a film, or whose bytes show damage.

    PNG is checked by its checksums, DICOM by its header and length; other formats are decoded.

    Raises:
        InputError: the file is refused.
    """
    kind, header = picture_kind(data), read_header(data)
    if is_dicom(data) or (kind is None and (path.suffix.lower() in DICOM or may_be_dataset(data))):
        refuse_unusable(data, path)
    elif header is None:
        raise InputError(f"{path}: not a picture that can be decoded: replace it or leave it out")
    elif not header.whole:
        raise InputError(f"{path}: the picture is cut off before its end: copy it again")
    elif kind == "PNG":
        _refuse_wrong_checksums(data, path)
    else:
        film_in(data, path)


def _refuse_wrong_checksums(data: bytes, path: Path) -> None:
    view = memoryview(data)  # a film's pixels are most of its file, and are not copied
    for kind, begin, end in png_chunks(data):
        stored = int.from_bytes(data[end - 4 : end], "big")
        if kind in _CHECKED_CHUNKS and zlib.crc32(view[begin + 4 : end - 4]) != stored:
            raise InputError(f"{path}: the picture is damaged (a checksum in it is wrong): copy it again")
