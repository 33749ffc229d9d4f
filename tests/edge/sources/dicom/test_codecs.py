"""Encoded pixels: gdcm decodes them correctly, and a frame that kills it is an error."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom.film import Phantom
from edge_seg.quiet import native_failures_quiet, native_libraries_quiet
from edge_seg.sources.dicom import decode_dicom
from edge_seg.sources.dicom.gdcm_frame import decode_described
from edge_seg.sources.files import read_film
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, RLELossless

MakeFilm = Callable[..., Path]

pytest.importorskip("gdcm", reason="python-gdcm is not installed: pip install edge-seg[clinic]")


def save_encoded(path: Path, frame: bytes, syntax: str) -> Path:
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.save_as(path)
    return path


def test_a_jpeg_film_has_the_pixels_that_another_decoder_finds(made: Phantom, make_film: MakeFilm) -> None:
    grey = (made.film.pixels >> 4).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", grey)[1]
    film = read_film(save_encoded(make_film(pixels=grey), jpeg.tobytes(), JPEGBaseline8Bit))
    assert np.abs(film.pixels.astype(int) - cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED)).max() <= 1


def test_a_frame_that_makes_gdcm_abort_is_an_error() -> None:
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1])
    assert decode_described(bytes(jpeg), JPEGBaseline8Bit, (64, 64), (8, 8, 0)) == bytes(64 * 64)
    # No marker follows the start of the image: gdcm throws an exception that its Python module does not catch.
    jpeg[2] = 0
    with pytest.raises(ValueError, match="gdcm cannot decode it"):
        decode_described(bytes(jpeg), JPEGBaseline8Bit, (64, 64), (8, 8, 0))


def test_a_codec_that_panics_says_nothing_of_its_own(make_film: MakeFilm, capfd: pytest.CaptureFixture[str]) -> None:
    path = make_film()
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    count, first, second = struct.unpack("<3L", frame[:12])
    # Two values more in the first segment than the film has pixels.
    longer = struct.pack("<3L", count, first, second + 2) + frame[12:second] + b"\xff\0" + frame[second:]
    film = read_film(save_encoded(path, longer, RLELossless))
    np.testing.assert_array_equal(film.pixels, read_film(make_film("plain.dcm")).pixels)
    assert capfd.readouterr().err == ""


def test_what_others_say_meanwhile_comes_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with native_failures_quiet():
        os.write(2, b"a warning of another thread\n")
    with suppress(ValueError), native_failures_quiet():
        os.write(2, b"a panic\n")
        raise ValueError("damaged")
    with native_libraries_quiet(), native_failures_quiet():
        os.write(2, b"a greeting\n")
    assert capfd.readouterr().err == "a warning of another thread\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its address space")
def test_a_frame_that_asks_for_gigabytes_gets_none() -> None:
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1])
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", 30_000, 30_000)
    with pytest.raises(ValueError, match="gdcm cannot decode it"):
        decode_described(bytes(jpeg), JPEGBaseline8Bit, (30_000, 30_000), (8, 8, 0))


def test_jpeg_2000_with_zeros_behind_its_end_is_read(made: Phantom, make_film: MakeFilm) -> None:
    path = make_film()
    dataset = pydicom.dcmread(path)
    dataset.compress(JPEG2000Lossless)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    film = read_film(save_encoded(path, frame + bytes(100_000), JPEG2000Lossless))
    np.testing.assert_array_equal(film.pixels, made.film.pixels)


@pytest.mark.parametrize("at", [2, 4])
def test_damaged_jpeg_2000_is_no_work_for_gdcm(at: int, make_film: MakeFilm) -> None:
    path = make_film()
    dataset = pydicom.dcmread(path)
    dataset.compress(JPEG2000Lossless)
    start = dataset.PixelData.index(b"\xff\x4f\xff\x51")
    data = bytearray(dataset.PixelData)
    data[start + at : start + at + 4] = bytes(4)
    dataset["PixelData"].value = bytes(data)
    dataset.save_as(path)
    with pytest.raises(InputError):
        decode_dicom(path.read_bytes(), path)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLosslessSV1])
@pytest.mark.parametrize("rest", [b"", bytes(5000)], ids=["cut", "overwritten"])
def test_half_a_frame_that_was_given_an_end_is_refused(
    syntax: str, rest: bytes, made: Phantom, make_film: MakeFilm
) -> None:
    grey = (made.film.pixels >> 4).astype(np.uint8)
    path = make_film(pixels=grey)
    baseline = syntax == JPEGBaseline8Bit
    frame = cv2.imencode(".jpg", grey)[1].tobytes() if baseline else lossless_frame(path, syntax)
    save_encoded(path, frame[: len(frame) // 2] + rest + b"\xff\xd9", syntax)
    with pytest.raises(
        InputError, match=r"the pixels \(JPEG .*\) are damaged \(Corrupt JPEG data: .*\): send it again"
    ):
        read_film(path)


@pytest.mark.parametrize("low", [0, -1000])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1])
def test_encoded_values_beyond_the_bits_that_the_header_gives_them_are_all_used(
    syntax: str, low: int, made: Phantom, make_film: MakeFilm
) -> None:
    values = made.film.pixels.astype(np.int16 if low else np.uint16) + low
    path = make_film(pixels=values)
    save_encoded(path, lossless_frame(path, syntax), syntax)
    dataset = pydicom.dcmread(path)
    dataset.BitsStored, dataset.HighBit = 10, 9
    dataset.save_as(path)
    film = read_film(path)
    np.testing.assert_array_equal(film.pixels, made.film.pixels)
    assert any("values go beyond the 10 bits" in warning for warning in film.warnings)


@pytest.mark.parametrize(("top", "all_used"), [(120, False), (240, True)])
def test_what_jpeg_adds_beside_edges_is_clipped_but_not_a_bit_that_the_header_lacks(
    top: int, all_used: bool, made: Phantom, make_film: MakeFilm
) -> None:
    grey = (made.film.pixels.astype(int) * top // 4095).astype(np.uint8)
    grey[:64, :64] = 127 * np.random.default_rng(0).integers(0, 2, (64, 64))
    jpeg = cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_QUALITY, 90))[1]
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.max() > 127
    film = read_film(save_encoded(make_film(pixels=grey, BitsStored=7, HighBit=6), jpeg.tobytes(), JPEGBaseline8Bit))
    assert np.abs(film.pixels.astype(int) - (decoded if all_used else decoded.clip(max=127))).max() <= 1
    assert any("beyond the 7 bits" in warning for warning in film.warnings) == all_used


def lossless_frame(path: Path, syntax: str) -> bytes:
    """The film's pixels, encoded by pydicom, or by gdcm where pydicom has no encoder."""
    if syntax == RLELossless:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
    else:
        import gdcm

        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        encoded = path.with_name("encoded.dcm")
        writer.SetFileName(str(encoded))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        dataset = pydicom.dcmread(encoded)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))
