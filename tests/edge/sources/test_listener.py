"""The listener: films are stored before their sender gets success, and everything else gets its own status."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg import DeviceError, Film, UsageError, storage
from edge_seg.dicom_network import wait_until_ready
from edge_seg.film import Failure
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import Attempts, Inbox, Limits, Listener, open_source
from edge_seg.sources.dicom import decodable_syntaxes
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

pynetdicom = pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")

STORAGE = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    CTImageStorage,
)


def dicom_film(folder: Path, seed: int = 0, size: tuple[int, int] = (90, 80), **changes: Any) -> pydicom.Dataset:
    write_dicom(phantom(*size, seed=seed), folder / "made.dcm")
    dataset = pydicom.dcmread(folder / "made.dcm")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    return dataset


def send(
    listener: Listener,
    *datasets: pydicom.Dataset,
    called: str = "EDGESEG",
    calling: str = "SCANNER",
    syntax: str = ExplicitVRLittleEndian,
) -> list[Any]:
    """Send datasets and return their statuses, or how the association ended."""
    entity = pynetdicom.AE(calling)
    # On a busy machine, pynetdicom's own deadlines pass.
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 300
    for kind in STORAGE:
        entity.add_requested_context(kind, syntax)
    association = entity.associate("127.0.0.1", listener.port, ae_title=called)
    if not association.is_established:
        return ["rejected" if association.is_rejected else "aborted"]
    answers: list[Any] = []
    for dataset in datasets:
        began = time.monotonic()
        wait_until_ready(association)
        try:
            answer = association.send_c_store(dataset)
        except (ValueError, RuntimeError) as error:
            answers.append(str(error))
            continue
        lost = f"no answer in {time.monotonic() - began:.1f} s; aborted: {association.is_aborted}"
        answers.append(answer if "Status" in answer else lost)
    association.release()
    return answers


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def make(folder: str = "inbox", **options: Any) -> Listener:
        opened.append(Listener("0", Inbox(tmp_path / folder), **options))
        return opened[-1]

    yield make
    for listener in opened:
        listener.close()


@dataclass
class Told:
    """The part of a record that a source reads."""

    status: str


def take(listener: Listener, count: int) -> list[Film | Failure]:
    """Take the next arrivals, and settle each as a session would."""
    found = []
    for arrival in listener:
        if arrival is not None:
            arrival.settle(Told("failed" if isinstance(arrival.content, Failure) else "done"))
            found.append(arrival.content)
        if len(found) == count:
            break
    return found


def test_a_film_that_was_sent_comes_out_with_its_pixels(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    listener = listen()
    dataset = dicom_film(tmp_path)
    (status,) = send(listener, dataset)
    assert status.Status == 0x0000
    (film,) = take(listener, 1)
    assert isinstance(film, Film)
    assert film.name == f"{dataset.SOPInstanceUID}.dcm"
    assert film.source == f"dicom {dataset.SOPInstanceUID}"
    assert np.array_equal(film.pixels, phantom(90, 80, seed=0).film.pixels)
    assert len(listener.inbox) == 0
    assert (tmp_path / "inbox" / "done" / film.name).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", [None, RLELossless], ids=["plain", "RLE"])
def test_a_film_of_a_real_size_is_taken(
    tmp_path: Path, listen: Callable[..., Listener], encoding: pydicom.uid.UID | None
) -> None:
    # Its header is read without its pixels.
    dataset = dicom_film(tmp_path, size=(1200, 1000))
    if encoding is not None:
        dataset.compress(encoding, generate_instance_uid=False)
    (status,) = send(listen(), dataset, syntax=encoding or ExplicitVRLittleEndian)
    assert (status.Status, status.get("ErrorComment")) == (0x0000, None)


def test_an_encoded_film_too_large_to_decode_is_refused(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    dataset = dicom_film(tmp_path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.Rows = dataset.Columns = 6000
    (status,) = send(listen(), dataset, syntax=RLELossless)
    assert status.Status == 0xA900
    assert "too large" in status.ErrorComment


def test_a_sender_may_propose_every_context_in_thirty_transfer_syntaxes(listen: Callable[..., Listener]) -> None:
    entity = pynetdicom.AE("SCANNER")
    syntaxes = [f"1.2.840.10008.1.2.4.{number}" for number in range(100, 129)]
    for kind in [context.abstract_syntax for context in pynetdicom.AllStoragePresentationContexts[:128]]:
        entity.add_requested_context(kind, [ExplicitVRLittleEndian, *syntaxes])
    association = entity.associate("127.0.0.1", listen().port, ae_title="EDGESEG")
    assert association.is_established
    association.release()


def test_c_echo_is_answered(listen: Callable[..., Listener]) -> None:
    entity = pynetdicom.AE("SCANNER")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", listen().port, ae_title="EDGESEG")
    assert association.send_c_echo().Status == 0x0000
    association.release()


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.keyword,
)
def test_encodings(tmp_path: Path, listen: Callable[..., Listener], syntax: pydicom.uid.UID) -> None:
    listener = listen()
    dataset = dicom_film(tmp_path)
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        # pylibjpeg-openjpeg encodes; pydicom has its own encoder for RLE.
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(tmp_path / "made.dcm", implicit_vr=syntax.is_implicit_VR, little_endian=True)
        dataset = pydicom.dcmread(tmp_path / "made.dcm")
    (status,) = send(listener, dataset, syntax=syntax)
    assert status.Status == 0x0000
    (film,) = take(listener, 1)
    assert isinstance(film, Film)
    assert np.array_equal(film.pixels, phantom(90, 80, seed=0).film.pixels)


def test_every_encoding_that_films_come_in_is_offered() -> None:
    # PS3.5 chapter 10: uncompressed, JPEG baseline to lossless, JPEG-LS, JPEG 2000, RLE.
    wanted = {"1.2", "1.2.1", "1.2.1.99", "1.2.2", "1.2.4.50", "1.2.4.51", "1.2.4.57", "1.2.4.70"}
    wanted |= {"1.2.4.80", "1.2.4.81", "1.2.4.90", "1.2.4.91", "1.2.5"}
    assert {f"1.2.840.10008.{end}" for end in wanted} <= set(decodable_syntaxes())


def test_captured_films_are_taken_and_our_own_overlays_are_not(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    listener = listen()
    captured = dicom_film(tmp_path, 1, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")
    overlay = dicom_film(tmp_path, 2, SOPClassUID=SecondaryCaptureImageStorage, Modality="DX", SamplesPerPixel=3)
    statuses = [answer.Status for answer in send(listener, captured, overlay)]
    assert statuses == [0x0000, 0xA900]


@pytest.mark.parametrize(
    ("changes", "status", "comment"),
    [
        ({"Modality": "CT"}, 0xA900, "CT"),
        ({"NumberOfFrames": 2}, 0xA900, "2 frames"),
        ({"PixelData": None}, 0xA900, "no picture"),
        ({"Rows": 4}, 0xA900, "too small"),
    ],
    ids=["CT as DX", "frames", "no pixels", "tiny"],
)
def test_what_is_no_film_is_refused_and_the_next_film_is_taken(
    tmp_path: Path, listen: Callable[..., Listener], changes: dict[str, Any], status: int, comment: str
) -> None:
    listener = listen()
    bad = dicom_film(tmp_path, 1, **changes)
    if changes.get("PixelData", 0) is None:
        del bad.PixelData
    answers = send(listener, bad, dicom_film(tmp_path, 2))
    assert [answer.Status for answer in answers] == [status, 0x0000]
    assert comment in answers[0].ErrorComment
    assert len(listener.inbox) == 1


def test_a_ct_has_no_context_and_the_next_film_is_taken(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    listener = listen()
    ct = dicom_film(tmp_path, 1, SOPClassUID=CTImageStorage, Modality="CT")
    refused, taken = send(listener, ct, dicom_film(tmp_path, 2))
    assert "presentation context" in refused.lower()
    assert taken.Status == 0x0000


def test_an_object_over_the_limit_is_refused_and_the_next_film_is_taken(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    listener = listen(limits=Limits(object_bytes=100_000))
    answers = send(listener, dicom_film(tmp_path, 1, size=(1000, 1000)), dicom_film(tmp_path, 2))
    assert [answer.Status for answer in answers] == [0xC010, 0x0000]
    assert "100,000 bytes" in answers[0].ErrorComment
    assert len(listener.inbox) == 1


def test_too_many_films_wait(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    listener = listen(limits=Limits(waiting=1))
    answers = send(listener, dicom_film(tmp_path, 1), dicom_film(tmp_path, 2))
    assert [answer.Status for answer in answers] == [0x0000, 0xA700]
    take(listener, 1)
    assert send(listener, dicom_film(tmp_path, 2))[0].Status == 0x0000


def test_titles(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    film = dicom_film(tmp_path)
    listener = listen(ae_title="CLINIC", senders=["SCANNER"])
    assert send(listener, film, called="EDGESEG") == ["rejected"]
    assert send(listener, film, called="CLINIC", calling="STRANGER") == ["rejected"]
    assert send(listener, film, called="CLINIC", calling="SCANNER")[0].Status == 0x0000


def test_a_full_disk_is_out_of_resources_and_nothing_is_kept(
    tmp_path: Path, listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = listen()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "flush_folder", full)
        patch.setattr(storage.os, "fsync", full)
        assert send(listener, dicom_film(tmp_path))[0].Status == 0xA700
    assert not list((tmp_path / "inbox" / "received").iterdir())
    assert send(listener, dicom_film(tmp_path))[0].Status == 0x0000


def test_the_same_film_twice_is_one_and_other_bytes_are_kept_beside(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    first = dicom_film(tmp_path)
    other = dicom_film(tmp_path, PatientID="OTHER")
    assert [answer.Status for answer in send(listener, first, first, other, other)] == [0, 0, 0, 0]
    films = take(listener, 2)
    assert len({film.source for film in films}) == 2
    # Even once they are done, and after a restart.
    listener.close()
    again = listen()
    assert [answer.Status for answer in send(again, first, other)] == [0, 0]
    assert len(again.inbox) == 0


def test_a_film_sent_again_is_the_same_after_an_update_of_pynetdicom(
    tmp_path: Path, listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, film = listen(), dicom_film(tmp_path)
    assert send(listener, film)[0].Status == 0x0000
    make = pynetdicom.events.create_file_meta
    newer = partial(make, implementation_uid=UID("1.2.3"), implementation_version="PYNETDICOM_999")
    monkeypatch.setattr(pynetdicom.events, "create_file_meta", newer)
    assert send(listener, film)[0].Status == 0x0000
    assert len(listener.inbox) == 1


def test_a_film_that_takes_long_to_be_kept_ends_no_association(
    tmp_path: Path, listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = listen()
    put, late = listener.inbox.put, SimpleNamespace(s=0.0)
    # The clock of pynetdicom's timers.
    monkeypatch.setitem(vars(pynetdicom.timer), "time", SimpleNamespace(time=lambda: time.monotonic() + late.s))

    def slow(name: str, *parts: bytes | memoryview) -> bool:
        late.s += 0.75 * listener.limits.answer_s
        return put(name, *parts)

    monkeypatch.setattr(listener.inbox, "put", slow)
    answers = send(listener, *(dicom_film(tmp_path, seed) for seed in range(3)))
    assert [getattr(answer, "Status", answer) for answer in answers] == [0x0000] * 3


@pytest.mark.slow
def test_a_sender_that_disconnects_leaves_nothing_and_stops_nobody(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    film = dicom_film(tmp_path, 1, size=(1200, 1000))
    for after in (1, 20_000, 400_000):
        sent = 0

        def cut(event: Any, after: int = after) -> None:
            nonlocal sent
            sent += len(event.data)
            if sent > after:
                event.assoc.dul.socket.close()

        entity = pynetdicom.AE("SCANNER")
        entity.add_requested_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
        association = entity.associate(
            "127.0.0.1",
            listener.port,
            ae_title="EDGESEG",
            evt_handlers=[(pynetdicom.evt.EVT_DATA_SENT, cut)] if after > 1 else [],
        )
        if after == 1:
            association.abort()
            continue
        answer = pydicom.Dataset()
        with contextlib.suppress(OSError, RuntimeError):
            answer = association.send_c_store(film)
        assert "Status" not in answer
    assert len(listener.inbox) == 0
    assert send(listener, dicom_film(tmp_path, 2))[0].Status == 0x0000


def test_what_speaks_another_language_stops_nobody(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    listener = listen()
    for words in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40):
        with socket.create_connection(("127.0.0.1", listener.port)) as peer:
            peer.sendall(words)
    assert send(listener, dicom_film(tmp_path))[0].Status == 0x0000


@pytest.mark.parametrize("address", ["", "high", "127.0.0.1:", "70000", ":x"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="11112"):
        Listener(address, Inbox(tmp_path))


def test_a_port_in_use_and_bad_titles(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    with pytest.raises(DeviceError, match="choose another"):
        Listener(str(listen().port), Inbox(tmp_path / "other"))
    with pytest.raises(UsageError, match="16"):
        listen(ae_title="A TITLE THAT IS FAR TOO LONG")


def test_a_name_that_no_host_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="choose another"):
        Listener(f"{'a' * 64}:0", Inbox(tmp_path))


def test_a_host_that_is_named_is_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener("localhost:0", Inbox(tmp_path / "inbox"))
    look_up = socket.getaddrinfo

    def without_name_server(host: Any, *more: Any, **options: Any) -> Any:
        if host == "localhost":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", without_name_server)
    try:
        assert send(listener, dicom_film(tmp_path))[0].Status == 0x0000
    finally:
        listener.close()


def test_only_this_machine_can_send_unless_told_otherwise(listen: Callable[..., Listener]) -> None:
    assert listen().host == "127.0.0.1"


def test_without_pynetdicom_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    with pytest.raises(ModuleNotFoundError, match="pynetdicom"):
        open_source(listen="0", state=tmp_path)


# --- what waits ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=2)), max_size=12))
def test_every_film_that_differs_waits_once(tmp_path_factory: pytest.TempPathFactory, sent: Any) -> None:
    inbox = Inbox(tmp_path_factory.mktemp("inbox"))
    new = [inbox.put(name, data) for name, data in sent]
    assert sum(new) == len(inbox) == len(set(sent))
    # As after a power cut.
    inbox = Inbox(inbox.folder)
    found = set()
    while (path := inbox.take()) is not None:
        found.add((path.name[0], path.read_bytes()))
        inbox.settle(path, "done")
    assert found == set(sent)
    assert not any(inbox.put(name, data) for name, data in sent)


def test_many_senders_at_once(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    new: list[bool] = []
    senders = [
        threading.Thread(target=lambda: new.extend(inbox.put(f"{n}", b"%d" % n) for n in range(20))) for _ in range(4)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sum(new) == len(inbox) == 20


def test_the_oldest_comes_first_and_a_film_somebody_took_away_holds_up_nothing(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for number in range(5):
        inbox.put(f"{9 - number}", b"%d" % number)
    first = inbox.take()
    assert first is not None
    assert first.name == "9.dcm"
    first.unlink()
    inbox.settle(first, "done")
    second = inbox.take()
    assert second is not None
    assert second.name == "8.dcm"


def test_a_film_that_stops_the_program_is_tried_three_times_and_set_aside(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    send(listen(), dicom_film(tmp_path, 1), dicom_film(tmp_path, 2))
    for _ in range(3):
        listener = listen(attempts=Attempts(tmp_path / "attempts"))
        arrival = next(iter(listener))
        assert arrival is not None
        assert isinstance(arrival.content, Film)
        # The program dies here: the film is not settled, and the source is not stopped cleanly.
        listener.close()
    poison, healthy = take(listen(attempts=Attempts(tmp_path / "attempts")), 2)
    assert isinstance(poison, Failure)
    assert "3 times" in str(poison.error)
    assert isinstance(healthy, Film)
    assert (tmp_path / "inbox" / "failed" / poison.name).is_file()
    assert not list(tmp_path.glob("attempts/*"))


def test_a_film_in_hand_when_somebody_stops_the_program_is_no_attempt(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    send(listen(), dicom_film(tmp_path, 1))
    for _ in range(5):
        listener = listen(attempts=Attempts(tmp_path / "attempts"))
        arrival = next(iter(listener))
        assert arrival is not None
        assert isinstance(arrival.content, Film)
        listener.stopped()
        listener.close()
    assert not list(tmp_path.glob("attempts/*"))
