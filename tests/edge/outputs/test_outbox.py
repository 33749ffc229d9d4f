"""The outbox: results reach the archive, whatever the network does meanwhile; refused ones stand in nobody's way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from edge_seg import Segmenter, UsageError
from edge_seg.outputs import outbox as module
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.outbox import Archive, Outbox
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import read_film
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, SecondaryCaptureImageStorage, SegmentationStorage

pynetdicom = pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")


class Pacs:
    """An archive on loopback that takes what its `answer` says."""

    def __init__(self, port: int = 0, classes: tuple[str, ...] = (SegmentationStorage, SecondaryCaptureImageStorage)):
        self.taken: list[pydicom.Dataset] = []
        self.answer: Callable[[pydicom.Dataset], int] = lambda dataset: 0x0000
        entity = pynetdicom.AE("PACS")
        for storage in (*classes, DigitalXRayImageStorageForPresentation):
            entity.add_supported_context(storage)
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, self._store)]
        )
        self.archive = Archive("PACS", "127.0.0.1", self._server.socket.getsockname()[1])

    def _store(self, event: Any) -> int:
        dataset = event.dataset
        status = self.answer(dataset)
        if status in (0x0000, 0xB000):
            self.taken.append(dataset)
        return status

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.2)


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    made = Pacs()
    yield made
    made.stop()


def wait_for(done: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def film(folder: Path, number: int) -> Path:
    path = folder / f"{number}.dcm"
    write_dicom(phantom(64 + number, 60, seed=0), path)
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
    dataset.save_as(path)
    return path


def test_results_of_a_film_reach_the_archive(pacs: Pacs, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
    write_dicom(phantom(400, 360, seed=1), tmp_path / "film.dcm")
    output = OutputFolder(tmp_path / "out", ["record", "dicom"])
    output.outbox = Outbox(tmp_path / "out" / "outbox", pacs.archive, "EDGESEG")
    output.write(Segmenter.load("lungs")(read_film(tmp_path / "film.dcm")))
    output.close()
    assert sorted(made.Modality for made in pacs.taken) == ["OT", "SEG"]
    assert {made.StudyInstanceUID for made in pacs.taken} == {pydicom.dcmread(tmp_path / "film.dcm").StudyInstanceUID}
    assert len(output.outbox) == 0
    # What was sent on stays here as well.
    assert {"film.seg.dcm", "film.overlay.dcm"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_what_waits_for_an_archive_that_is_away_is_sent_when_it_comes_back(tmp_path: Path) -> None:
    away = Pacs()
    archive = away.archive
    away.stop()
    outbox = Outbox(tmp_path / "outbox", archive, "EDGESEG")
    for number in range(3):
        outbox.put(film(tmp_path, number))
    wait_for(lambda: outbox.trouble is not None)
    assert "does not answer" in str(outbox.trouble)
    outbox.close()
    assert len(outbox) == 3
    # Also after a restart.
    outbox = Outbox(tmp_path / "outbox", archive, "EDGESEG")
    wait_for(lambda: outbox.trouble is not None)
    back = Pacs(archive.port)
    wait_for(lambda: outbox.trouble is None)
    assert {str(made.SOPInstanceUID) for made in back.taken} == {"1.2.3.0", "1.2.3.1", "1.2.3.2"}
    assert (outbox.sent, len(outbox)) == (3, 0)
    outbox.close()
    back.stop()


def test_an_archive_out_of_resources_is_asked_again(pacs: Pacs, tmp_path: Path) -> None:
    answers = [0xA700, 0xA700, 0x0000]
    pacs.answer = lambda dataset: answers.pop(0)
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    outbox.put(film(tmp_path, 1))
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert not answers
    assert outbox.refused == 0


def test_a_refused_result_is_set_aside_and_the_next_is_sent(pacs: Pacs, tmp_path: Path) -> None:
    pacs.answer = lambda dataset: 0xA900 if dataset.SOPInstanceUID == "1.2.3.1" else 0xB000
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    for number in (1, 2):
        outbox.put(film(tmp_path, number))
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert (outbox.refused, outbox.sent) == (1, 1)
    assert [path.name for path in (tmp_path / "outbox" / "refused").iterdir()] == ["1.dcm"]


def test_an_archive_that_takes_no_such_class_and_a_file_cut_off(tmp_path: Path) -> None:
    pacs = Pacs(classes=())
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    odd = film(tmp_path, 1)
    dataset = pydicom.dcmread(odd)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    dataset.save_as(odd)
    cut = film(tmp_path, 2)
    cut.write_bytes(cut.read_bytes()[:140])
    for path in (odd, cut, film(tmp_path, 3)):
        outbox.put(path)
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    pacs.stop()
    assert {path.name for path in (tmp_path / "outbox" / "refused").iterdir()} == {"1.dcm", "2.dcm"}
    assert outbox.sent == 1


def test_a_disk_without_links_holds_copies(pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    outbox.put(film(tmp_path, 1))
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert len(pacs.taken) == 1


@pytest.mark.parametrize("text", ["", "PACS", "PACS@host", "@host:104", "PACS@host:0", "PACS@:104", "A" * 17 + "@h:1"])
def test_what_is_no_archive_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="AE@HOST:PORT"):
        Archive.parse(text)
