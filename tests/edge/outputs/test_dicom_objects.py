"""DICOM results: in the film's study, with the exact mask, valid to a validator, never blocking other results."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg import RESEARCH_USE, DeviceError, Film, InputError, Segmentation, Segmenter
from edge_seg.assessment.measurements import measure
from edge_seg.outputs.dicom import capture_object, make_objects, report_object, segmentation_object
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import read_film
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

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


@pytest.fixture(scope="module")
def found(segmenter: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Segmentation:
    return result(segmenter, tmp_path_factory.mktemp("film"), PixelSpacing=[0.4, 0.4], PatientOrientation=["L", "F"])


def with_header(found: Segmentation, **changes: bytes | None) -> Segmentation:
    """The result of the same film with other raw bytes in its header, or without an attribute."""
    header = pydicom.Dataset({tag: found.film.header.get_item(tag) for tag in list(found.film.header.keys())})
    header.file_meta = found.film.header.file_meta
    for keyword, data in changes.items():
        tag = Tag(tag_for_keyword(keyword) or 0)
        if data is None:
            header.pop(tag, None)
        else:
            header[tag] = RawDataElement(tag, dictionary_VR(tag), len(data), data, 0, False, True)
    return replace(found, film=replace(found.film, header=header))


def made(found: Segmentation, folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """All three objects, written, checked by a validator and read back; and the notes about them."""
    results = make_objects(found, draw_overlay(found))
    assert list(results.files) == ["seg", "overlay", "report"], results.notes
    for name, data in results.files.items():
        path = folder / f"{name}.dcm"
        path.write_bytes(data)
        if shutil.which("dciodvfy"):
            seen = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
            assert seen.returncode == 0, seen.stderr
            assert "Error" not in seen.stderr, seen.stderr
    highdicom.seg.segread(folder / "seg.dcm")
    highdicom.sr.srread(folder / "report.dcm")
    back = {name: pydicom.dcmread(folder / f"{name}.dcm") for name in results.files}
    assert all(dataset.SpecificCharacterSet == "ISO_IR 192" for dataset in back.values())
    return back, results.notes


SPACINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "patient": {"PixelSpacing": [0.4, 0.3]},
    "detector": {"ImagerPixelSpacing": [0.4, 0.4]},
    "zero": {"PixelSpacing": [0, 0]},
}


@pytest.mark.slow
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_very_mask_comes_back_in_the_films_study(segmenter: Segmenter, tmp_path: Path, spacing: str) -> None:
    found = result(segmenter, tmp_path, **SPACINGS[spacing])
    objects, _ = made(found, tmp_path)
    back = highdicom.seg.segread(tmp_path / "seg.dcm")
    header = pydicom.dcmread(tmp_path / "film.dcm")
    pixels = back.get_pixels_by_source_instance([header.SOPInstanceUID])
    assert pixels.shape == (1, 400, 360, 4)
    for number, structure in enumerate(found.structures):
        assert np.array_equal(pixels[0, ..., number].astype(bool), found.masks[structure.name])
        description = back.get_segment_description(number + 1)
        assert description.segment_label == structure.title
        assert description.segmented_property_type.value == structure.snomed
        assert description.SegmentDescription == structure.definition
        assert description.algorithm_type.value == "AUTOMATIC"
    measures = back.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    assert [float(v) for v in measures[0].PixelSpacing] == [0.4, 0.3] if spacing == "patient" else not measures
    for dataset in objects.values():
        assert dataset.StudyInstanceUID == header.StudyInstanceUID
        assert dataset.SeriesInstanceUID != header.SeriesInstanceUID
        assert dataset.PatientID == header.PatientID
        assert RESEARCH_USE in dataset.SeriesDescription
        assert dataset.Manufacturer == "edge-seg"


@pytest.mark.slow
def test_the_overlay_is_small_looks_the_same_and_says_that_it_is_lossy(found: Segmentation, tmp_path: Path) -> None:
    capture = made(found, tmp_path)[0]["overlay"]
    shown = draw_overlay(found)
    assert np.abs(capture.pixel_array[..., ::-1].astype(int) - shown).mean() < 2
    size = (tmp_path / "overlay.dcm").stat().st_size
    assert size < shown.nbytes / 10
    assert (capture.LossyImageCompression, capture.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert float(capture.LossyImageCompressionRatio) == pytest.approx(shown.nbytes / size, rel=0.05)
    assert RESEARCH_USE in capture.ImageComments


def test_the_overlay_says_when_a_film_was_taken_only_where_names_were_asked_for(found: Segmentation) -> None:
    undated = replace(found, film=replace(found.film, taken_at=None))
    assert found.film.taken_at is not None
    np.testing.assert_array_equal(draw_overlay(found), draw_overlay(undated))
    assert (draw_overlay(found, names=True) != draw_overlay(undated, names=True)).any()
    # A camera's picture has no patient.
    frame = replace(found, film=replace(found.film, header=None))
    assert (draw_overlay(frame) != draw_overlay(undated)).any()


def numbers(report: Any) -> dict[tuple[str, str], tuple[float, str]]:
    """Values and units of a report, by measurement and structure."""
    taken = {}
    for groups in (
        report.content.get_planar_roi_measurement_groups(),
        report.content.get_image_measurement_groups(),
    ):
        for group in groups:
            for measurement in group.get_measurements():
                key = group.tracking_identifier, measurement.name.meaning
                taken[key] = float(measurement.value), measurement.unit.value
    return taken


@pytest.mark.slow
def test_the_report_holds_the_measurements_and_where_they_come_from(found: Segmentation, tmp_path: Path) -> None:
    objects, _ = made(found, tmp_path)
    report = highdicom.sr.srread(tmp_path / "report.dcm")
    taken = numbers(report)
    for structure in found.structures:
        assert taken[structure.title, "Area"] == (found.areas[structure.name].cm2, "cm2")
        assert taken[structure.title, "Width"] == (found.measurements.widths[structure.name].mm, "mm")
    ratio = found.measurements.ratios["cardiothoracic"]
    assert taken["chest", "Cardiothoracic ratio"] == (ratio, "{ratio}")
    assert taken["chest", "Width"] == (found.measurements.widths["thorax"].mm, "mm")
    assert taken["chest", "Estimated Dice coefficient of the lungs"] == (round(found.trust or 0, 3), "1")
    references = [
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    segmentation, film = objects["seg"], found.film.header
    assert (str(segmentation.SOPClassUID), str(segmentation.SOPInstanceUID)) in references
    assert (str(film.SOPClassUID), str(film.SOPInstanceUID)) in references
    for number, group in enumerate(report.content.get_planar_roi_measurement_groups(), 1):
        assert group.referenced_segmentation_frame.referenced_frame_numbers == [number]
        assert group.finding_type.value == found.structures[number - 1].snomed
        assert group.tracking_uid
    written = (tmp_path / "report.dcm").read_bytes()
    for text in (RESEARCH_USE, found.manifest.flatbuffer_sha256, f"edge-seg {found.manifest.name}"):
        assert text.encode() in written


@pytest.mark.slow
def test_the_report_counts_pixels_without_a_spacing_and_leaves_out_what_is_withheld(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    found = result(segmenter, tmp_path)
    withheld = replace(found.measurements, ratios={**found.measurements.ratios, "cardiothoracic": None})
    made(replace(found, measurements=withheld, trust=None), tmp_path)
    taken = numbers(highdicom.sr.srread(tmp_path / "report.dcm"))
    assert taken["right lung", "Area"] == (found.areas["right_lung"].pixels, "{pixels}")
    assert {name for title, name in taken if title == "chest"} == {"Width", "Area of left lung over right lung"}


def test_a_report_of_a_film_whose_sides_are_doubted_has_no_number_of_one_lung(
    found: Segmentation, tmp_path: Path
) -> None:
    measured = measure(found.masks, found.film, found.lung, sides=False)
    made(replace(found, measurements=measured), tmp_path)
    taken = numbers(highdicom.sr.srread(tmp_path / "report.dcm"))
    assert {title for title, _ in taken}.isdisjoint({"right lung", "left lung"})
    assert ("chest", "Cardiothoracic ratio") in taken
    assert ("chest", "Area of left lung over right lung") not in taken


def test_a_warning_stands_in_the_report(found: Segmentation, tmp_path: Path) -> None:
    report = made(replace(found, warnings=("low trust: look at it",)), tmp_path)[0]["report"]
    comments = [item.TextValue for item in report.ContentSequence if item.ValueType == "TEXT"]
    assert comments[-2:] == [RESEARCH_USE, "low trust: look at it"]


NAMES = {
    b"\\ISO 2022 IR 87": (
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    b"ISO 2022 IR 13\\ISO 2022 IR 87": (
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    ),
    b"ISO 2022 IR 13": (b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    b"\\ISO 2022 IR 149": (b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
    b"\\ISO 2022 IR 58": (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"),
    b"GB18030": ("Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
    b"ISO_IR 192": ("Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
    b"ISO_IR 144": ("Люк^".encode("iso8859_5"), "Люк^"),
    b"ISO_IR 6 ": (b"Plain^Name", "Plain^Name"),
    b"": (b"Plain^Name", "Plain^Name"),
}


@pytest.mark.slow
@pytest.mark.parametrize("declared", NAMES)
def test_a_name_in_any_character_set_is_written_on(found: Segmentation, tmp_path: Path, declared: bytes) -> None:
    data, name = NAMES[declared]
    changed = with_header(found, SpecificCharacterSet=declared, PatientName=data, ReferringPhysicianName=data)
    objects, notes = made(changed, tmp_path)
    assert not notes
    for dataset in objects.values():
        assert (str(dataset.PatientName), str(dataset.ReferringPhysicianName)) == (name, name)


ODD: dict[str, dict[str, bytes]] = {
    "Patient's Birth Date": {"PatientBirthDate": b"00000000"},
    "Patient's Birth Date of thirteen months": {"PatientBirthDate": b"19801341"},
    "Patient's Birth Date with dots": {"PatientBirthDate": b"1980.01.01"},
    "Patient's Sex": {"PatientSex": b"U"},
    "Patient's Sex written out": {"PatientSex": b"male"},
    "Patient's Age": {"PatientAge": b"45"},
    "Patient's Size": {"PatientSize": b"1,80"},
    "Patient's Weight": {"PatientWeight": b"inf "},
    "Patient's Name of many parts": {"PatientName": b"a^b^c^d^e^f^g"},
    "Patient ID": {"PatientID": b"x" * 65},
    "Patient ID of two values": {"PatientID": b"a\\b"},
    "Patient ID with a bell": {"PatientID": b"a\x07b "},
    "Study Date": {"StudyDate": b"20261332"},
    "Study Time": {"StudyTime": b"12:30:00"},
    "Study ID": {"StudyID": b"x" * 18},
    "Accession Number": {"AccessionNumber": b"x" * 18},
    "Referring Physician's Name": {"ReferringPhysicianName": b"x" * 70},
    "Study Description": {"StudyDescription": b"x" * 70},
    "Patient Orientation": {"PatientOrientation": b"L "},
    "Patient Orientation of one axis": {"PatientOrientation": b"L\\R "},
    "Patient Orientation of no side": {"PatientOrientation": b"X\\Y "},
    "Pixel Spacing": {"PixelSpacing": b"0,143 "},
    "Modality": {"Modality": b"d x "},
    "Study Instance UID": {"StudyInstanceUID": b"1.2.abc "},
    "Study Instance UID, of no root": {"StudyInstanceUID": b"7.1.2"},
    "Study Instance UID, of one number": {"StudyInstanceUID": b"20260101"},
    "Study Instance UID, missing": {"StudyInstanceUID": b""},
    "SOP Instance UID": {"SOPInstanceUID": b"1..2"},
}


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD)
def test_no_header_costs_the_objects(found: Segmentation, tmp_path: Path, odd: str) -> None:
    changed = with_header(found, **ODD[odd])
    _, notes = made(changed, tmp_path)
    title = odd.split(",")[0].split(" of ")[0].split(" with ")[0].split(" written")[0]
    assert any(title in note for note in notes)
    # The value may name a person.
    (value,) = ODD[odd].values()
    assert not value.strip() or not any(value.decode().strip() in note.split() for note in notes)


def test_an_attribute_that_cannot_be_decoded_costs_no_object(found: Segmentation, tmp_path: Path) -> None:
    class Damaged:
        def __str__(self) -> str:
            raise ArithmeticError("of no use")

    changed = with_header(found)
    changed.film.header.PatientID = "P1"
    changed.film.header["PatientID"]._value = Damaged()
    objects, notes = made(changed, tmp_path)
    assert objects["seg"].PatientID == ""
    assert any("Patient ID" in note for note in notes)


def test_a_valid_oblique_orientation_is_kept(found: Segmentation, tmp_path: Path) -> None:
    objects, notes = made(with_header(found, PatientOrientation=b"L\\FR"), tmp_path)
    assert list(objects["seg"].PatientOrientation) == list(objects["overlay"].PatientOrientation) == ["L", "FR"]
    assert not notes


@pytest.mark.slow
def test_an_empty_header_costs_no_object(found: Segmentation, tmp_path: Path) -> None:
    film = replace(found.film, header=pydicom.Dataset())
    first, notes = made(replace(found, film=film), tmp_path)
    assert sum("UID" in note for note in notes) == 2
    again, _ = made(replace(found, film=film), tmp_path)
    assert first["report"].SOPInstanceUID == again["report"].SOPInstanceUID
    assert len({dataset.StudyInstanceUID for dataset in first.values()}) == 1


def test_one_object_that_cannot_be_made_costs_none_of_the_others(
    found: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such thing\nand more")

    monkeypatch.setattr("edge_seg.outputs.dicom.segmentation_object", fail)
    results = make_objects(found, draw_overlay(found))
    assert set(results.files) == {"overlay", "report"}
    assert any(note.startswith("no DICOM seg: no such thing:") for note in results.notes)


def test_a_repeated_run_makes_the_same_objects_and_another_definition_others(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    first, again = (segmentation_object(result(segmenter, tmp_path)).SOPInstanceUID for _ in range(2))
    visible = segmentation_object(result(Segmenter.load("lungs", lung="visible"), tmp_path)).SOPInstanceUID
    assert first == again != visible


def test_a_film_without_study_has_no_objects(segmenter: Segmenter) -> None:
    found = segmenter(phantom(400, 360).film)
    for make in (segmentation_object, report_object, lambda s: capture_object(s, draw_overlay(s))):
        with pytest.raises(InputError, match="without a DICOM header"):
            make(found)


def saved(segmenter: Segmenter, film: Film, out: Path) -> dict[str, Any]:
    output = OutputFolder(out, ["dicom", "mask", "record"])
    output.write(segmenter(film))
    output.close()
    return dict(json.loads((out / "records.jsonl").read_text().splitlines()[-1]))


@pytest.mark.slow
def test_objects_stand_in_the_record_or_why_there_are_none(segmenter: Segmenter, tmp_path: Path) -> None:
    found = result(segmenter, tmp_path)
    record = saved(segmenter, found.film, tmp_path / "out")
    names = {file["name"] for file in record["files"]}
    assert {"film.seg.dcm", "film.overlay.dcm", "film.report.dcm", "film.right_lung.png"} <= names
    assert names == {path.name for path in (tmp_path / "out").iterdir()} - {"records.jsonl", ".edge-seg"}
    plain = saved(segmenter, phantom(400, 360).film, tmp_path / "out")
    assert any("no DICOM result" in warning for warning in plain["warnings"])
    # What the header lacks is reported.
    found.film.header.PatientSex = "U"
    odd = saved(segmenter, found.film, tmp_path / "other")
    assert any("Patient's Sex" in warning for warning in odd["warnings"])
    assert (tmp_path / "other" / "film.seg.dcm").is_file()


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
    paths = sorted((films_folder / "dicom").glob("RG1*.dcm"))
    assert paths
    for path in paths:
        folder = tmp_path / path.stem
        folder.mkdir()
        made(segmenter(read_film(path)), folder)
