"""Values of a header that are far longer than any that a film has."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from edge_seg.sources.dicom import decode_dicom
from pydicom.tag import Tag

_PIXELS = b"\xe0\x7f\x10\x00"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PixelSpacing", b"1\\" * 1_000_000),
        ("WindowCenter", b"1\\" * 1_000_000),
        ("NumberOfFrames", b"1\\" * 1_000_000),
        ("ViewPosition", b"AP\\" * 700_000),
        ("SOPClassUID", b"1\\" * 1_000_000),
        ("PixelPaddingValue", bytes(2_000_000)),
    ],
)
def test_a_value_of_megabytes_becomes_no_objects(keyword: str, value: bytes, make_film: Callable[..., Path]) -> None:
    plain = make_film().read_bytes()
    at, tag = plain.rindex(_PIXELS), Tag(keyword)
    element = struct.pack("<HH", tag.group, tag.element) + b"UN\0\0" + struct.pack("<I", len(value)) + value
    data = plain[:at] + element + plain[at:]
    decode_dicom(plain, Path("warm.dcm"))
    tracemalloc.start()
    try:
        film = decode_dicom(data, Path("film.dcm"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(data)
    told = any(warning.startswith("PixelSpacing in the header is no pair") for warning in film.warnings)
    assert told == (keyword == "PixelSpacing")


def test_a_table_and_a_sequence_may_be_long(make_film: Callable[..., Path]) -> None:
    path = make_film()
    dataset, table = pydicom.dcmread(path), pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [0, 0, 16])
    table.add_new("LUTData", "OW", np.arange(1 << 16, dtype="<u2")[::-1].tobytes())
    dataset.ModalityLUTSequence = [table]
    dataset.save_as(path)
    turned, plain = (decode_dicom(p.read_bytes(), p).pixels for p in (path, make_film("plain.dcm")))
    np.testing.assert_array_equal(turned, plain.max() - plain)
