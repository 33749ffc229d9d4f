"""DICOM objects of a few megabytes that would become millions of Python objects."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pydicom
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources.dicom import decode_dicom
from edge_seg.sources.dicom.elements import MOST_ELEMENTS, refuse_flood
from edge_seg.sources.listener import _check
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

_ITEM, _END_OF_ITEMS, _PIXELS = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0" + bytes(4), b"\xe0\x7f\x10\x00"
_SEQUENCE = struct.pack("<HH", 0x0040, 0x0555)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.dcm"
    write_dicom(phantom(64, 64, seed=1), path)
    return path.read_bytes()


def with_before_pixels(film: bytes, more: bytes) -> bytes:
    at = film.rindex(_PIXELS)
    return film[:at] + more + film[at:]


def elements(number: int) -> bytes:
    return b"".join(struct.pack("<HH", 0x0041 + 2 * (n >> 12), 0x1000 + (n & 0xFFF)) + b"LO\0\0" for n in range(number))


FLOODS = {
    "elements": elements(MOST_ELEMENTS),
    "empty items": _SEQUENCE + b"SQ\0\0\xff\xff\xff\xff" + (_ITEM + bytes(4)) * MOST_ELEMENTS + _END_OF_ITEMS,
    "items of a sequence of known length": _SEQUENCE
    + b"SQ\0\0"
    + struct.pack("<I", 8 * MOST_ELEMENTS)
    + (_ITEM + bytes(4)) * MOST_ELEMENTS,
    "elements of one item": _SEQUENCE
    + b"SQ\0\0\xff\xff\xff\xff"
    + _ITEM
    + struct.pack("<I", 8 * MOST_ELEMENTS)
    + elements(MOST_ELEMENTS)
    + _END_OF_ITEMS,
    "implicit elements of an unknown sequence": struct.pack("<HH", 0x0041, 0x1001)
    + b"UN\0\0\xff\xff\xff\xff"
    + _ITEM
    + b"\xff\xff\xff\xff"
    + b"".join(struct.pack("<HHI", 0x0043, n & 0xFFFF, 0) for n in range(MOST_ELEMENTS))
    + _END_OF_ITEMS,
    "explicit elements of an unknown sequence": struct.pack("<HH", 0x0041, 0x1001)
    + b"UN\0\0\xff\xff\xff\xff"
    + _ITEM
    + b"\xff\xff\xff\xff"
    + elements(MOST_ELEMENTS)
    + _END_OF_ITEMS,
    "elements behind an implicit item of known length": struct.pack("<HH", 0x0008, 0x1140)
    + b"UN\0\0"
    + struct.pack("<I", 20)
    + _ITEM
    + struct.pack("<IHHI", 12, 0x0008, 0x1150, 4)
    + b"1.2 "
    + elements(MOST_ELEMENTS),
    "elements behind an item that claims to be longer": _SEQUENCE
    + b"SQ\0\0"
    + struct.pack("<I", 16)
    + _ITEM
    + struct.pack("<I", 8)
    + struct.pack("<HHI", 0x0008, 0x1150, 0x7FFFFFFF)
    + elements(MOST_ELEMENTS),
    "elements behind an implicit one": struct.pack("<HHI", 0x0041, 0x1001, 2) + b"ab" + elements(MOST_ELEMENTS),
    "elements behind one of a command": struct.pack("<HH", 0, 0x0900) + b"US\2\0\0\0" + elements(MOST_ELEMENTS),
    "elements behind zeros": bytes(64) + elements(MOST_ELEMENTS),
    "elements behind a fragment that claims to be longer": _PIXELS
    + b"OB\0\0\xff\xff\xff\xff"
    + _ITEM
    + struct.pack("<I", 0x7FFFFFFF)
    + _END_OF_ITEMS
    + elements(MOST_ELEMENTS),
    "elements behind bytes with an item that claims to be longer": struct.pack("<HH", 0x0041, 0x1001)
    + b"OB\0\0\xff\xff\xff\xff"
    + _ITEM
    + struct.pack("<I", 0x7FFFFFFF)
    + _END_OF_ITEMS
    + elements(MOST_ELEMENTS),
    "elements in bytes whose item has elements of an odd length": struct.pack("<HH", 0x0041, 0x1001)
    + b"OB\0\0\xff\xff\xff\xff"
    + _ITEM
    + struct.pack("<I", 8)
    + struct.pack("<HHI", 0x0043, 0x1001, 0x7FFFFFFF)
    + _END_OF_ITEMS
    + elements(MOST_ELEMENTS),
    "elements behind bytes that are no items": struct.pack("<HH", 0x0041, 0x1001)
    + b"OW\0\0\xff\xff\xff\xff"
    + b"plain pixels"
    + _END_OF_ITEMS
    + elements(MOST_ELEMENTS),
    "elements in an item of pixels that are a sequence": _PIXELS
    + b"UN\0\0\xff\xff\xff\xff"
    + _ITEM
    + struct.pack("<I", 8 * MOST_ELEMENTS)
    + elements(MOST_ELEMENTS)
    + _END_OF_ITEMS,
    "elements of pixels that are a sequence of known length": _PIXELS
    + b"SQ\0\0"
    + struct.pack("<I", 8 + 8 * MOST_ELEMENTS)
    + _ITEM
    + struct.pack("<I", 8 * MOST_ELEMENTS)
    + elements(MOST_ELEMENTS),
    "elements of a sequence that begins with no item": _SEQUENCE
    + b"SQ\0\0"
    + struct.pack("<I", 8 + 8 * MOST_ELEMENTS)
    + b"item"
    + struct.pack("<I", 8 * MOST_ELEMENTS)
    + elements(MOST_ELEMENTS),
    "elements behind an item whose bytes have no end": _SEQUENCE
    + b"SQ\0\0"
    + struct.pack("<I", 20 + 8 + 8 * MOST_ELEMENTS)
    + _ITEM
    + b"\xff\xff\xff\xff"
    + struct.pack("<HH", 0x0041, 0x1001)
    + b"OB\0\0\xff\xff\xff\xff"
    + (_ITEM + bytes(4)) * (MOST_ELEMENTS + 1),
}


@pytest.mark.parametrize("more", FLOODS.values(), ids=FLOODS)
def test_more_elements_than_a_film_has_are_refused_in_one_line(film: bytes, more: bytes) -> None:
    with pytest.raises(InputError, match="more than 20,000 elements, which no film has"):
        decode_dicom(with_before_pixels(film, more), Path("film.dcm"))


def test_so_are_fragments(film: bytes) -> None:
    fragments = _PIXELS + b"OB\0\0\xff\xff\xff\xff" + (_ITEM + b"\x02\0\0\0ab") * MOST_ELEMENTS + _END_OF_ITEMS
    with pytest.raises(InputError, match="more than 20,000 elements"):
        decode_dicom(film[: film.rindex(_PIXELS)] + fragments, Path("film.dcm"))


def test_and_at_the_listener(film: bytes) -> None:
    start = film.index(b"\x08\x00\x05\x00") if b"\x08\x00\x05\x00CS" in film else film.index(b"\x08\x00\x16\x00UI")
    dataset = with_before_pixels(film, FLOODS["empty items"])[start:]
    name = str(pydicom.dcmread(io.BytesIO(film)).SOPInstanceUID)
    with pytest.raises(InputError, match="more than 20,000 elements"):
        _check(name, io.BytesIO(dataset), ExplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_film_with_sequences_and_zeros_for_pixels_is_none(film: bytes, syntax: pydicom.uid.UID) -> None:
    dataset = pydicom.dcmread(io.BytesIO(film))
    inner = pydicom.Dataset()
    inner.CodeValue = "1"
    dataset.ViewCodeSequence = [inner, inner]
    dataset.PixelData = bytes(1_000_000)
    target = io.BytesIO()
    pydicom.dcmwrite(
        target,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )
    refuse_flood(target.getvalue(), "film.dcm")


@pytest.mark.parametrize(
    "before",
    [
        struct.pack("<HHI", 0, 0x0900, 2) + bytes(2),
        bytes(8),
        struct.pack("<HH", 0x0200, 0x0010) + b"LO\2\0ab",
        struct.pack("<HHI", 0, 0x0900, 0xFFFFFFFF),
        b"\xfe\xff\x0d\xe0" + bytes(4),
    ],
    ids=["command", "zeros", "a group that looks like another byte order", "command without an end", "end of an item"],
)
def test_what_precedes_the_dataset_hides_none_of_its_elements(film: bytes, before: bytes) -> None:
    start = film.index(b"\x08\x00\x16\x00UI")
    flood = film[:start] + before + with_before_pixels(film, FLOODS["elements"])[start:]
    with pytest.raises(InputError, match="more than 20,000 elements"):
        decode_dicom(flood, Path("film.dcm"))


def test_meta_information_without_representations_hides_none_either(film: bytes) -> None:
    meta = film[:132] + struct.pack("<HHI", 0x0002, 0x0010, 20) + b"1.2.840.10008.1.2.1\0"
    flood = meta + with_before_pixels(film, FLOODS["elements"])[film.index(b"\x08\x00\x16\x00UI") :]
    with pytest.raises(InputError, match="more than 20,000 elements"):
        decode_dicom(flood, Path("film.dcm"))


def test_bytes_of_undefined_length_are_none(film: bytes) -> None:
    # Implicit elements of a private tag, or of one that the dictionary has as bytes, hold no elements.
    inner = _ITEM + struct.pack("<I", 8 * MOST_ELEMENTS) + elements(MOST_ELEMENTS) + _END_OF_ITEMS
    refuse_flood(
        with_before_pixels(film, struct.pack("<HH", 0x0041, 0x1001) + b"OB\0\0\xff\xff\xff\xff" + inner), "film.dcm"
    )
    implicit = b"".join(struct.pack("<HHI", *tag, 4) + b"ABCD" for tag in ((0x0008, 0x0016), (0x0008, 0x0018)))
    for tag in ((0x0042, 0x0011), (0x5400, 0x1010)):
        refuse_flood(implicit + struct.pack("<HH", *tag) + b"\xff\xff\xff\xff" + inner, "film.dcm")


def test_zeros_behind_a_film_are_no_flood(film: bytes) -> None:
    refuse_flood(film + bytes(8 * MOST_ELEMENTS), "film.dcm")
