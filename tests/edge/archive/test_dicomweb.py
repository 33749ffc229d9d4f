"""Films from a DICOMweb service: each is found and fetched, and an unavailable service fails no film."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from edge_seg import Segmenter, read_film
from edge_seg.archive import decode_mask, dicomweb
from edge_seg.archive.contents import Archive
from edge_seg.archive.dicomweb import films_at
from edge_seg.archive.engines import run
from edge_seg.archive.planning import plan
from edge_seg.errors import DeviceError, EdgeSegError, InputError, UsageError
from edge_seg.phantom import phantom, write_dicom
from pyarrow import parquet

from ..outputs.conftest import DICOMWEB, Orthanc
from ..outputs.conftest import make_orthanc as make_orthanc

PARTS = 'multipart/related; type="application/dicom"; boundary=b1'


@dataclass
class Service:
    """A DICOMweb service that misbehaves on request.

    Attributes:
        objects: by SOP Instance UID.
        answers: status and headers that replace the next answers, by path ending; `None` breaks off halfway.
        page: instances per answer to a search, whatever the request asked for.
        asked, headers: paths of all requests, and the headers of the last one.
        most: largest number of simultaneous requests.
    """

    objects: dict[str, bytes]
    answers: dict[str, list[int | None]] = field(default_factory=dict)
    page: int = 2
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    most: int = 0
    at_once: int = 0
    url: str = ""


def respond(service: Service, handler: BaseHTTPRequestHandler) -> None:
    parts = urlsplit(handler.path)
    service.asked.append(handler.path)
    service.headers = dict(handler.headers)
    waiting = next((given for end, given in service.answers.items() if parts.path.endswith(end) and given), None)
    status = waiting.pop(0) if waiting else 200
    kind, body = "text/plain", b""
    if parts.path.endswith("/instances"):
        asked = parse_qs(parts.query)
        films = sorted(service.objects) if asked["Modality"] == ["DX"] else []
        start = int(asked["offset"][0])
        tags = zip(("0020000D", "0020000E", "00080018"), ("1.2", "1.3", ""), strict=True)
        row = {tag: {"vr": "UI", "Value": [value]} for tag, value in tags}
        page = [{**row, "00080018": {"vr": "UI", "Value": [uid]}} for uid in films[start : start + service.page]]
        kind, body = "application/dicom+json", json.dumps(page).encode() if page else b""
        status = 204 if status == 200 and not page else status
    elif (uid := parts.path.rpartition("/")[2]) in service.objects:
        time.sleep(0.05)
        head = b"--b1\r\nContent-Type: application/dicom\r\n\r\n"
        kind, body = PARTS, head + service.objects[uid] + b"\r\n--b1--"
    else:
        status = 404
    handler.send_response(status or 200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Location", "http://elsewhere.invalid/")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body if status is not None else body[: len(body) // 2])


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service with three films."""
    objects = {}
    for number in range(3):
        write_dicom(phantom(140, 130, seed=number), tmp_path / "film.dcm")
        objects[f"1.4.{number}"] = (tmp_path / "film.dcm").read_bytes()
    monkeypatch.setattr(dicomweb, "_WAITS_S", (0.01, 0.01))
    made = Service(objects)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                made.at_once += 1
                made.most = max(made.most, made.at_once)
            try:
                respond(made, self)
            finally:
                with lock:
                    made.at_once -= 1

        def log_message(self, *_: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        made.url = url
        yield made


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    server.shutdown()
    server.server_close()
    thread.join()


def planned(service: Service, tmp_path: Path) -> str:
    address = str(tmp_path / "archive")
    made = plan([service.url], address, model="lungs-nano", gate=False, films_per_shard=2)
    assert made.settings.films == 3
    return address


def rows(address: str) -> list[dict[str, Any]]:
    parts = sorted(Path(address, "records").glob("*.parquet"))
    return [row for part in parts for row in parquet.read_table(part).to_pylist()]


@pytest.mark.slow
def test_every_film_is_found_page_by_page_and_its_masks_are_those_of_its_file(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(dicomweb.AUTHORIZATION, "Bearer abc")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    address = planned(service, tmp_path)
    assert service.headers["Authorization"] == "Bearer abc"
    wanted = [f"{service.url}/studies/1.2/series/1.3/instances/{uid}" for uid in sorted(service.objects)]
    assert [film.source for shard in range(2) for film in Archive(address).films(shard)] == wanted
    done = run(address, workers=2, requests=1)
    assert (done.films, done.failed) == (3, 0)
    assert service.most == 1
    segmenter = Segmenter.load("lungs-nano", gate=False, threads=1)
    assert [row["source"] for row in rows(address)] == wanted
    for row, uid in zip(rows(address), sorted(service.objects), strict=True):
        (tmp_path / "film.dcm").write_bytes(service.objects[uid])
        own = segmenter(read_film(tmp_path / "film.dcm"))
        for structure, mask in own.masks.items():
            np.testing.assert_array_equal(decode_mask(dict(row["masks"])[structure]), mask)


def test_a_query_a_study_and_a_film_limit_what_is_asked_for(service: Service) -> None:
    assert len(list(films_at(f"{service.url}/studies/1.2?StudyDate=2025&Modality=DX"))) == 3
    assert all("StudyDate=2025" in path and "/studies/1.2/instances?" in path for path in service.asked)
    film = f"{service.url}/studies/1.2/series/1.3/instances/1.4.0"
    assert list(films_at(film)) == [film]


@pytest.mark.slow
@pytest.mark.parametrize("troubles", [[503], [429, 503], [None]])
def test_a_service_that_is_busy_is_asked_again(service: Service, tmp_path: Path, troubles: list[int | None]) -> None:
    address = planned(service, tmp_path)
    service.answers["/1.4.1"] = troubles
    done = run(address, workers=1)
    assert (done.films, done.failed) == (3, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "reason"),
    [(503, "answers 503: repeat"), (401, "EDGE_SEG_DICOMWEB_AUTHORIZATION"), (302, "redirects elsewhere")],
)
def test_a_service_that_is_down_fails_no_film(service: Service, tmp_path: Path, status: int, reason: str) -> None:
    address = planned(service, tmp_path)
    service.answers["/1.4.2"] = [status] * 9
    with pytest.raises(DeviceError, match=reason):
        run(address, workers=1)
    there = rows(address)
    service.answers.clear()
    assert run(address, workers=1).films == 3 - len(there)
    assert [row["status"] for row in rows(address)] == ["done"] * 3


def test_a_film_that_is_gone_or_none_fails_alone(service: Service, tmp_path: Path) -> None:
    address = planned(service, tmp_path)
    del service.objects["1.4.0"]
    service.objects["1.4.1"] = b"no film"
    service.answers["/1.4.2"] = [500]
    done = run(address, workers=1)
    assert (done.films, done.failed) == (3, 3)
    assert ["404" in row["error"] for row in rows(address)] == [True, False, False]
    assert "answers 500" in rows(address)[2]["error"]


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (b"<html>", InputError, "no DICOMweb service"),
        (b'[{"00080018": {"Value": ["../../secret"]}}]', InputError, "without its UIDs"),
        (b'[{"00080018": 5}]', InputError, "without its UIDs"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch, answer: bytes, kind: type[EdgeSegError], reason: str
) -> None:
    monkeypatch.setattr(dicomweb, "_got", lambda *_: (answer, "application/dicom+json"))
    with pytest.raises(kind, match=reason):
        list(films_at(service.url))


@pytest.mark.parametrize(
    "address",
    [
        "https://me:secret@pacs/studies/1/series/1/instances/1",
        "https://me:secret@[pacs/",
        "https://me:sec/ret@pacs/",
        "https://[pacs/",
        "https://pacs:port/",
        "https:///studies/1",
        "https://pa cs/",
    ],
)
def test_a_list_with_a_password_or_a_malformed_address_is_refused(tmp_path: Path, address: str) -> None:
    (tmp_path / "list.csv").write_text(f"source\nhttps://pacs/studies/1/series/1/instances/1\n{address}\n")
    with pytest.raises(UsageError, match=r"holds no password|check its host") as caught:
        plan([str(tmp_path / "list.csv")], str(tmp_path / "archive"), model="lungs-nano")
    assert "sec" not in str(caught.value)
    assert not (tmp_path / "archive").exists()


def test_an_address_holds_no_password_and_a_page_is_not_repeated(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="holds no password"):
        list(films_at("https://me:secret@pacs.example/dicom-web"))
    page = json.dumps([{tag: {"Value": ["1.2"]} for tag in ("0020000D", "0020000E", "00080018")}]).encode()
    monkeypatch.setattr(dicomweb, "_got", lambda *_: (page, ""))
    with pytest.raises(InputError, match="again and again"):
        list(films_at(service.url))


@pytest.mark.slow
def test_orthanc_gives_its_films(make_orthanc: Callable[..., Orthanc], tmp_path: Path) -> None:
    if not DICOMWEB.exists():
        pytest.skip("Orthanc has no DICOMweb plugin (Debian: apt-get install orthanc-dicomweb)")
    orthanc = make_orthanc()
    for seed in range(2):
        write_dicom(phantom(140, 130, seed=seed), tmp_path / "film.dcm")
        orthanc.store(tmp_path / "film.dcm")
    address = str(tmp_path / "archive")
    made = plan([f"{orthanc.url}/dicom-web"], address, model="lungs-nano", gate=False)
    done = run(address, workers=1)
    assert (made.settings.films, done.films, done.failed) == (2, 2, 0)
    assert all(dict(row["masks"])["right_lung"]["runs"] for row in rows(address))
