"""Small DICOM films with headers as they occur in practice."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg.film import Film
from edge_seg.phantom import phantom, write_dicom
from edge_seg.phantom.film import Phantom
from edge_seg.sources.dicom import decode_dicom

MakeFilm = Callable[..., Path]


@pytest.fixture(scope="session")
def made() -> Phantom:
    """The chest on all of them, 12-bit."""
    return phantom(320, 280, seed=3, bits=16)


@pytest.fixture
def make_film(tmp_path: Path, made: Phantom) -> MakeFilm:
    """Writes the chest as a DICOM film without a window, with attributes set, or removed by `None`."""

    def make(name: str = "film.dcm", pixels: np.ndarray | None = None, **attributes: Any) -> Path:
        path = tmp_path / name
        write_dicom(made, path)
        dataset = pydicom.dcmread(path)
        del dataset.WindowCenter, dataset.WindowWidth
        if pixels is not None:
            dataset.Rows, dataset.Columns = pixels.shape
            dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
            dataset.HighBit = dataset.BitsStored - 1
            dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
            dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
            dataset["PixelData"].VR = "OW"
        with warnings.catch_warnings():
            # pydicom warns about values that the standard does not allow: here they are intended.
            warnings.simplefilter("ignore")
            for keyword, value in attributes.items():
                if value is None:
                    dataset.pop(keyword, None)
                    continue
                setattr(dataset, keyword, value)
                if keyword.startswith("PixelPadding"):
                    dataset[keyword].VR = "SS" if value < 0 else "US"
            dataset.save_as(path)
        return path

    return make


@pytest.fixture
def read_with(make_film: MakeFilm) -> Callable[..., Film]:
    """Reads the film that `make_film` writes."""

    def read(pixels: np.ndarray | None = None, **attributes: Any) -> Film:
        path = make_film(pixels=pixels, **attributes)
        return decode_dicom(path.read_bytes(), path)

    return read
