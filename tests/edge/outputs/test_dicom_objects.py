"""DICOM results: in the film's study, with the very mask, clean to a validator, never in the way of other results."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg import RESEARCH_USE, DeviceError, Film, InputError, Segmentation, Segmenter
from edge_seg.outputs.dicom import capture_object, objects, segmentation_object
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import read_film

highdicom = pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("lungs")


def result(segmenter: Segmenter, folder: Path, **changes: Any) -> Segmentation:
    write_dicom(phantom(400, 360, seed=1), folder / "film.dcm", spacing_mm=None)
    dataset = pydicom.dcmread(folder / "film.dcm")
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(folder / "film.dcm")
    return segmenter(read_film(folder / "film.dcm"))


SPACINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "patient": {"PixelSpacing": [0.4, 0.3]},
    "detector": {"ImagerPixelSpacing": [0.4, 0.4]},
    "zero": {"PixelSpacing": [0, 0]},
}


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_very_mask_comes_back_in_the_films_study(segmenter: Segmenter, tmp_path: Path, spacing: str) -> None:
    found = result(segmenter, tmp_path, **SPACINGS[spacing])
    for name, data in objects(found, draw_overlay(found)).items():
        (tmp_path / f"{name}.dcm").write_bytes(data)
    back = highdicom.seg.segread(tmp_path / "seg.dcm")
    header = pydicom.dcmread(tmp_path / "film.dcm")
    pixels = back.get_pixels_by_source_instance([header.SOPInstanceUID])
    assert pixels.shape == (1, 400, 360, 3)
    for number, structure in enumerate(found.structures):
        assert np.array_equal(pixels[0, ..., number].astype(bool), found.masks[structure.name])
        description = back.get_segment_description(number + 1)
        assert description.segment_label == structure.title
        assert description.segmented_property_type.value == structure.snomed
        assert description.SegmentDescription == structure.definition
        assert description.algorithm_type.value == "AUTOMATIC"
    measures = back.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    assert [float(v) for v in measures[0].PixelSpacing] == [0.4, 0.3] if spacing == "patient" else not measures
    capture = pydicom.dcmread(tmp_path / "overlay.dcm")
    shown = draw_overlay(found)
    assert np.array_equal(capture.pixel_array[..., ::-1], shown)
    for made in (pydicom.dcmread(tmp_path / "seg.dcm"), capture):
        assert made.StudyInstanceUID == header.StudyInstanceUID
        assert made.SeriesInstanceUID != header.SeriesInstanceUID
        assert made.PatientID == header.PatientID
        assert RESEARCH_USE in made.SeriesDescription
        assert made.Manufacturer == "edge-seg"


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_validator_finds_no_error(segmenter: Segmenter, tmp_path: Path, spacing: str) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools)")
    found = result(segmenter, tmp_path, **SPACINGS[spacing])
    for name, data in objects(found, draw_overlay(found)).items():
        (tmp_path / f"{name}.dcm").write_bytes(data)
        seen = subprocess.run(["dciodvfy", str(tmp_path / f"{name}.dcm")], capture_output=True, text=True)
        assert seen.returncode == 0, seen.stderr
        assert "Error" not in seen.stderr


def test_a_repeated_run_makes_the_same_objects_and_another_definition_others(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    first, again = (segmentation_object(result(segmenter, tmp_path)).SOPInstanceUID for _ in range(2))
    visible = segmentation_object(result(Segmenter.load("lungs", lung="visible"), tmp_path)).SOPInstanceUID
    assert first == again != visible


def test_a_film_without_study_has_no_objects(segmenter: Segmenter) -> None:
    found = segmenter(phantom(400, 360).film)
    for make in (segmentation_object, lambda s: capture_object(s, draw_overlay(s))):
        with pytest.raises(InputError, match="without a DICOM header"):
            make(found)


def saved(segmenter: Segmenter, film: Film, out: Path) -> dict[str, Any]:
    output = OutputFolder(out, ["dicom", "mask", "record"])
    output.write(segmenter(film))
    output.close()
    return dict(json.loads((out / "records.jsonl").read_text().splitlines()[-1]))


def test_objects_stand_in_the_record_or_why_there_are_none(segmenter: Segmenter, tmp_path: Path) -> None:
    found = result(segmenter, tmp_path)
    record = saved(segmenter, found.film, tmp_path / "out")
    names = {file["name"] for file in record["files"]}
    assert {"film.seg.dcm", "film.overlay.dcm", "film.right_lung.png"} <= names
    assert names == {path.name for path in (tmp_path / "out").iterdir()} - {"records.jsonl"}
    plain = saved(segmenter, phantom(400, 360).film, tmp_path / "out")
    assert any("no DICOM result" in warning for warning in plain["warnings"])
    # The header of a film that no object can be made from stops no mask.
    del found.film.header.StudyInstanceUID
    broken = saved(segmenter, found.film, tmp_path / "other")
    assert any("no DICOM result" in warning for warning in broken["warnings"])
    assert (tmp_path / "other" / "film.right_lung.png").is_file()


def test_without_highdicom_a_run_says_so_before_the_first_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_seg.outputs.dicom.importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="clinic"):
        OutputFolder(tmp_path / "out", ["dicom"])
    assert not (tmp_path / "out").exists()


def test_a_rejected_film_has_no_objects(segmenter: Segmenter, tmp_path: Path) -> None:
    write_dicom(phantom(400, 360, seed=1), tmp_path / "film.dcm")
    dataset = pydicom.dcmread(tmp_path / "film.dcm")
    dataset.PixelData = np.rot90(dataset.pixel_array, 2).tobytes()
    dataset.save_as(tmp_path / "film.dcm")
    record = saved(segmenter, read_film(tmp_path / "film.dcm"), tmp_path / "out")
    assert record["quality"]["verdict"] == "reject"
    assert record["files"] == []


@pytest.mark.data
def test_real_headers(segmenter: Segmenter, films_folder: Path, tmp_path: Path) -> None:
    made = 0
    for path in sorted((films_folder / "dicom").glob("RG1*.dcm")):
        found = segmenter(read_film(path))
        for name, data in objects(found, draw_overlay(found)).items():
            target = tmp_path / f"{path.stem}.{name}.dcm"
            target.write_bytes(data)
            made += 1
            if shutil.which("dciodvfy"):
                seen = subprocess.run(["dciodvfy", str(target)], capture_output=True, text=True)
                assert seen.returncode == 0, seen.stderr
    assert made == 4
