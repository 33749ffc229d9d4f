"""A frame whose own header contradicts the object's is refused before a codec trusts it."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from edge_seg import InputError
from edge_seg.sources.dicom import decode_dicom
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
