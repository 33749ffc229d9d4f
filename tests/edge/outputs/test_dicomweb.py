"""Results by STOW-RS: the service's answer decides whether a file is done, set aside, or waits."""

from __future__ import annotations

import email
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pydicom
import pytest
from edge_seg import Segmenter, UsageError
from edge_seg.outputs.dicom import make_objects
from edge_seg.outputs.outbox import Outbox, archive_at, dicomweb, queue
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import read_film

pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
pytest.importorskip("dicomweb_client", reason="needs edge-seg[clinic]")

DICOM_JSON = "application/dicom+json"


class Service:
    """A DICOMweb service on loopback that gives its `answer`."""

    def __init__(self) -> None:
        self.taken: list[pydicom.Dataset] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[pydicom.Dataset], tuple[int, dict[str, str], str]] = stored
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                part = list(email.message_from_bytes(head + body).walk())[-1]
                dataset = pydicom.dcmread(BytesIO(cast(bytes, part.get_payload(decode=True))))
                service.headers.append(dict(self.headers))
                status, headers, text = service.answer(dataset)
                if status == 200:
                    service.taken.append(dataset)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text.encode())), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()


def stored(dataset: pydicom.Dataset) -> tuple[int, dict[str, str], str]:
    answer = pydicom.Dataset()
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    answer.ReferencedSOPSequence = [item]
    return 200, {"Content-Type": f"{DICOM_JSON}; charset=utf-8"}, answer.to_json()


def failed(dataset: pydicom.Dataset, reason: int, status: int = 409) -> tuple[int, dict[str, str], str]:
    answer = pydicom.Dataset()
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    item.FailureReason = reason
    answer.FailedSOPSequence = [item]
    return status, {"Content-Type": DICOM_JSON}, answer.to_json()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(queue, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(queue, "LONGEST_PAUSE_S", 0.2)
    made = Service()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("results")
    write_dicom(phantom(400, 360, seed=1), folder / "film.dcm")
    found = Segmenter.load("lungs")(read_film(folder / "film.dcm"))
    made = {}
    for name, data in make_objects(found, draw_overlay(found)).files.items():
        made[name] = folder / f"{name}.dcm"
        made[name].write_bytes(data)
    return made


def wait_for(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sent(service: Service, folder: Path, files: list[Path], **options: Any) -> Outbox:
    """An outbox that has sent what it can, or met trouble."""
    outbox = Outbox(folder, archive_at(service.url, **options), "EDGESEG")
    for file in files:
        outbox.put(file)
    wait_for(lambda: not len(outbox) or outbox.trouble is not None)
    outbox.close()
    return outbox


def test_results_arrive_as_they_are(service: Service, results: dict[str, Path], tmp_path: Path) -> None:
    outbox = sent(service, tmp_path, list(results.values()), authorization="Bearer abc")
    assert (outbox.sent, outbox.refused, len(outbox)) == (3, 0, 0)
    assert {made.Modality for made in service.taken} == {"SEG", "OT", "SR"}
    for headers in service.headers:
        assert headers["Authorization"] == "Bearer abc"
        assert headers["User-Agent"] == "EDGESEG"
        assert "dicom+json" in headers["Accept"]
    sizes = [int(headers["Content-Length"]) for headers in service.headers]
    assert sum(sizes) < sum(path.stat().st_size for path in results.values()) + 3000


def test_a_service_that_takes_no_jpeg_gets_pixels(service: Service, results: dict[str, Path], tmp_path: Path) -> None:
    service.answer = lambda made: (
        failed(made, 0xC122) if made.file_meta.TransferSyntaxUID.is_encapsulated else stored(made)
    )
    outbox = sent(service, tmp_path, [results["overlay"]])
    assert outbox.sent == 1
    (made,) = service.taken
    assert made.PhotometricInterpretation == "RGB"
    assert made.LossyImageCompression == "01"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda made: failed(made, 0x0122), "0x0122"),
        (lambda made: failed(made, 0xA900, 202), "0xA900"),
        (lambda made: (413, {}, ""), "413"),
        (lambda made: (400, {"Content-Type": "text/html"}, "<p>no"), "400"),
    ],
)
def test_what_the_service_will_not_have_is_set_aside(
    service: Service, results: dict[str, Path], tmp_path: Path, answer: Any, reason: str
) -> None:
    service.answer = lambda made: answer(made) if made.Modality == "SEG" else stored(made)
    outbox = sent(service, tmp_path, list(results.values()))
    assert (outbox.sent, outbox.refused, len(outbox)) == (2, 1, 0)
    assert reason in str(outbox.last_refusal)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (lambda made: (401, {}, ""), "EDGE_SEG_SEND_AUTHORIZATION"),
        (lambda made: (404, {}, ""), "answers 404"),
        (lambda made: (503, {"Retry-After": "1"}, ""), "answers 503"),
        (lambda made: (200, {"Content-Type": "text/html"}, "<p>welcome"), "like no DICOMweb service"),
        (lambda made: (200, {"Content-Type": DICOM_JSON}, "{"), "like no DICOMweb service"),
        (lambda made: (200, {"Content-Type": DICOM_JSON}, json.dumps({})), "like no DICOMweb service"),
        (lambda made: (302, {"Location": "/elsewhere"}, ""), "redirects elsewhere"),
        (lambda made: failed(made, 0xA700), "out of resources"),
    ],
)
def test_what_is_the_services_affair_waits(
    service: Service, results: dict[str, Path], tmp_path: Path, answer: Any, trouble: str
) -> None:
    service.answer = answer
    outbox = sent(service, tmp_path, [results["seg"]])
    assert trouble in str(outbox.trouble)
    assert (outbox.sent, outbox.refused, len(outbox)) == (0, 0, 1)


def test_a_service_that_is_away_and_one_that_hangs(
    service: Service, results: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicomweb, "allowed_s", lambda size: 0.3)
    hold = threading.Event()

    def hang(made: pydicom.Dataset) -> tuple[int, dict[str, str], str]:
        hold.wait(20)
        return stored(made)

    service.answer = hang
    assert "does not answer" in str(sent(service, tmp_path / "hangs", [results["seg"]]).trouble)
    hold.set()
    service.stop()
    service.url = "http://127.0.0.1:1/dicom-web"
    assert "does not answer" in str(sent(service, tmp_path / "away", [results["seg"]]).trouble)


@pytest.mark.parametrize(
    "address",
    ["https://", "https://user:word@host/dicom-web", "https://host/?token=word", "https://host:x/", "http://[/"],
)
def test_no_address_and_no_password_in_one(address: str) -> None:
    with pytest.raises(UsageError, match="--send") as refused:
        archive_at(address)
    assert "word@" not in str(refused.value)
    assert "token=word" not in str(refused.value)


def test_what_travels_in_clear_is_known() -> None:
    assert archive_at("http://host/dicom-web").in_clear
    assert not archive_at("https://host/dicom-web").in_clear
    assert archive_at("PACS@host:104").in_clear
    assert "secret" not in repr(archive_at("https://host", authorization="Bearer secret"))
