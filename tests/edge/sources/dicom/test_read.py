"""Films that end early: what is all there is read, what is not is refused as cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom.film import Phantom
from edge_seg.sources.dicom import decode_dicom
from pydicom.uid import RLELossless

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


@pytest.mark.parametrize("missing", [1, 500])
def test_a_film_without_its_last_pixels_is_refused_as_cut_off(missing: int, make_film: MakeFilm) -> None:
    plain, coded = make_film("plain.dcm").read_bytes(), encoded(make_film("coded.dcm"))
    for data in (plain, coded.removesuffix(_PIXELS_END)):
        with pytest.raises(InputError, match="cut off"):
            decode_dicom(data[:-missing], Path("film.dcm"))
