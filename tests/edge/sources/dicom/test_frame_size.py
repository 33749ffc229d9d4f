"""A frame whose own header contradicts the object's is refused before a codec trusts it."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from edge_seg import InputError
from edge_seg.sources.dicom import codecs, decode_dicom
from edge_seg.sources.header import picture_size
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

MakeFilm = Callable[..., Path]

HUGE = 60_000


def jpeg(mark: int, side: int) -> bytes:
    frame = struct.pack(">BBHBHHB", 0xFF, mark, 11, 8, side, side, 1) + b"\1\x11\0"
    return b"\xff\xd8" + frame + b"\xff\xda\0\x08\1\1\0\0\0\0" + bytes(1000) + b"\xff\xd9"


def jpeg_2000(side: int) -> bytes:
    sizes = struct.pack(">HIIIIIIII", 0, side, side, 0, 0, side, side, 0, 0)
    return b"\xff\x4f\xff\x51\0\x29" + sizes + b"\0\1\7\1\1" + bytes(1000)


FRAMES = {
    JPEGBaseline8Bit: jpeg(0xC0, HUGE),
    JPEGLosslessSV1: jpeg(0xC3, HUGE),
    JPEGLSLossless: jpeg(0xF7, HUGE),
    JPEG2000Lossless: jpeg_2000(HUGE),
    HTJ2K: jpeg_2000(HUGE),
}


@pytest.mark.parametrize("syntax", FRAMES)
def test_another_size_is_refused_before_it_is_decoded(syntax: UID, make_film: MakeFilm) -> None:
    path = make_film()
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([FRAMES[syntax]])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    data = path.read_bytes()
    tracemalloc.start()
    with pytest.raises(InputError, match=f"is of {HUGE} x {HUGE} pixels where the header says 280 x 320"):
        decode_dicom(data, path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_frame_of_several_colours_under_a_grey_header_is_refused(make_film: MakeFilm) -> None:
    grey = np.arange(320 * 280, dtype=np.uint8).reshape(320, 280)
    path = make_film(pixels=grey)
    dataset = pydicom.dcmread(path)
    for syntax, suffix in ((JPEGBaseline8Bit, ".jpg"), (JPEG2000Lossless, ".jp2")):
        frame = cv2.imencode(suffix, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes()
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path)
        with pytest.raises(InputError, match="the encoded picture has 3 colours where the header says grey"):
            decode_dicom(path.read_bytes(), path)


def jpeg_2000_of(
    side: int, tile: int = 0, block: int = 4, precinct: bytes = b"", components: int = 1, *, of_component: bool = False
) -> bytes:
    """A codestream of one empty tile; `block` is the base-2 logarithm of the side of a code block, less two."""
    tile = tile or side
    sizes = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, components) + b"\x0f\1\1" * components
    plain, style = bytes([0, 4, 4, 0, 1]), bytes([0, block, block, 0, 1]) + precinct
    order = struct.pack(">BHB", 0, 1, 0)
    flag = bytes([1 if precinct else 0])
    segments = [(0x51, sizes), (0x52, b"\0" + order + plain if of_component else flag + order + style)]
    segments += [(0x53, b"\0" + flag + style)] if of_component else []
    head = b"".join(struct.pack(">BBH", 0xFF, mark, len(body) + 2) + body for mark, body in segments)
    tile_part = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 16, 0, 1) + b"\xff\x93\0\0"
    return b"\xff\x4f" + head + b"\xff\x5c\0\4\x40\x80" + tile_part + b"\xff\xd9"


@pytest.mark.parametrize(
    ("side", "made_of"),
    [
        (2048, {"precinct": b"\0"}),
        (2048, {"precinct": b"\0", "of_component": True}),
        (4800, {"block": 0}),
        (4800, {"block": 0, "of_component": True}),
        (4080, {"tile": 16}),
        (1000, {"components": 200}),
    ],
    ids=str,
)
def test_a_frame_of_too_many_parts_is_refused_before_it_is_decoded(
    side: int, made_of: dict[str, Any], make_film: MakeFilm, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Any] = []
    monkeypatch.setattr(codecs, "_decode", lambda *given: decoded.append(given))
    path = make_film()
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = side
    dataset.PixelData = encapsulate([jpeg_2000_of(side, **made_of)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.save_as(path)
    with pytest.raises(InputError, match="the encoded picture"):
        decode_dicom(path.read_bytes(), path)
    assert not decoded


@pytest.mark.parametrize("made_of", [{}, {"block": 3}, {"block": 2}, {"tile": 64}, {"tile": 256}], ids=str)
def test_a_large_frame_of_common_parts_has_a_size(made_of: dict[str, Any]) -> None:
    assert picture_size(jpeg_2000_of(4898, **made_of)) == (4898, 4898)


def test_a_frame_in_many_fragments_is_read(make_film: MakeFilm) -> None:
    grey = np.arange(320 * 280, dtype=np.uint8).reshape(320, 280)
    path = make_film(pixels=grey)
    dataset = pydicom.dcmread(path)
    frame = cv2.imencode(".jp2", grey, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
    dataset.PixelData = encapsulate([frame[frame.index(b"\xff\x4f\xff\x51") :]], fragments_per_frame=40)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.save_as(path)
    assert decode_dicom(path.read_bytes(), path).shape == (320, 280)
