"""Records identify a film's study, and name the patient only on request."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from edge_seg import Film, Segmenter
from edge_seg.identity import Identity, Patient, identity_of
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom
from edge_seg.sources import open_source, read_film
from edge_seg.station.health import Health
from edge_seg.station.session import run_session


@pytest.fixture
def film(tmp_path: Path) -> Path:
    write_dicom(phantom(200, 180, seed=1), tmp_path / "film.dcm")
    return tmp_path / "film.dcm"


@pytest.mark.parametrize("names", [False, True])
def test_names_are_where_they_were_asked_for_and_nowhere_else(
    tiny_model: Path, film: Path, tmp_path: Path, names: bool
) -> None:
    output, segmenter = OutputFolder(tmp_path / "out", names=names), Segmenter.load(tiny_model, gate=False)
    source = open_source([str(film)])
    health = Health(segmenter, source, output)
    run_session(source, segmenter, output, [health])
    text = (tmp_path / "out" / "records.jsonl").read_text()
    record = json.loads(text)
    header = pydicom.dcmread(film)
    assert record["dicom"] == {
        "study": header.StudyInstanceUID,
        "series": header.SeriesInstanceUID,
        "instance": header.SOPInstanceUID,
    }
    assert ("Synthetic" in text) == ("PHANTOM" in text) == names
    assert record.get("patient") == ({"name": "Synthetic^Phantom", "id": "PHANTOM"} if names else None)
    assert ("Synthetic" in json.dumps(health.state().to_json())) == names


@pytest.mark.parametrize(
    ("declared", "name", "read_as"),
    [
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
        ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"),
        ("ISO_IR 6", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("ISO_IR 192", "Müller^Jörg".encode(), "Müller^Jörg"),
        ("", "Müller^Jörg".encode(), "Müller^Jörg"),
    ],
    ids=["87", "149", "58", "6", "192", "none"],
)
def test_names_are_read_in_the_character_set_of_the_header(
    film: Path, declared: str, name: bytes, read_as: str
) -> None:
    header = pydicom.dcmread(film)
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientName = "N" * (len(name) + len(name) % 2)
    header.save_as(film)
    data = film.read_bytes().replace(b"N" * (len(name) + len(name) % 2), name + b" " * (len(name) % 2))
    said = declared.encode() + b" " * (len(declared) % 2)
    written = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192"
    assert written in data
    film.write_bytes(data.replace(written, b"\x08\x00\x05\x00CS" + len(said).to_bytes(2, "little") + said))
    found = identity_of(read_film(film), names=True)
    assert found.patient == Patient(read_as, "PHANTOM")


def test_films_without_a_header_or_with_a_broken_one(film: Path) -> None:
    assert identity_of(Film(phantom(64, 64).film.pixels), names=True) == Identity()
    read = read_film(film)
    del read.header.PatientName
    del read.header.StudyInstanceUID
    found = identity_of(read, names=True)
    assert found.patient == Patient("", "PHANTOM")
    assert found.dicom is not None
    assert found.dicom.study == ""
