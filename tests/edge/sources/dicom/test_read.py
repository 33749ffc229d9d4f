"""Films that end early or whose header is wrong about their pixels: what is all there is read, the rest refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom.film import Phantom
from edge_seg.sources.dicom import decode_dicom
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

_PIXELS_END = b"\xfe\xff\xdd\xe0" + bytes(4)

MakeFilm = Callable[..., Path]


def encoded(path: Path) -> bytes:
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    return path.read_bytes()


def test_an_encoded_film_without_its_last_delimiter_is_read(made: Phantom, make_film: MakeFilm) -> None:
    data = encoded(make_film())
    assert data.endswith(_PIXELS_END)
    np.testing.assert_array_equal(decode_dicom(data[:-8], Path("film.dcm")).pixels, made.film.pixels)


def test_a_delimiter_or_an_item_behind_the_film_is_ignored(made: Phantom, make_film: MakeFilm) -> None:
    plain, coded = make_film("plain.dcm").read_bytes(), encoded(make_film("coded.dcm"))
    for data in (plain, coded):
        for more in (_PIXELS_END, b"\xfe\xff\x00\xe0\0\0\0\0"):
            np.testing.assert_array_equal(decode_dicom(data + more, Path("film.dcm")).pixels, made.film.pixels)


@pytest.mark.parametrize("missing", [1, 500])
def test_a_film_without_its_last_pixels_is_refused_as_cut_off(missing: int, make_film: MakeFilm) -> None:
    plain, coded = make_film("plain.dcm").read_bytes(), encoded(make_film("coded.dcm"))
    for data in (plain, coded.removesuffix(_PIXELS_END)):
        with pytest.raises(InputError, match="cut off"):
            decode_dicom(data[:-missing], Path("film.dcm"))


def labelled(path: Path, said: str, *, implicit: bool = False, little: bool = True) -> bytes:
    """The film with another transfer syntax in its meta information than its dataset has."""
    dataset = pydicom.dcmread(path)
    if not little:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    body = pydicom.filebase.DicomBytesIO()
    body.is_implicit_VR, body.is_little_endian = implicit, little
    meta = dataset.file_meta
    bare = pydicom.Dataset(dataset)
    bare.set_original_encoding(implicit, little)
    pydicom.filewriter.write_dataset(body, bare)
    meta.TransferSyntaxUID = pydicom.uid.UID(said)
    head = pydicom.filebase.DicomBytesIO()
    head.is_implicit_VR, head.is_little_endian = False, True
    pydicom.filewriter.write_file_meta_info(head, meta)
    return bytes(128) + b"DICM" + head.getvalue() + body.getvalue()


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    "said",
    [JPEGLosslessSV1, JPEG2000Lossless, RLELossless, "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.20", "1.2.3.4"],
)
def test_plain_pixels_are_read_whatever_encoding_the_label_names(
    said: str, implicit: bool, made: Phantom, make_film: MakeFilm
) -> None:
    film = decode_dicom(labelled(make_film(), said, implicit=implicit), Path("film.dcm"))
    np.testing.assert_array_equal(film.pixels, made.film.pixels)


def test_an_encoding_that_is_not_known_is_refused_by_its_name(make_film: MakeFilm) -> None:
    ge, path = "1.2.840.113619.5.2", make_film()
    with pytest.raises(InputError, match=f"transfer syntax, {ge}, is not read"):
        decode_dicom(labelled(path, ge, implicit=True), Path("film.dcm"))
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([b"of no known kind"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"transfer syntax, 1\.2\.3\.4, is not read"):
        decode_dicom(labelled(path, "1.2.3.4"), Path("film.dcm"))


@pytest.mark.parametrize("little", [True, False])
def test_a_byte_order_other_than_the_label_is_refused_as_such(little: bool, make_film: MakeFilm) -> None:
    said = ExplicitVRBigEndian if little else ExplicitVRLittleEndian
    with pytest.raises(InputError, match="encoded otherwise than its meta information says"):
        decode_dicom(labelled(make_film(), said, little=little), Path("film.dcm"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"NumberOfFrames": None, "PixelData": lambda pixels: pixels * 2},
        {"SamplesPerPixel": None, "PixelData": lambda pixels: pixels * 3},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"Rows": 160},
    ],
    ids=["frames", "colours", "bits", "rows"],
)
def test_more_pixels_than_the_header_describes_are_refused(attributes: dict[str, Any], make_film: MakeFilm) -> None:
    path = make_film()
    enlarge = attributes.get("PixelData", lambda pixels: pixels)
    path = make_film(**{**attributes, "PixelData": enlarge(pydicom.dcmread(path).PixelData)})
    with pytest.raises(InputError, match="more pixels than its header describes"):
        decode_dicom(path.read_bytes(), path)


@pytest.mark.parametrize("item", [True, False], ids=["fragments", "bytes"])
@pytest.mark.parametrize("size", [16, 1 << 20])
def test_pixels_of_undefined_length_under_a_plain_label_are_refused_in_one_line(
    item: bool, size: int, make_film: MakeFilm
) -> None:
    path = make_film()
    dataset = pydicom.dcmread(path)
    pixels = dataset.PixelData[:size] if size < 100 else dataset.PixelData * 5
    data = labelled(path, ExplicitVRLittleEndian)
    head = data[: data.rindex(b"\xe0\x7f\x10\x00")] + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    fragments = pydicom.encaps.encapsulate([pixels]) if item else pixels
    with pytest.raises(InputError, match=r"cut off|of no known encoding|more pixels") as caught:
        decode_dicom(head + fragments + _PIXELS_END, Path("film.dcm"))
    assert "\n" not in str(caught.value)


def test_plain_pixels_of_undefined_length_are_read(made: Phantom, make_film: MakeFilm) -> None:
    data = labelled(make_film(), ExplicitVRLittleEndian)
    at = data.rindex(b"\xe0\x7f\x10\x00")
    open_ended = data[:at] + b"\xe0\x7f\x10\x00OW\0\0\xff\xff\xff\xff" + data[at + 12 :] + _PIXELS_END
    np.testing.assert_array_equal(decode_dicom(open_ended, Path("film.dcm")).pixels, made.film.pixels)


@pytest.mark.parametrize(
    ("attributes", "more", "warned"),
    [
        ({"Rows": 250}, b"", True),
        ({"Columns": 240}, b"", True),
        ({}, bytes(560), False),
        ({}, bytes(562), True),
        ({}, bytes(2), False),
    ],
    ids=["rows", "columns", "a row", "more than a row", "two bytes"],
)
def test_pixels_that_the_header_leaves_out_are_reported(
    attributes: dict[str, Any], more: bytes, warned: bool, made: Phantom, make_film: MakeFilm
) -> None:
    path = make_film(**attributes, PixelData=pydicom.dcmread(make_film()).PixelData + more)
    film = decode_dicom(path.read_bytes(), path)
    assert any("more pixels than its header describes" in warning for warning in film.warnings) == warned
