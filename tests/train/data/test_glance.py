"""Damaged and turned films are found before a run needs them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom
from edge_seg_data.glance import look
from PIL import Image

_MADE = phantom(60, 72, seed=0)
_FORMATS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "bmp": "BMP", "webp": "WEBP", "gif": "GIF"}


def film(folder: Path, suffix: str, orientation: int = 1) -> Path:
    path = folder / f"f.{suffix}"
    if suffix == "dcm":
        write_dicom(_MADE, path)
        return path
    exif = Image.Exif()
    exif[0x0112] = orientation
    tags = {"exif": exif} if orientation != 1 else {}
    Image.fromarray(_MADE.film.pixels).save(path, _FORMATS[suffix], **tags)
    return path


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize("suffix", [*_FORMATS, "dcm"])
def test_a_whole_film_is_none_the_worse(tmp_path: Path, suffix: str) -> None:
    seen = look(film(tmp_path, suffix))
    assert (seen.problem, seen.turned, len(seen.content)) == ("", 1, 16)


@pytest.mark.parametrize("suffix", [*_FORMATS, "dcm"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_film_that_is_cut_off_is_found(tmp_path: Path, suffix: str, share: float) -> None:
    path = changed(film(tmp_path, suffix), lambda data: data[: int(share * len(data))])
    assert str(path) in look(path).problem


def test_half_a_jpeg_that_was_given_an_end_is_found(tmp_path: Path) -> None:
    path = changed(film(tmp_path, "jpg"), lambda data: data[: len(data) // 2] + b"\xff\xd9")
    assert "the JPEG picture is damaged" in look(path).problem


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: bytes(len(data)),
        lambda data: b"<html>404 not found</html>",
        lambda data: data[:200] + bytes([data[200] ^ 0xFF]) + data[201:],
    ],
    ids=["empty", "zeros", "page", "one byte"],
)
def test_what_is_no_film_is_found(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = changed(film(tmp_path, "png"), change)
    assert str(path) in look(path).problem


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_tag_that_turns_a_film_is_found(tmp_path: Path, suffix: str, orientation: int) -> None:
    assert look(film(tmp_path, suffix, orientation)).turned == orientation


def test_a_tag_is_found_wherever_it_stands(tmp_path: Path) -> None:
    long = b"\xff\xed" + struct.pack(">H", 9002) + bytes(9000)
    assert look(changed(film(tmp_path, "jpg", 6), lambda data: data[:2] + long + data[2:])).turned == 6
    tag = Image.Exif()
    tag[0x0112] = 6
    body = b"eXIf" + tag.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    buffer = io.BytesIO()
    Image.fromarray(_MADE.film.pixels).save(buffer, "PNG")
    path = tmp_path / "late.png"
    path.write_bytes(buffer.getvalue()[:-12] + chunk + buffer.getvalue()[-12:])
    assert look(path).turned == 6
