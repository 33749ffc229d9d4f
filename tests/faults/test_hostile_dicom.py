"""Hostile DICOM peers: one that stalls, lies about lengths or floods blocks no other sender and takes no memory."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import Inbox, Limits, Listener
from edge_seg.sources.upper_layer import Messages, ProtocolError, check_head
from edge_seg.tls import client_context, server_context
from edge_seg_lab.ports import free_port
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

pynetdicom = pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")

VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def make(tls: Any = None, **limits: Any) -> Listener:
        opened.append(Listener("0", Inbox(tmp_path / "inbox"), limits=Limits(**limits), tls=tls))
        return opened[-1]

    yield make
    for listener in opened:
        listener.close()


@pytest.fixture
def film(tmp_path: Path) -> pydicom.Dataset:
    return make_film(tmp_path, 0)


def make_film(folder: Path, seed: int) -> pydicom.Dataset:
    path = folder / f"film{seed}.dcm"
    write_dicom(phantom(90, 80, seed=seed), path)
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    return dataset


def associate(port: int, **more: Any) -> Any:
    entity = pynetdicom.AE("SCANNER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    entity.add_requested_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
    entity.add_requested_context(VERIFICATION)
    return entity.associate("127.0.0.1", port, ae_title="EDGESEG", **more)


def store(port: int, dataset: pydicom.Dataset, **more: Any) -> int | None:
    """Send a film and return its status."""
    association = associate(port, **more)
    if not association.is_established:
        return None
    answer = association.send_c_store(dataset)
    association.release()
    return int(answer.Status) if "Status" in answer else None


def request_pdu() -> bytes:
    """An A-ASSOCIATE-RQ for Verification, as another program would send it."""

    def item(kind: int, data: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(data)) + data

    contexts = item(0x30, VERIFICATION.encode()) + item(0x40, b"1.2.840.10008.1.2")
    body = struct.pack(">HH", 1, 0) + b"EDGESEG".ljust(16) + b"STRANGER".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, bytes([1, 0, 0, 0]) + contexts)
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    return struct.pack(">BBL", 1, 0, len(body)) + body


def data_pdu(control: int, data: bytes) -> bytes:
    fragment = struct.pack(">LBB", len(data) + 2, 1, control) + data
    return struct.pack(">BBL", 4, 0, len(fragment)) + fragment


def echo_command(dataset_type: int = 0x0101) -> bytes:
    elements = struct.pack("<HHL", 0, 2, 18) + VERIFICATION.encode() + b"\0"
    for number, value in ((0x100, 0x30), (0x110, 1), (0x800, dataset_type)):
        elements += struct.pack("<HHLH", 0, number, 2, value)
    return struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements


def open_association(port: int) -> socket.socket:
    """An association opened as by another program."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=20)
    peer.sendall(request_pdu())
    head = receive(peer, 6)
    assert head[0] == 2, head
    receive(peer, struct.unpack(">L", head[2:])[0])
    return peer


def receive(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        assert part, "it hung up"
        data += part
    return data


def is_closed(peer: socket.socket, within_s: float = 10) -> bool:
    """Whether the other side hangs up in time."""
    peer.settimeout(within_s)
    try:
        while peer.recv(65536):
            continue
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize("count", [9, 40])
@pytest.mark.parametrize("sent", [b"", b"\x01\x00\x00", b"\x01\x00\x00\x00\x00\xcc\x00\x01"])
def test_half_pdus_keep_no_sender_out(
    listen: Callable[..., Listener], film: pydicom.Dataset, count: int, sent: bytes
) -> None:
    listener, before = listen(), threading.active_count()
    held = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(count)]
    for peer in held:
        peer.sendall(sent)
    time.sleep(0.3)
    assert threading.active_count() <= before + 2
    assert store(listener.port, film) == 0
    start = time.monotonic()
    listener.close()
    assert time.monotonic() - start < 10
    for peer in held:
        peer.close()


def test_a_request_has_a_deadline_however_it_drips(listen: Callable[..., Listener]) -> None:
    listener = listen(request_s=1.0)
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", listener.port)) as peer, contextlib.suppress(OSError):
        for byte in request_pdu():
            peer.sendall(bytes([byte]))
            time.sleep(0.05)
            assert time.monotonic() - start < 8


def test_a_half_pdu_within_an_association_ends_it(listen: Callable[..., Listener]) -> None:
    listener = listen(silence_s=1.0)
    with open_association(listener.port) as peer:
        peer.sendall(b"\x04\x00\x00")
        assert is_closed(peer)


def test_a_message_that_drips_ends(listen: Callable[..., Listener]) -> None:
    listener = listen(silence_s=1.0, slowest=1000)
    start = time.monotonic()
    with open_association(listener.port) as peer, contextlib.suppress(OSError):
        while True:
            # 20 bytes in 0.1 s: faster than silence, slower than `slowest`.
            peer.sendall(data_pdu(1, bytes(8)))
            time.sleep(0.1)
            assert time.monotonic() - start < 10


def test_associations_that_idle_give_way(listen: Callable[..., Listener], film: pydicom.Dataset) -> None:
    listener = listen(idle_s=0.3)
    held = [open_association(listener.port) for _ in range(8)]
    held[0].sendall(b"\x04\x00\x00")
    time.sleep(0.5)
    for _ in range(3):
        assert store(listener.port, film) == 0
    for peer in held:
        peer.close()


def test_who_comes_while_all_work_waits_and_is_told_in_the_end(listen: Callable[..., Listener]) -> None:
    listener = listen(associations=1, slot_s=0.5)
    with open_association(listener.port) as peer:
        peer.sendall(data_pdu(1, bytes(8)))
        association = associate(listener.port)
        assert association.is_rejected
        assert association.acceptor.primitive.diagnostic == 2  # local limit exceeded


def test_eight_at_once_are_all_accepted(listen: Callable[..., Listener], tmp_path: Path) -> None:
    listener = listen()
    films = [make_film(tmp_path, number) for number in range(8)]
    for _ in range(5):
        statuses: list[int | None] = []
        together = threading.Barrier(8)

        def send(number: int, statuses: list[int | None] = statuses, together: threading.Barrier = together) -> None:
            together.wait()
            statuses.append(store(listener.port, films[number]))

        senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert statuses == [0] * 8
    assert len(listener.inbox) == 8


@pytest.mark.parametrize(
    "sent",
    [
        b"\x01\x00\xff\xff\xff\xf0" + bytes(1000),
        b"\x04\x00\xff\xff\xff\xf0",
        b"\x07\x00\xff\xff\xff\xf0",
        b"\x02\x00\x00\x00\x00\x04\x00\x00\x00\x00",
        b"\x00\x00\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["request", "data", "abort", "accept", "zeros", "HTTP"],
)
def test_a_lie_about_length_is_hung_up_on_at_once(
    listen: Callable[..., Listener], film: pydicom.Dataset, sent: bytes
) -> None:
    listener = listen()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", listener.port)) as peer:
            peer.sendall(sent)
            assert is_closed(peer, 5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB
    assert store(listener.port, film) == 0


@pytest.mark.parametrize(
    "sent",
    [
        lambda: b"\x04\x00\xff\xff\xff\xf0",
        lambda: struct.pack(">BBL", 4, 0, 6) + struct.pack(">LBB", 0xFFFFFFF0, 1, 1),
        lambda: struct.pack(">BBL", 4, 0, 6) + struct.pack(">LBB", 0, 1, 1),
        lambda: data_pdu(1, bytes(8000)) * 100,
        lambda: data_pdu(2, bytes(8000)),
        lambda: data_pdu(3, echo_command(1)) + data_pdu(3, echo_command()),
        lambda: data_pdu(3, b"\0" * 30),
        request_pdu,
    ],
    ids=["PDU", "fragment", "empty fragment", "command fragments", "dataset", "two commands", "no type", "request"],
)
def test_within_an_association_lies_end_it(
    listen: Callable[..., Listener], film: pydicom.Dataset, sent: Callable[[], bytes]
) -> None:
    listener = listen()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_association(listener.port) as peer:
        with contextlib.suppress(OSError):
            peer.sendall(sent())
        assert is_closed(peer)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert store(listener.port, film) == 0


def test_messages_sent_without_waiting_for_answers_are_taken_one_by_one(listen: Callable[..., Listener]) -> None:
    listener = listen()
    with open_association(listener.port) as peer:
        peer.sendall(data_pdu(3, echo_command()) * 50)
        for _ in range(50):
            head = receive(peer, 6)
            assert head[0] == 4
            receive(peer, struct.unpack(">L", head[2:])[0])


def test_sigterm_ends_a_run_whose_peers_hang(tmp_path: Path, tiny_model: Path) -> None:
    port = free_port()
    words = ["--listen", str(port), "--model", str(tiny_model), "--out", str(tmp_path / "out"), "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "edge_seg.cli.main", "run", *words], stderr=subprocess.PIPE)
    held: list[socket.socket] = []
    try:
        deadline = time.monotonic() + 60
        while len(held) < 9:
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", port)))
                held[-1].sendall(b"\x01\x00\x00")
            time.sleep(0.02)
        held += [open_association(port) for _ in range(4)]
        for peer in held[-4:]:
            peer.sendall(b"\x04\x00\x00")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()
        for peer in held:
            peer.close()


# --- bytes ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_any_fragments_are_followed_or_refused(pdus: list[bytes]) -> None:
    messages = Messages()
    with contextlib.suppress(ProtocolError):
        for pdu in pdus:
            messages.take(pdu)


@given(st.binary(min_size=6, max_size=6), st.booleans())
def test_any_head_is_taken_or_refused(head: bytes, first: bool) -> None:
    try:
        _, length = check_head(head, first=first)
    except ProtocolError:
        return
    assert length <= 1024 * 1024


def test_a_message_in_any_number_of_fragments_ends_with_its_last() -> None:
    command = echo_command(1)
    for size in (1, 7, len(command)):
        messages = Messages()
        parts = [command[at : at + size] for at in range(0, len(command), size)]
        for number, part in enumerate(parts):
            assert not messages.take(data_pdu(1 | 2 * (number == len(parts) - 1), part)[6:])
        assert not messages.take(data_pdu(0, b"data")[6:])
        assert messages.under_way
        assert messages.take(data_pdu(2, b"more")[6:])
        assert not messages.under_way
    assert Messages().take(data_pdu(3, echo_command())[6:])


# --- TLS ------------------------------------------------------------------------------------------------------------


def test_over_tls_both_sides_know_each_other(
    listen: Callable[..., Listener], film: pydicom.Dataset, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    listener = listen(server_context(cert, key, ca=cert))
    known = client_context(cert, cert, key)
    assert store(listener.port, film, tls_args=(known, "localhost")) == 0
    # Unencrypted, or without a certificate, every peer is refused.
    assert store(listener.port, film) is None
    assert store(listener.port, film, tls_args=(client_context(cert), "localhost")) is None
    assert store(listener.port, film, tls_args=(known, "localhost")) == 0
