"""Images to start, and films to send; tests of whole machines are skipped if there are no images."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pydicom
import pytest
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom

from .machine import what_is_missing


def image_of(architecture: str) -> Path:
    """The image that was built, or a skip with the reason; machines start only on request."""
    if "EDGE_SEG_IMAGES" not in os.environ:
        pytest.skip("EDGE_SEG_IMAGES names no folder of images: make image-test")
    found = sorted(Path(os.environ["EDGE_SEG_IMAGES"]).glob(f"edge-seg-*-{architecture}.img"))
    if not found:
        pytest.skip(f"there is no image: image/build {architecture}")
    if (missing := what_is_missing(architecture)) is not None:
        pytest.skip(missing)
    return found[-1]


class Films:
    """Synthetic films to send, each with its SOP instance and the checksum of its pixels."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sent: dict[str, str] = {}
        self.acknowledged: dict[str, str] = {}

    def make(self, seed: int) -> Path:
        """Write one more film."""
        path = self._folder / f"film-{seed}.dcm"
        write_dicom(phantom(1024, 1024, seed=seed), path)
        film = pydicom.dcmread(path)
        uid = pydicom.uid.UID(f"1.2.826.0.1.3680043.10.1.{seed + 1}")
        film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = uid
        film.save_as(path)
        self.sent[str(film.SOPInstanceUID)] = hashlib.sha256(film.PixelData).hexdigest()
        return path

    def acknowledge(self, path: Path) -> None:
        """Note that the device acknowledged the film."""
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        self.acknowledged[uid] = self.sent[uid]


@pytest.fixture
def films(tmp_path: Path) -> Films:
    (tmp_path / "films").mkdir()
    return Films(tmp_path / "films")
