"""The page: what it shows, to whom, and that no film's text and no request's path ever has an effect."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg import RESEARCH_USE, DeviceError, Film, InputError, OutputError, Segmenter, UsageError
from edge_seg.film import Arrival, Failure
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.sources import Source, SourceState
from edge_seg.station import health as health_module
from edge_seg.station.health import Health
from edge_seg.station.page import PageLimits, PageServer
from edge_seg.station.page.request import BadRequest, parse_request
from edge_seg.station.session import Summary, run_session
from edge_seg.tls import server_context

HOSTILE = "<img src=x onerror=document.title='owned'>&<script>document.title='owned'</script>\"'"


class Films(Source):
    def __init__(self, *arrivals: Film | Failure) -> None:
        self.arrivals, self.total = arrivals, len(arrivals)
        self.states = [SourceState("DICOM at 127.0.0.1:11112", waiting=3), SourceState("camera 0", age_s=0.25)]

    def __iter__(self) -> Iterator[Arrival]:
        yield from map(Arrival, self.arrivals)

    def state(self) -> list[SourceState]:
        return self.states


@pytest.fixture(scope="module")
def health(tmp_path_factory: pytest.TempPathFactory) -> Health:
    """Health of a session that met a good film, one with hostile texts, and a failure."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "secret.txt").write_text("secret")
    output, segmenter = OutputFolder(folder / "out", names=True), Segmenter.load("lungs")
    good = replace(phantom(400, 360, seed=1).film, name="good.png", source="films/good.png", spacing_mm=(0.8, 0.8))
    header = pydicom.Dataset()
    header.PatientName, header.PatientID = HOSTILE, HOSTILE
    hostile = replace(good, name=f"{HOSTILE}.png", source=HOSTILE, warnings=(HOSTILE,), header=header)
    source = Films(good, Failure("broken.dcm", "broken.dcm", InputError(f"broken.dcm: {HOSTILE}")), hostile)
    made = Health(segmenter, source, output)
    run_session(source, segmenter, output, [made])
    return made


@pytest.fixture
def page(health: Health) -> Iterator[PageServer]:
    with closing(PageServer("0", health)) as server:
        yield server


def get(page: PageServer, path: str, **headers: str | bytes) -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", page.port, timeout=60)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    with closing(connection):
        return answer.status, answer.read(), dict(answer.getheaders())


def test_the_state_tells_what_a_clinic_needs(page: PageServer) -> None:
    state = json.loads(get(page, "/state")[1])
    assert state["notice"] == RESEARCH_USE
    assert state["films"] == {"done": 2, "rejected": 0, "failed": 1, "skipped": 0}
    newest, failed, first = state["recent"]
    assert (first["name"], first["status"], failed["status"]) == ("good.png", "done", "failed")
    assert first["areas"]["right_lung"]["cm2"] > 10
    assert 0.2 < first["ratios"]["cardiothoracic"] < 0.8
    assert 0.8 < first["estimated_dice"] <= 1
    assert newest["notes"][-1] == HOSTILE
    assert state["sources"][0]["waiting"] == 3
    assert state["problems"] == []
    assert state["delegate"] == "cpu"
    assert state["free_bytes"] > 0


def test_a_rejected_film_has_its_reason_once_and_no_numbers(tmp_path: Path) -> None:
    output, segmenter = OutputFolder(tmp_path), Segmenter.load("lungs")
    made = phantom(400, 360, seed=1).film
    source = Films(replace(made, name="side.png", source="side.png", pixels=np.rot90(made.pixels).copy()))
    own = Health(segmenter, source, output)
    run_session(source, segmenter, output, [own])
    (film,) = own.state().recent
    assert film.measured is not None
    assert (film.status, film.measured.areas, film.measured.ratios) == ("rejected", {}, {})
    assert sum("does not stand upright" in note for note in film.notes) == 1
    assert film.overlay == "side.overlay.jpg"


def test_overlays_of_older_results_are_shown_too(
    page: PageServer, health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film.overlay.png").write_bytes(b"png")
    monkeypatch.setattr(health, "overlay", lambda number: tmp_path / "film.overlay.png")
    status, data, headers = get(page, "/overlay/1")
    assert (status, headers["Content-Type"], data) == (200, "image/png", b"png")


def test_overlays_are_asked_for_by_number(page: PageServer, health: Health) -> None:
    status, data, headers = get(page, "/overlay/1")
    path = health.overlay(1)
    assert path is not None
    assert (status, headers["Content-Type"], data) == (200, "image/jpeg", path.read_bytes())
    # A failure has no picture; nothing else has a number.
    assert {get(page, f"/overlay/{name}")[0] for name in ("2", "0", "99", "-1", "1.png", "%31", "")} == {404}


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/overlay/../../secret.txt",
        "/overlay/%2e%2e%2fsecret.txt",
        "//etc/passwd",
        "/out/records.jsonl",
        "/page.html",
        "/assets/page.js",
        "/..%5c..%5csecret.txt",
        "/state/..",
        "http://other/secret.txt",
    ],
)
def test_no_route_reads_files(page: PageServer, path: str) -> None:
    status, data, _ = get(page, path)
    assert status in (403, 404)
    assert b"secret" not in data


def test_metrics_are_prometheus_text(page: PageServer) -> None:
    _, data, headers = get(page, "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = data.decode().splitlines()
    for line in lines:
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? -?[0-9.e+]+', line), line
    assert 'edge_seg_films_total{outcome="done"} 2' in lines
    assert "edge_seg_waiting_films 3" in lines
    assert 'edge_seg_camera_age_seconds{camera="camera 0"} 0.25' in lines


def test_healthz_notices_a_session_that_hangs(
    page: PageServer, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get(page, "/healthz")[:2] == (200, b"ok\n")
    monkeypatch.setattr(health_module, "STUCK_S", 0.0)
    assert get(page, "/healthz")[:2] == (503, b"stuck\n")
    monkeypatch.setattr(health_module, "STUCK_S", 60.0)
    health.tick()
    assert get(page, "/healthz")[0] == 200


def test_problems_are_named(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    source: Any = health._source
    monkeypatch.setattr(source, "states", [SourceState("camera 0", trouble="ended")])
    monkeypatch.setattr(health_module, "temperature_c", lambda: 84.0)
    monkeypatch.setattr(health_module, "throttling", lambda: {"now": ["under-voltage"], "start": []})
    monkeypatch.setattr(health_module, "_free", lambda folder: 1_000_000)
    own = Health(health._segmenter, source, health._output)
    own.waiting(OutputError("out: cannot be written: free space"))
    problems = own.state().problems
    for said in ("camera 0 ended", "84 degrees", "under-voltage", "1 MB", "cannot be written"):
        assert any(said in problem for problem in problems), said
    own.film(Summary(), Failure("x", "x", InputError("x")), None)
    assert not any("cannot be written" in problem for problem in own.state().problems)


def test_other_machines_need_the_token(health: Health) -> None:
    with closing(PageServer("0.0.0.0:0", health, "knows")) as page:
        assert page.url.endswith("/?token=knows")
        for path in ("/", "/state", "/metrics", "/overlay/1", "/page.js"):
            assert get(page, path)[0] == 401
            assert get(page, path, Cookie="edge-seg-session=guess")[0] == 401
            assert get(page, path, Authorization="Bearer knows")[0] == 200
            assert get(page, path, Cookie="edge-seg-session=knows")[0] == 401
        # For monitors; it reveals nothing about anyone.
        assert get(page, "/healthz")[0] == 200
        cookie = get(page, "/?token=knows")[2]["Set-Cookie"]
        assert "knows" not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert get(page, "/state", Cookie=cookie.partition(";")[0])[0] == 200
    with closing(PageServer("0.0.0.0:0", health)) as one, closing(PageServer("0.0.0.0:0", health)) as other:
        assert one.url.partition("token=")[2] != other.url.partition("token=")[2]


ROUTES = ("/", "/page.js", "/page.css", "/state", "/metrics", "/overlay/1", "/healthz", "/nothing")
SPELLINGS = (
    "token=",
    "token",
    "token=%00",
    "token=wrong",
    "xtoken=1",
    "xtoken=knows",
    "token=know",
    "token=knowsx",
    "Token=knows",
    "token=wrong&token=",
    "token=&token=&token=",
    "%74oken=wrong",
    "token=%C3%BC",
    "token=%FF%FE",
    "token=" + "a" * 5000,
    "a=token=knows",
)


@pytest.mark.parametrize("route", ROUTES)
def test_without_the_token_no_route_gives_a_cookie_or_tells_anything(health: Health, route: str) -> None:
    with closing(PageServer("0.0.0.0:0", health, "knows", limits=PageLimits(wrong_token_s=0))) as page:
        for spelling in SPELLINGS:
            status, data, headers = get(page, f"{route}?{spelling}")
            assert status == (200 if route == "/healthz" else 401), spelling
            assert "Set-Cookie" not in headers, spelling
            assert "knows" not in f"{data!r}{headers}"
        # A monitor that sends it learns no more, and gets no cookie.
        assert "Set-Cookie" not in get(page, "/healthz?token=knows")[2]


@pytest.mark.parametrize("token", ["two words", "a;b", 'say "x"', "a,b\\c", "schlüssel", "鍵", "a&b=c#d%20+"])
def test_any_token_works(health: Health, token: str) -> None:
    with closing(PageServer("0.0.0.0:0", health, token)) as page:
        _, _, query = page.url.partition("/?")
        status, _, headers = get(page, f"/state?{query}")
        assert status == 200
        assert get(page, "/state", Cookie=headers["Set-Cookie"].partition(";")[0])[0] == 200
        assert get(page, "/state", Authorization=b"Bearer " + token.encode())[0] == 200


def test_a_name_that_was_made_to_point_here_reads_nothing(page: PageServer) -> None:
    assert get(page, "/state", Host="evil.example")[0] == 403
    assert get(page, "/state", Host=f"localhost:{page.port}")[0] == 200


@pytest.mark.parametrize("twice", [b"Content-Length: 2", b"Host: evil.example", b"Origin: http://evil.example"])
def test_a_request_that_can_be_read_in_two_ways_is_none(twice: bytes) -> None:
    once = b"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 5\r\nAccept: a\r\n"
    assert parse_request(once + b"Content-Length: 5\r\nAccept: b\r\n\r\n").length == 5
    with pytest.raises(BadRequest):
        parse_request(once + twice + b"\r\n\r\n")


def test_every_answer_forbids_scripts_from_elsewhere(page: PageServer) -> None:
    for path in ("/", "/state", "/overlay/1", "/nothing"):
        headers = get(page, path)[2]
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
    html = get(page, "/")[1].decode()
    assert "http" not in html.replace("http-equiv", "")


def test_silent_connections_keep_nobody_from_looking(page: PageServer) -> None:
    held = []
    for _ in range(40):
        connection = HTTPConnection("127.0.0.1", page.port, timeout=60)
        connection.connect()
        held.append(connection)
    for connection in held[:20]:
        connection.close()
    deadline = time.monotonic() + 300
    while True:
        try:
            assert get(page, "/healthz")[0] == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    for connection in held:
        connection.close()


def test_addresses(health: Health, page: PageServer) -> None:
    assert page.url == f"http://127.0.0.1:{page.port}/"
    with pytest.raises(UsageError, match="8080"):
        PageServer("here", health)
    with pytest.raises(DeviceError, match=r"had \(Address already in use\): choose another"):
        PageServer(str(page.port), health)


def test_without_javascript_the_same_films_can_be_read(page: PageServer) -> None:
    assert b'url=plain"></noscript>' in get(page, "/")[1]
    status, body, headers = get(page, "/plain")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = body.decode()
    assert '<a href="overlay/1">good.png</a>' in text
    assert "cardiothoracic ratio 0." in text
    assert "whole lung" in text
    assert "<img" not in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_frames_of_a_camera_are_one_line_and_crowd_no_film_out(tmp_path: Path, health: Health) -> None:
    segmenter = health._segmenter
    film = replace(phantom(200, 180, seed=1).film, name="good.png", source="films/good.png")
    frames = [replace(film, name=f"camera-{n}.png", source="camera 0") for n in range(6)]
    source, output = Films(film, *frames), OutputFolder(tmp_path)
    seen = Health(segmenter, source, output)
    run_session(source, segmenter, output, [seen])
    newest, first = seen.recent()
    assert (newest.source, newest.frames, newest.number) == ("camera 0", 6, 7)
    assert (first.source, first.frames) == ("films/good.png", 1)
    assert seen.overlay(7) is not None


def in_a_browser(url: str, tmp_path: Path, *more: str) -> str:
    """A page's DOM in a real browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", "--virtual-time-budget=5000", *more]
    command = [browser, *options, f"--user-data-dir={tmp_path}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.slow
def test_hostile_texts_stay_texts_in_a_real_browser(page: PageServer, tmp_path: Path) -> None:
    dom = in_a_browser(page.url, tmp_path)
    assert "<title>edge-seg</title>" in dom
    assert "&lt;img src=x onerror=" in dom
    assert '<img src="x"' not in dom
    assert "good.png" in dom
    assert "rejected, 1 failed" in dom
    assert '/film/3"' in dom


@pytest.mark.slow
def test_a_real_browser_over_https(health: Health, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """It keeps the cookie, which is for TLS only, and requests films with it; an unknown certificate stops it."""
    with closing(PageServer("0", health, "word of the owner", tls=server_context(*certificate))) as page:
        assert page.url.startswith("https://")
        trusted = f"--ignore-certificate-errors-spki-list={key_hash(certificate[0])}"
        dom = in_a_browser(page.url, tmp_path / "trusting", trusted)
        assert "rejected, 1 failed" in dom
        assert '/film/3"' in dom
        assert "word of the owner" not in dom
        assert "good.png" not in in_a_browser(page.url, tmp_path / "wary")


def key_hash(cert: Path) -> str:
    """Base64 of the SHA-256 of a certificate's key, which tells Chromium to trust it."""
    pem = subprocess.run(["openssl", "x509", "-in", cert, "-pubkey", "-noout"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=pem, capture_output=True, check=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


@pytest.mark.slow
def test_a_run_prints_where_its_page_is(tmp_path: Path) -> None:
    import sys

    words = ["--camera", "demo", "--view", "0", "--out", str(tmp_path / "out"), "--save", "record"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_seg.cli.main", "run", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "it ended"
            found = re.search(r"page: (http://127\.0\.0\.1:\d+/)", line)
        with urllib.request.urlopen(f"{found.group(1)}healthz", timeout=60) as answer:
            assert answer.read() == b"ok\n"
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{found.group(1)}nothing", timeout=60)
    finally:
        process.terminate()
        process.communicate(timeout=60)
