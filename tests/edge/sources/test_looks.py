"""In folders, files that look like films are taken, whatever their name."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pydicom
from edge_seg import Film
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import open_source
from edge_seg.sources.files import read_film
from edge_seg.sources.looks import looks_like_film


def test_films_are_taken_whatever_they_are_called(tmp_path: Path) -> None:
    made = phantom(64, 64)
    for name, suffix in (("a.jfif", ".jpg"), ("b.jpe", ".jpg"), ("c.gif", ".gif"), ("d", ".png"), ("e.scan", ".tif")):
        picture = cv2.cvtColor(made.film.pixels, cv2.COLOR_GRAY2BGR)
        (tmp_path / name).write_bytes(cv2.imencode(suffix, picture)[1].tobytes())
    write_dicom(made, tmp_path / "f.img")
    write_dicom(made, tmp_path / "g.dcm")
    bare = (tmp_path / "g.dcm").read_bytes()
    start = bare.index(b"\x08\x00\x16\x00UI")
    (tmp_path / "h").write_bytes(bare[start:])
    (tmp_path / "notes.txt").write_text("no film")
    (tmp_path / "BMW.odt").write_bytes(b"BMW is no bitmap " + bytes(600))
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    source = open_source([str(tmp_path)])
    found = [arrival.content for arrival in source if arrival is not None]
    assert source.passed_over == 3
    assert [one.name for one in found] == ["a.jfif", "b.jpe", "c.gif", "d", "e.scan", "f.img", "g.dcm", "h"]
    assert all(isinstance(one, Film) for one in found)


def test_a_picture_called_dicom_is_a_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), phantom(64, 64).film.pixels)
    shutil.move(tmp_path / "a.png", tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_film(tmp_path / "a.dcm").pixels, phantom(64, 64).film.pixels)


def test_a_directory_of_films_is_none(tmp_path: Path) -> None:
    write_dicom(phantom(64, 64), tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert looks_like_film((tmp_path / "a.dcm").read_bytes()[:512], bare=False)
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    dataset.save_as(tmp_path / "list")
    assert not looks_like_film((tmp_path / "list").read_bytes()[:512], bare=True)
