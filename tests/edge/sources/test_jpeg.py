"""JPEG pictures that are damaged, and ones that only look so."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import InputError
from edge_seg.phantom import phantom
from edge_seg.sources.image import decode_picture
from edge_seg.sources.jpeg import DamagedJpegError, damage_in, decode_jpeg

FILM = phantom(400, 360).film.pixels
PATH = Path("film.jpg")
KINDS = {
    "baseline": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
}
END = b"\xff\xd9"


def jpeg(picture: np.ndarray = FILM, kind: str = "baseline") -> bytes:
    return cv2.imencode(".jpg", picture, KINDS[kind])[1].tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", [False, True])
def test_a_whole_jpeg_has_the_pixels_that_another_decoder_finds(kind: str, colour: bool) -> None:
    picture = cv2.applyColorMap(FILM, cv2.COLORMAP_BONE) if colour else FILM
    data = jpeg(picture, kind)
    found, other = decode_jpeg(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert other is not None
    assert found.shape == other.shape
    assert np.abs(found.astype(int) - other).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0.4, 0.7])
def test_a_film_whose_rest_was_overwritten_is_refused(kind: str, at: float) -> None:
    data = jpeg(kind=kind)
    kept = int(at * len(data))
    with pytest.raises(InputError, match=r"^film.jpg: the JPEG picture is damaged \(.+\): copy it again$"):
        decode_picture(data[:kept] + bytes(len(data) - kept - 2) + END, PATH)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_film_that_was_given_an_end_is_refused(kind: str) -> None:
    data = jpeg(kind=kind)
    with pytest.raises(InputError, match="the JPEG picture is damaged"):
        decode_picture(data[: len(data) // 2] + END, PATH)


def test_a_restart_marker_too_many_is_damage() -> None:
    data = jpeg(kind="restarts")
    at = data.index(b"\xff\xd2", data.index(b"\xff\xda"))
    with pytest.raises(DamagedJpegError, match="Corrupt JPEG data"):
        decode_jpeg(data[:at] + data[data.index(b"\xff\xd5", at) :])


@pytest.mark.parametrize("padding", [b"\0", bytes(16), b"\xff" * 200, b"\xff\0"])
def test_a_few_bytes_between_data_and_end_are_padding(padding: bytes) -> None:
    data = jpeg()
    film = decode_picture(data.removesuffix(END) + padding + END, PATH)
    np.testing.assert_array_equal(film.pixels, decode_picture(data, PATH).pixels)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("colour", [False, True])
def test_a_jpeg_is_set_upright(orientation: int, colour: bool) -> None:
    image = pytest.importorskip("PIL.Image")
    ops = pytest.importorskip("PIL.ImageOps")
    exif = image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    lies = image.fromarray(FILM[:, :200])
    (lies.convert("RGB") if colour else lies).save(out, "JPEG", exif=exif, quality=100)
    # A profile or a comment may come first.
    data = out.getvalue()
    data = data[:2] + b"\xff\xfe" + struct.pack(">H", 902) + bytes(900) + b"\xff" + data[2:]
    film = decode_picture(data, PATH)
    upright = np.asarray(ops.exif_transpose(image.open(io.BytesIO(data))).convert("L"))
    assert film.shape == upright.shape
    assert np.abs(film.pixels.astype(int) - upright).max() <= 2


@pytest.mark.parametrize("mode", ["CMYK", "RGB", "L"])
def test_jpegs_of_other_colours_are_films_or_damaged_too(mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.fromarray(FILM).convert(mode).save(out, "JPEG", quality=95)
    data = out.getvalue()
    film = decode_picture(data, PATH)
    assert np.abs(film.pixels.astype(int) - FILM).max() <= 12
    with pytest.raises(InputError, match="the JPEG picture is damaged"):
        decode_picture(data[: len(data) // 2] + END, PATH)


def test_without_simplejpeg_whole_films_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = decode_picture(jpeg(), PATH).pixels
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert np.abs(decode_picture(jpeg(), PATH).pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        ("", ""),
        ("Unsupported JPEG data precision 12\n", ""),
        ("Warning: unknown JFIF revision number 9.01\n", ""),
        ("Corrupt JPEG data: 16 extraneous bytes before marker 0xd9\n", ""),
        ("Corrupt JPEG data: 17 extraneous bytes before marker 0xd9\n", "17 extraneous bytes before marker 0xd9"),
        ("Corrupt JPEG data: 2 extraneous bytes before marker 0xd3\n", "2 extraneous bytes before marker 0xd3"),
        ("Premature end of JPEG file\n", "Premature end of JPEG file"),
        (
            "Corrupt JPEG data: 3 extraneous bytes before marker 0xd9\r\nCorrupt JPEG data: bad Huffman code\r\n",
            "bad Huffman code",
        ),
    ],
)
def test_what_libjpeg_says_is_lost(words: str, lost: str) -> None:
    assert damage_in(words).removeprefix("Corrupt JPEG data: ") == lost
