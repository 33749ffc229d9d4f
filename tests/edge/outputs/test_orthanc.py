"""With a real archive: films that Orthanc routes to the device come back as results in the same study."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
import requests
from edge_seg.outputs.outbox.archive import PATIENCE_S
from edge_seg.phantom import phantom, write_dicom
from pydicom.uid import generate_uid

from .conftest import DICOMWEB, Orthanc

highdicom = pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")

RESULTS = ("OT", "SEG", "SR")


@contextmanager
def running(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """`edge-seg run` until the block ends."""
    command = [sys.executable, "-m", "edge_seg.cli.main", "run", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(environment or {})}
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def film(path: Path, **changes: Any) -> pydicom.Dataset:
    write_dicom(phantom(400, 360, seed=1), path)
    dataset = pydicom.dcmread(path)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    return dataset


def wait_for(done: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def check_results(orthanc: Orthanc, sent: pydicom.Dataset, folder: Path) -> None:
    """Check that the archive's one study holds the film and its three results, all readable."""
    assert len(orthanc.get("/studies")) == len(orthanc.get("/patients")) == 1
    (study,) = orthanc.get("/studies?expand")
    assert study["MainDicomTags"]["StudyInstanceUID"] == sent.StudyInstanceUID
    assert len(study["Series"]) == 4
    found = {modality: instances[0] for modality, instances in orthanc.instances().items()}
    back = {}
    for modality in RESULTS:
        path = folder / f"{modality}.dcm"
        path.write_bytes(orthanc.file(found[modality]))
        back[modality] = pydicom.dcmread(path)
        assert back[modality].PatientName == sent.PatientName
    masks = highdicom.seg.segread(folder / "SEG.dcm").get_pixels_by_source_instance([sent.SOPInstanceUID])
    assert masks.shape == (1, sent.Rows, sent.Columns, 4)
    assert masks.any(axis=(0, 1, 2)).all()
    assert highdicom.sr.srread(folder / "SR.dcm").content.get_planar_roi_measurement_groups()
    if shutil.which("dciodvfy"):
        for modality in ("SEG", "OT", "SR"):
            # The validator cannot read deflated files.
            plain = pydicom.dcmread(folder / f"{modality}.dcm")
            if plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1.99":
                plain.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
                plain.save_as(folder / f"{modality}.dcm")
            seen = subprocess.run(["dciodvfy", str(folder / f"{modality}.dcm")], capture_output=True, text=True)
            assert "Error" not in seen.stderr, seen.stderr
    # Orthanc's own viewer shows the overlay, and the masks.
    for modality in ("OT", "SEG"):
        shown = orthanc.session.get(f"{orthanc.url}/instances/{found[modality]}/preview", timeout=60)
        assert shown.ok, shown.text
        picture = cv2.imdecode(np.frombuffer(shown.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.max() > 200
    assert io.BytesIO(orthanc.file(found["OT"])).getbuffer().nbytes < 200_000


@pytest.mark.slow
def test_films_that_orthanc_routes_come_back_as_results(make_orthanc: Callable[..., Orthanc], tmp_path: Path) -> None:
    orthanc = make_orthanc()
    sent = film(tmp_path / "film.dcm", PatientName="Yamada^Tarou=山田^太郎", SpecificCharacterSet="ISO_IR 192")
    arguments = ["--listen", str(orthanc.device), "--sender", "ORTHANC", "--out", str(tmp_path / "out")]
    with running(*arguments, "--send", f"ORTHANC@127.0.0.1:{orthanc.dicom}"):
        wait_for(lambda: listening(orthanc.device))
        orthanc.store(tmp_path / "film.dcm")
        wait_for(lambda: set(RESULTS) <= orthanc.instances().keys())
    check_results(orthanc, sent, tmp_path)
    assert not list((tmp_path / "out" / "outbox" / "refused").iterdir())


def listening(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@contextmanager
def tls_before(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """A proxy that terminates TLS and forwards to a port; Debian 12's Orthanc crashes when it does that itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    class Pass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                secured = context.wrap_socket(self.request, server_side=True)
            except OSError:
                return  # a client that does not trust the certificate
            with secured, socket.create_connection(("127.0.0.1", port)) as plain:
                back = threading.Thread(target=copy, args=(plain, secured), daemon=True)
                back.start()
                copy(secured, plain)
                back.join(10)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pass) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.slow
def test_results_go_by_dicomweb(
    make_orthanc: Callable[..., Orthanc], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    if not DICOMWEB.exists():
        pytest.skip("Orthanc's DICOMweb is not installed (Debian: apt-get install orthanc-dicomweb)")
    trusted, key = certificate
    orthanc = make_orthanc()
    sent = film(tmp_path / "film.dcm")
    orthanc.store(tmp_path / "film.dcm")
    with tls_before(orthanc.http, trusted, key) as port:
        arguments = [str(tmp_path / "film.dcm"), "--out", str(tmp_path / "out")]
        arguments += ["--send", f"https://127.0.0.1:{port}/dicom-web"]
        # The certificate is not trusted: nothing is sent.
        with running(*arguments) as process:
            said = process.communicate(timeout=240)[0]
        assert "cannot be trusted" in said
        assert orthanc.instances().keys() == {"DX"}
        with running(*arguments, environment={"REQUESTS_CA_BUNDLE": str(trusted)}) as process:
            said = process.communicate(timeout=240)[0]
        assert process.returncode == 0, said
    check_results(orthanc, sent, tmp_path)


@dataclass
class Link:
    """A link of 1 Mbit/s to a network namespace.

    Attributes:
        host: address at its other end.
        inside: command that runs another one there.
    """

    name: str
    host: str = "10.213.7.2"

    @property
    def inside(self) -> tuple[str, ...]:
        return "ip", "netns", "exec", self.name

    def switch(self, state: str) -> None:
        subprocess.run(["ip", "link", "set", f"{self.name}a", state], check=True)


@pytest.fixture
def slow_link() -> Iterator[Link]:
    if sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
        pytest.skip("a slow link needs root and Debian's iproute2")
    link = Link(f"es{os.getpid() % 100000}")
    near, far = f"{link.name}a", f"{link.name}b"

    def call(*command: str) -> bool:
        return subprocess.run(command, capture_output=True).returncode == 0

    made = (
        call("ip", "netns", "add", link.name)
        and call("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        and call("ip", "link", "set", far, "netns", link.name)
        and call("ip", "addr", "add", "10.213.7.1/30", "dev", near)
        and call("ip", "link", "set", near, "up")
        and call(*link.inside, "ip", "addr", "add", f"{link.host}/30", "dev", far)
        and call(*link.inside, "ip", "link", "set", far, "up")
        and call(*link.inside, "ip", "link", "set", "lo", "up")
        # Kernels without netem have the token bucket filter.
        and (
            call("tc", "qdisc", "add", "dev", near, "root", "netem", "rate", "1mbit", "delay", "20ms")
            or call(
                "tc", "qdisc", "add", "dev", near, "root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "400ms"
            )
        )
    )
    try:
        if not made:
            pytest.skip("this kernel makes no namespaces or slow links")
        yield link
    finally:
        call("ip", "link", "del", near)
        call("ip", "netns", "del", link.name)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_lost_on_a_slow_link_that_breaks(
    make_orthanc: Callable[..., Orthanc], slow_link: Link, tmp_path: Path
) -> None:
    # 200 take six minutes on an idle machine.
    count = int(os.environ.get("EDGE_SEG_LINK_FILMS", "10"))
    orthanc = make_orthanc(host=slow_link.host, inside=slow_link.inside)
    films = tmp_path / "films"
    films.mkdir()
    for number in range(count):
        film(films / f"{number}.dcm", PatientID=f"P{number}")
    start = time.monotonic()
    arguments = [str(films), "--out", str(tmp_path / "out"), "--send", f"ORTHANC@{slow_link.host}:{orthanc.dicom}"]
    with running(*arguments) as process:
        wait_for(lambda: orthanc.get("/statistics")["CountInstances"] > count // 2, seconds=900)
        slow_link.switch("down")
        # Longer than the timeout for data in transit, so that an association breaks.
        time.sleep(PATIENCE_S + 5)
        slow_link.switch("up")
        process.communicate(timeout=1500)
    # The next run sends what the first one left when the link was down.
    with running(*arguments) as process:
        process.communicate(timeout=1500)
    print(f"{count} films in {time.monotonic() - start:.0f} s, {orthanc.get('/statistics')['TotalDiskSize']} bytes")
    assert {modality: len(instances) for modality, instances in orthanc.instances().items()} == dict.fromkeys(
        RESULTS, count
    )
    assert len(orthanc.get("/studies")) == count
    outbox = tmp_path / "out" / "outbox"
    assert [path for path in outbox.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_correction_lies_beside_the_models_segmentation(make_orthanc: Callable[..., Orthanc], tmp_path: Path) -> None:
    orthanc = make_orthanc()
    sent = film(tmp_path / "film.dcm")
    orthanc.store(tmp_path / "film.dcm")
    to, out = f"ORTHANC@127.0.0.1:{orthanc.dicom}", tmp_path / "out"
    with running(str(tmp_path / "film.dcm"), "--out", str(out), "--send", to) as process:
        process.communicate(timeout=240)
    command = [sys.executable, "-m", "edge_seg", "correct", str(out), "--view", "0", "--send", to]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split()[1]
        outlines = {"heart": [[[150, 200], [220, 200], [220, 290], [150, 290]]]}
        said: Any = {"base": 0, "who": "A. Reader", "verdict": "corrected", "outlines": outlines}
        (shown,) = requests.get(f"{url}state", timeout=60).json()["recent"]
        answer = requests.post(f"{url}corrections/{shown['number']}", json=said, timeout=60)
        assert answer.status_code == 201, answer.text
        wait_for(lambda: len(orthanc.instances().get("SEG", [])) == 2)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    (study,) = orthanc.get("/studies?expand")
    assert study["MainDicomTags"]["StudyInstanceUID"] == sent.StudyInstanceUID
    assert len(study["Series"]) == 5
    found = {}
    for number, instance in enumerate(orthanc.instances()["SEG"]):
        path = tmp_path / f"{number}.dcm"
        plain = pydicom.dcmread(io.BytesIO(orthanc.file(instance)))
        # The validator cannot read deflated files.
        plain.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        plain.save_as(path)
        if shutil.which("dciodvfy"):
            seen = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
            assert "Error" not in seen.stderr, seen.stderr
        read = highdicom.seg.segread(path)
        found[read.SeriesNumber] = read
    kinds = {number: {one.SegmentAlgorithmType for one in read.SegmentSequence} for number, read in found.items()}
    assert kinds == {9701: {"AUTOMATIC"}, 9704: {"SEMIAUTOMATIC"}}
    heart = found[9704].get_pixels_by_source_instance([sent.SOPInstanceUID])[0, :, :, 3]
    assert heart.sum() == 70 * 90
    assert str(found[9704].ContentCreatorName) == "A. Reader"
