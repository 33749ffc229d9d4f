"""The outbox: results reach the archive, whatever the network does meanwhile; refused ones do not block others."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg import InputError, Segmenter, UsageError
from edge_seg.dicom_network import wait_until_ready
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.outbox import Outbox, archive_at, queue
from edge_seg.outputs.outbox import pacs as pacs_module
from edge_seg.outputs.outbox.archive import Archive, with_bytes
from edge_seg.outputs.outbox.pacs import PacsArchive
from edge_seg.outputs.outbox.parcel import Parcel
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import read_film
from edge_seg.storage import write_atomically
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

pynetdicom = pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")


ALL = (SegmentationStorage, SecondaryCaptureImageStorage, ComprehensiveSRStorage)
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
EVERY = (*PLAIN, DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit)


class Pacs:
    """An archive on loopback that replies with its `answer`, for these classes in these encodings."""

    def __init__(self, port: int = 0, classes: tuple[str, ...] = ALL, syntaxes: tuple[str, ...] = PLAIN):
        self.taken: list[pydicom.Dataset] = []
        self.encodings: list[tuple[str, str]] = []
        self.answer: Callable[[pydicom.Dataset], int] = lambda dataset: 0x0000
        entity = pynetdicom.AE("PACS")
        for storage in (*classes, DigitalXRayImageStorageForPresentation):
            entity.add_supported_context(storage, list(syntaxes))
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, self._store)]
        )
        self.archive = PacsArchive("PACS", "127.0.0.1", self._server.socket.getsockname()[1])

    def _store(self, event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        status = self.answer(dataset)
        if status in (0x0000, 0xB000):
            self.taken.append(dataset)
            self.encodings.append((dataset.Modality, str(event.context.transfer_syntax)))
        return status

    def hang_up(self) -> None:
        for association in self._server.active_associations:
            association.abort()

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(queue, "LONGEST_PAUSE_S", 0.2)


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


def set_aside(outbox: Outbox) -> set[str]:
    return {path.name for path in (outbox.folder / "refused").iterdir()} - {"reasons.txt"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of one film."""
    pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
    folder = tmp_path_factory.mktemp("results")
    write_dicom(phantom(400, 360, seed=1), folder / "film.dcm")
    output = OutputFolder(folder / "out", ["record", "dicom"])
    output.write(Segmenter.load("lungs")(read_film(folder / "film.dcm")))
    output.close()
    return folder / "out"


NAMES = ("film.seg.dcm", "film.overlay.dcm", "film.report.dcm")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (
            EVERY,
            {"SEG": DeflatedExplicitVRLittleEndian, "OT": JPEGBaseline8Bit, "SR": DeflatedExplicitVRLittleEndian},
        ),
        (PLAIN, dict.fromkeys(("SEG", "OT", "SR"), ExplicitVRLittleEndian)),
        ((ImplicitVRLittleEndian,), dict.fromkeys(("SEG", "OT", "SR"), ImplicitVRLittleEndian)),
        ((JPEGBaseline8Bit, ImplicitVRLittleEndian), {"OT": JPEGBaseline8Bit, "SEG": ImplicitVRLittleEndian}),
    ],
)
def test_each_archive_gets_the_smallest_encoding_that_it_takes(
    results: Path, tmp_path: Path, taken: tuple[str, ...], expected: dict[str, str]
) -> None:
    pacs = Pacs(syntaxes=taken)
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    for name in NAMES:
        outbox.put(results / name)
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    pacs.stop()
    assert (outbox.sent, outbox.refused) == (3, 0)
    assert expected.items() <= dict(pacs.encodings).items()
    for dataset in pacs.taken:
        name = {"SEG": NAMES[0], "OT": NAMES[1], "SR": NAMES[2]}[dataset.Modality]
        kept = pydicom.dcmread(results / name)
        assert dataset.SOPInstanceUID == kept.SOPInstanceUID
        if "PixelData" in kept:
            difference = dataset.pixel_array.astype(int) - kept.pixel_array
            assert np.abs(difference).mean() < (2 if name == NAMES[1] else 1e-9)
        else:
            assert dataset.ContentSequence == kept.ContentSequence
        if dataset.Modality == "OT":
            # Decompressed, it still says that it was lossy.
            assert dataset.LossyImageCompression == "01"


def test_results_of_a_film_reach_the_archive(pacs: Pacs, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
    write_dicom(phantom(400, 360, seed=1), tmp_path / "film.dcm")
    output = OutputFolder(tmp_path / "out", ["record", "dicom"])
    output.outbox = Outbox(tmp_path / "out" / "outbox", pacs.archive, "EDGESEG")
    output.write(Segmenter.load("lungs")(read_film(tmp_path / "film.dcm")))
    output.close()
    assert sorted(made.Modality for made in pacs.taken) == ["OT", "SEG", "SR"]
    assert {made.StudyInstanceUID for made in pacs.taken} == {pydicom.dcmread(tmp_path / "film.dcm").StudyInstanceUID}
    assert len(output.outbox) == 0
    # Files that were sent stay here as well.
    assert {"film.seg.dcm", "film.overlay.dcm", "film.report.dcm"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


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


def test_each_object_is_sent_once_the_association_is_ready(
    pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    def wait(association: Any) -> None:
        waited.append(len(pacs.taken))
        wait_until_ready(association)

    monkeypatch.setattr(pacs_module, "wait_until_ready", wait)
    pacs.archive.deliver([film(tmp_path, 1), film(tmp_path, 2)], "EDGESEG", lambda *_: None, lambda: False)
    assert waited == [0, 1]


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
    assert set_aside(outbox) == {"1.dcm"}
    reasons = tmp_path / "outbox" / "refused" / "reasons.txt"
    assert "0xA900" in reasons.read_text()
    assert reasons.stat().st_mode & 0o077 == 0
    assert "0xA900" in str(outbox.last_refusal)


def test_a_result_that_the_archive_already_has_is_delivered(pacs: Pacs, tmp_path: Path) -> None:
    pacs.answer = lambda dataset: 0x0111
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    outbox.put(film(tmp_path, 1))
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert (outbox.refused, outbox.sent) == (0, 1)


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
    assert set_aside(outbox) == {"1.dcm", "2.dcm"}
    assert outbox.sent == 1
    reasons = (outbox.folder / "refused" / "reasons.txt").read_text()
    assert "takes no objects of class Segmentation Storage" in reasons


def test_a_disk_without_links_holds_copies(pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    outbox.put(film(tmp_path, 1))
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert len(pacs.taken) == 1


def test_damaged_files_are_set_aside_and_the_rest_goes_on(pacs: Pacs, results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    whole = (results / NAMES[0]).read_bytes()
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "noise.dcm").write_bytes(random.Random(0).randbytes(3000))
    for cut in (1, 131, 132, 200, 400, 1000, len(whole) // 2, len(whole) - 1):
        (folder / f"torn-{cut}.dcm").write_bytes(whole[:cut])
    odd = pydicom.dcmread(results / NAMES[2])
    del odd.SOPClassUID
    odd.save_as(folder / "classless.dcm")
    damaged = {path.name for path in folder.iterdir()}
    os.mkfifo(folder / "pipe.dcm")
    (folder / "folder.dcm").mkdir()
    outbox = Outbox(folder, pacs.archive, "EDGESEG")
    outbox.put(results / NAMES[0])
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert set_aside(outbox) == damaged
    assert (outbox.sent, len(pacs.taken)) == (1, 1)
    reasons = (folder / "refused" / "reasons.txt").read_text()
    assert all(name in reasons for name in damaged)


@pytest.mark.slow
def test_any_cut_is_seen(results: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.dcm"
    for name in NAMES:
        whole = (results / name).read_bytes()
        places = random.Random(0)
        for cut in {*range(0, 700, 7), *(places.randrange(len(whole)) for _ in range(50)), len(whole) - 1}:
            torn.write_bytes(whole[:cut])
            with pytest.raises(InputError, match=r"torn\.dcm"):
                Parcel.read(torn)
        assert Parcel.read(results / name).size == len(whole)


def test_a_file_that_cannot_be_removed_is_not_sent_again_and_stops_no_other(
    pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "1.dcm":
            raise OSError(30, "Read-only file system")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    for number in (1, 2):
        outbox.put(film(tmp_path, number))
    wait_for(lambda: len(outbox) == 0)
    time.sleep(0.3)
    assert "cannot be moved away" in str(outbox.trouble)
    outbox.close()
    assert sorted(str(made.SOPInstanceUID) for made in pacs.taken) == ["1.2.3.1", "1.2.3.2"]


def test_whatever_happens_while_sending_the_thread_goes_on(
    pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        pass

    deliver, calls = PacsArchive.deliver, []

    def fail(self: PacsArchive, *args: Any) -> Any:
        calls.append(args)
        if len(calls) < 3:
            raise Panic("from native code")
        return deliver(self, *args)

    monkeypatch.setattr(PacsArchive, "deliver", fail)
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    outbox.put(film(tmp_path, 1))
    wait_for(lambda: "from native code" in str(outbox.trouble))
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert len(pacs.taken) == 1


def test_what_breaks_the_connection_waits_behind_the_rest(pacs: Pacs, tmp_path: Path) -> None:
    def answer(dataset: pydicom.Dataset) -> int:
        if dataset.SOPInstanceUID == "1.2.3.1":
            pacs.hang_up()
        return 0x0000

    pacs.answer = answer
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    for number in (1, 2, 3):
        outbox.put(film(tmp_path, number))
    wait_for(lambda: len(outbox) == 1)
    wait_for(lambda: outbox.trouble is not None)
    assert "hung up" in str(outbox.trouble)
    outbox.close()
    assert {path.name for path in outbox.folder.iterdir() if path.is_file()} == {"1.dcm"}
    assert outbox.refused == 0


def test_an_archive_that_refuses_the_device_says_why(tmp_path: Path) -> None:
    entity = pynetdicom.AE("OTHER")
    entity.add_supported_context(DigitalXRayImageStorageForPresentation)
    entity.require_called_aet = True
    server = entity.start_server(("127.0.0.1", 0), block=False)
    outbox = Outbox(tmp_path / "outbox", PacsArchive("PACS", *server.socket.getsockname()), "EDGESEG")
    outbox.put(film(tmp_path, 1))
    wait_for(lambda: outbox.trouble is not None)
    outbox.close()
    server.shutdown()
    assert "refuses this device (Called AE title not recognised)" in str(outbox.trouble)
    assert len(outbox) == 1


def test_an_archive_that_takes_no_encoding_says_so(results: Path, tmp_path: Path) -> None:
    pacs = Pacs(syntaxes=("1.2.840.10008.1.2.4.90",))
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    outbox.put(results / NAMES[0])
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    pacs.stop()
    assert "none of the encodings offered" in str(outbox.last_refusal)


def test_an_archive_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacs_module, "PATIENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outbox = Outbox(tmp_path / "outbox", PacsArchive("PACS", *silent.getsockname()), "EDGESEG")
        outbox.put(film(tmp_path, 1))
        wait_for(lambda: outbox.trouble is not None)
        outbox.close()
    assert "does not answer" in str(outbox.trouble)


def test_the_same_name_put_again_is_sent_again(pacs: Pacs, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", pacs.archive, "EDGESEG")
    for _ in range(2):
        outbox.put(film(tmp_path, 1))
        wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert len(pacs.taken) == 2
    assert not [path for path in outbox.folder.iterdir() if path.is_file()]


class Slow(Archive):
    """An archive that takes each file only once it is told to."""

    in_clear = False

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.reading, self.going_on = threading.Event(), threading.Event()

    def deliver(
        self,
        parcels: Sequence[Path],
        sender: str,
        answer: Callable[[Path, str | None], None],
        is_closing: Callable[[], bool],
    ) -> None:
        for path, data in with_bytes(parcels, answer, is_closing):
            self.taken.append(data)
            self.reading.set()
            assert self.going_on.wait(60)
            answer(path, None)


@pytest.mark.parametrize("way", ["file", "bytes"])
def test_a_newer_version_that_comes_while_the_older_one_is_sent_is_sent_too(tmp_path: Path, way: str) -> None:
    archive = Slow()
    outbox = Outbox(tmp_path / "outbox", archive, "EDGESEG")

    def put(data: bytes) -> None:
        if way == "bytes":
            outbox.put_bytes("film", data)
        else:
            write_atomically(tmp_path / "film", data)
            outbox.put(tmp_path / "film")

    put(b"older")
    assert archive.reading.wait(60)
    put(b"newer")
    archive.going_on.set()
    wait_for(lambda: len(outbox) == 0)
    outbox.close()
    assert archive.taken == [b"older", b"newer"]


@pytest.mark.parametrize("text", ["", "PACS", "PACS@host", "@host:104", "PACS@host:0", "PACS@:104", "A" * 17 + "@h:1"])
def test_what_is_no_archive_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="AE@HOST:PORT"):
        archive_at(text)
