"""Reads DICOM files as films."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_seg.dicom_library import load_pydicom
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.quiet import warnings_ignored
from edge_seg.sources.dicom.attributes import number, text
from edge_seg.sources.dicom.codecs import decode_pixels
from edge_seg.sources.dicom.elements import refuse_flood
from edge_seg.sources.dicom.encoding import complete_meta
from edge_seg.sources.dicom.grey import grey_values
from edge_seg.sources.dicom.kind import refuse_other_than_films
from edge_seg.sources.dicom.orientation import orientation_of
from edge_seg.sources.dicom.patient import taken_at, years_of
from edge_seg.sources.dicom.spacing import spacing_of
from edge_seg.sources.dicom.view import view_of

_PIXEL_DATA, _META = 0x7FE00010, 0x0002
_FRAGMENT, _PIXELS_END = b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"  # PS3.5 section A.4
_EXPLICIT, _DEFLATED = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1.99"
_LONGEST_META = 1 << 16  # of a film: some hundreds
_ITEMS = 0xFFFE  # the group of items and delimiters: some senders leave one behind the film
# The group of the first elements, and what it becomes in the wrong byte order; no standard element has that.
_IDENTIFYING, _SWAPPED = 0x0008, 0x0800
# In English, Latin and the languages of many devices.
_CHEST = ("CHEST", "THORA", "TORAX", "TÓRAX", "TORAC", "BRUST", "POITRINE", "PULMO", "LUNG", "RIB", "HEART")

LARGEST_DATASET = 64 * 1024 * 1024
"""Bytes to which a deflated dataset may grow."""


def is_dicom(data: bytes) -> bool:
    """Whether the bytes have the DICOM prefix (PS3.10 section 7.1)."""
    return data[128:132] == b"DICM"


def may_be_dataset(data: bytes) -> bool:
    """Whether the bytes begin like a DICOM dataset without the prefix: with an element of group 0002 or 0008."""
    if len(data) < 16:
        return False
    for order in "<>":
        group, element = struct.unpack(f"{order}HH", data[:4])
        if group in (0x0002, 0x0008) and element < 0x2000:
            explicit = data[4:6].isalpha() and data[4:6].isupper()
            length = struct.unpack(f"{order}H", data[6:8])[0] if explicit else struct.unpack(f"{order}I", data[4:8])[0]
            return bool(length <= 1024)
    return False


def decode_dicom(data: bytes, path: Path) -> Film:
    """The film in a DICOM file: modality values, polarity resolved, VOI window as `Film.window`.

    Raises:
        InputError: not a film (other modality, no pixels, several frames), damaged, contradicting its header, or in an
            encoding that no installed codec decodes.
    """
    start = time.perf_counter()
    film = _film(_read_film(data, str(path)), path)
    return replace(
        film,
        checksum=hashlib.sha256(data).hexdigest(),
        decode_ms=round((time.perf_counter() - start) * 1000, 3),
    )


def refuse_unusable(data: bytes, path: Path) -> None:
    """Refuse what `decode_dicom` would refuse, as far as header and length show it; no pixel is decoded.

    Raises:
        InputError: not a film, cut off, of at least twice the pixels that its header describes, or in an unknown
            encoding.
    """
    _read_film(data, str(path))


def inflate(data: bytes | memoryview, path: str) -> bytes:
    """Inflate a deflated dataset (PS3.5 A.5).

    Raises:
        InputError: damaged, or it would grow beyond `LARGEST_DATASET`.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, LARGEST_DATASET)
    except zlib.error as error:
        raise InputError(f"{path}: not a readable DICOM file ({error}): send it again") from error
    if inflater.unconsumed_tail:
        raise InputError(f"{path}: deflated, and larger than {LARGEST_DATASET:,} bytes: send it otherwise encoded")
    return inflated


def _read_film(data: bytes, path: str) -> Any:
    """The dataset of a film whose pixels, if not encoded, are all there.

    Raises:
        InputError: not a film, cut off, of at least twice the pixels that its header describes, or in an unknown
            encoding.
    """
    dataset = _read(data, path)
    refuse_other_than_films(dataset, path)
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax:
        raise InputError(f"{path}: its transfer syntax, {syntax}, is not read: send it otherwise encoded")
    if syntax.is_encapsulated:
        return dataset
    length, needed = _lengths(dataset)
    pixels = dataset.get_item("PixelData")
    if getattr(pixels, "is_undefined_length", False) and pixels.value[:4] == _FRAGMENT:
        raise InputError(f"{path}: the pixels are fragments of no known encoding: send it otherwise encoded")
    if length < needed:
        raise InputError(f"{path}: the pixels are cut off before their end: copy it again")
    if 0 < 2 * needed <= length:
        raise InputError(f"{path}: more pixels than its header describes, of frames, colours or bits: send it again")
    return dataset


def _lengths(dataset: Any) -> tuple[int, int]:
    """Bytes of the pixels, and those of pixels that are not encoded by the header."""
    pixels = int(number(dataset, "Rows", 0)) * int(number(dataset, "Columns", 0))
    value = getattr(dataset.get_item("PixelData"), "value", None) or b""
    return len(value), pixels * int(number(dataset, "BitsAllocated", 16)) // 8


def _left_out(dataset: Any) -> tuple[str, ...]:
    """A note if there are pixels beyond those that the header describes; devices leave up to a row of padding."""
    length, needed = _lengths(dataset)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated or (length - needed) * number(dataset, "Rows", 0) <= needed:
        return ()
    return (
        f"more pixels than its header describes, by {length - needed:,} bytes: check the picture for missing parts",
    )


def _read(data: bytes, path: str) -> Any:
    """The dataset, with a transfer syntax even if the file has none.

    Raises:
        InputError: not a readable DICOM file, cut off, or one with too many elements.
    """
    load_pydicom()
    try:
        with warnings_ignored():
            dataset = _parsed(_inflated(data, path), path)
            dataset.file_meta = complete_meta(dataset)
            return dataset
    except InputError:
        raise
    # pydicom raises all kinds of exceptions on damaged files; any of them means that this one cannot be read.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise InputError(f"{path}: not a readable DICOM file ({reason}): send it again") from error


def _parsed(data: bytes, path: str) -> Any:
    """The dataset in a file that is not deflated; an empty one in a file that is not DICOM."""
    import pydicom

    end = refuse_flood(data, path)
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if not dataset and end == len(data):
        # Some archives leave out the delimiter after the last fragment (DCMTK pull request 118, pydicom issue 1799).
        # pydicom then drops every element.
        dataset = pydicom.dcmread(io.BytesIO(data + _PIXELS_END), force=True)
        dataset.buffer = None  # a copy of the whole file
    if not dataset and is_dicom(data):
        raise InputError(f"{path}: the DICOM file is damaged, or cut off before its end: copy it again")
    groups = {tag.group for tag in list(dataset.keys())}
    if _SWAPPED in groups and _IDENTIFYING not in groups:
        raise InputError(f"{path}: encoded otherwise than its meta information says: send it again")
    return dataset


def _inflated(data: bytes, path: str) -> bytes:
    """The file, with a deflated dataset inflated and labelled so: pydicom would inflate without limit."""
    from pydicom.filereader import read_dataset

    start = 132 if is_dicom(data) else 0
    head = io.BytesIO(data[: start + _LONGEST_META])
    head.seek(start)
    # pydicom itself finds the end of the meta information, since it starts to inflate there.
    read_dataset(head, False, True, stop_when=lambda tag, representation, length: tag >> 16 != _META)
    end = head.tell()
    if end >= start + _LONGEST_META:
        problem = f"meta information of more than {_LONGEST_META:,} bytes, which no film has"
        raise InputError(f"{path}: {problem}: look at this file elsewhere")
    if _DEFLATED not in data[start:end]:
        return data
    return data[:end].replace(_DEFLATED, _EXPLICIT.ljust(len(_DEFLATED), b"\0")) + inflate(memoryview(data)[end:], path)


def _film(dataset: Any, path: Path) -> Film:
    where = str(path)
    left_out = _left_out(dataset)
    stored, unclear = decode_pixels(dataset, where)
    # They can be as large as the decoded pixels, and are no longer needed.
    del dataset[_PIXEL_DATA]
    grey = grey_values(dataset, stored, where)
    del stored
    orientation, orientation_known, notes = orientation_of(dataset, where)
    spacing = spacing_of(dataset)
    part = text(dataset, "BodyPartExamined")
    if part and not any(word in part for word in _CHEST):
        notes = (*notes, f"body part examined is {part}, not the chest")
    return Film(
        grey.pixels,
        path.name,
        where,
        window=grey.window,
        spacing_mm=spacing.mm,
        spacing_origin=spacing.origin,
        spacing_plane=spacing.plane,
        aspect=spacing.aspect,
        orientation=orientation,
        orientation_known=orientation_known,
        padding=grey.padding,
        view=view_of(dataset),
        patient_years=years_of(dataset),
        taken_at=taken_at(dataset),
        polarity_known=grey.polarity_known,
        warnings=(*spacing.notes, *notes, *left_out, *unclear, *grey.notes),
        header=_header(dataset),
    )


def _header(dataset: Any) -> Any:
    """The dataset without its pixels, and without what pydicom caches of them."""
    import pydicom

    tags = list(dataset.keys())
    header = pydicom.Dataset({tag: dataset.get_item(tag) for tag in tags if tag != _PIXEL_DATA and tag.group != _ITEMS})
    header.file_meta = dataset.file_meta
    return header
