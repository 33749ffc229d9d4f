"""Corrections over HTTP: who may send them, what is refused, and a finished folder served like a session."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg import Film, InputError, OutputError, Segmenter, Station, StationConfig
from edge_seg.corrections import Corrections
from edge_seg.corrections.desk import Desk
from edge_seg.film import Arrival, Failure
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom, write_dicom
from edge_seg.pixels import to_grey8
from edge_seg.record import AnyRecord
from edge_seg.sources import Files, Source, read_film
from edge_seg.station.config import InputsConfig, ModelConfig, ResultsConfig, ViewConfig
from edge_seg.station.finished import FinishedFolder
from edge_seg.station.health import Health
from edge_seg.station.page import Correcting, PageServer
from edge_seg.station.retention import Retention
from edge_seg.station.session import Observer, Summary, run_session
from edge_seg.station.wiring import open_finished

SQUARE = [[[60, 80], [140, 80], [140, 200], [60, 200]]]
JSON = {"Content-Type": "application/json"}


class Frame(Source):
    """A camera with one frame."""

    total: int | None = 1

    def __init__(self, film: Film) -> None:
        self.film = film

    def __iter__(self) -> Iterator[Arrival]:
        yield Arrival(self.film)


class Looks(Observer):
    """Looks at a station's page once it shows a film."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        self._look()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Health, OutputFolder]:
    """A session that segmented a film."""
    folder = tmp_path_factory.mktemp("session")
    cv2.imwrite(str(folder / "film.png"), phantom(400, 360, seed=1).film.pixels)
    segmenter, source, output = (
        Segmenter.load("lungs-nano", threads=1),
        Files([str(folder)]),
        OutputFolder(folder / "o"),
    )
    health = Health(segmenter, source, output)
    run_session(source, segmenter, output, [health])
    return health, output


@pytest.fixture(scope="module")
def page(session: tuple[Health, OutputFolder]) -> Iterator[PageServer]:
    health, output = session
    with closing(PageServer("0", health, correcting=Correcting(health, Desk(output.folder, who="B")))) as server:
        yield server


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, {**(JSON if body is not None else {}), **named})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def said(**changes: Any) -> bytes:
    plain = {"base": 0, "who": "A. Reader", "verdict": "corrected", "outlines": {"right_lung": SQUARE}}
    return json.dumps({**plain, **changes}).encode()


def test_a_correction_is_sent_and_told(page: PageServer, session: tuple[Health, OutputFolder]) -> None:
    assert [one["number"] for one in json.loads(ask(f"{page.url}corrections")[1])["next"]] == [1]
    status, body = ask(f"{page.url}corrections/1")
    sheet = json.loads(body)
    assert (status, sheet["name"], sheet["base"], sheet["who"]) == (200, "film.png", 0, "B")
    for name, longest in (("film", 400), ("small", 400)):
        picture = cv2.imdecode(np.frombuffer(ask(f"{page.url}corrections/1/{name}")[1], np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        assert max(picture.shape) == longest
    assert ask(f"{page.url}corrections/1/film/200-50")[1][:2] == b"\xff\xd8"
    assert [ask(f"{page.url}corrections/1/small/{window}")[0] for window in ("10-100", "100-999")] == [422, 422]
    assert ask(f"{page.url}corrections/1", said())[0] == 201
    assert ask(f"{page.url}corrections/1", said())[0] == 409
    told = json.loads(ask(f"{page.url}corrections")[1])
    assert told["films"]["1"]["who"] == "A. Reader"
    assert told["next"] == []
    assert [one.film for one in Corrections(session[1].folder)] == ["film"]


def test_what_makes_no_sense_is_told_in_a_line(page: PageServer) -> None:
    huge = said(outlines={"right_lung": [[[10**400, 0], [9, 0], [9, 9]]]})
    for body, status in (
        (b"{}", 422),
        (huge, 422),
        (said(actions=10**20), 422),
        (said(who=""), 422),
        (b"x" * 2_000_001, 413),
        (b"", 400),
    ):
        got, told = ask(f"{page.url}corrections/1", body)
        assert got == status
        assert len(json.loads(told)["error"].splitlines()) == 1
    assert ask(f"{page.url}corrections/77", said())[0] == 404
    assert ask(f"{page.url}corrections/77")[0] == 404
    assert ask(f"{page.url}corrections/1/../../secret")[0] == 404
    assert ask(f"{page.url}corrections", said())[0] == 405


def test_whatever_goes_wrong_is_told_and_never_ends_without_an_answer(
    page: PageServer, session: tuple[Health, OutputFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    def unreadable(*_: object, **__: object) -> None:
        raise OutputError("corrections.jsonl: cannot be read")

    for asked, place in (("corrections", "following"), ("corrections/1", "sheet"), ("corrections/1/film", "picture")):
        for fault, status in ((breaks, 422), (unreadable, 503)):
            monkeypatch.setattr(Desk, place, fault)
            got, told = ask(f"{page.url}{asked}")
            assert got == status
            assert json.loads(told)["error"]


def test_no_page_of_another_machine_can_send_one(page: PageServer, session: tuple[Health, OutputFolder]) -> None:
    url, count = f"{page.url}corrections/1", len(list(Corrections(session[1].folder)))
    assert ask(url, said(base=count), Origin="http://elsewhere.example")[0] == 403
    assert ask(url, said(base=count), Content_Type="text/plain")[0] == 415
    assert ask(url, said(base=count), Host="elsewhere.example")[0] == 403
    assert len(list(Corrections(session[1].folder))) == count


def test_the_token_is_needed_and_corrections_can_be_switched_off(session: tuple[Health, OutputFolder]) -> None:
    health, output = session
    correcting = Correcting(health, Desk(output.folder))
    with closing(PageServer("0.0.0.0:0", health, "secret", correcting=correcting)) as closed:
        for path in ("corrections", "corrections/1", "corrections/1/film"):
            assert ask(f"http://127.0.0.1:{closed.port}/{path}")[0] == 401
        assert ask(f"http://127.0.0.1:{closed.port}/corrections/1", said())[0] == 401
        assert ask(f"http://127.0.0.1:{closed.port}/corrections", Authorization="Bearer secret")[0] == 200
    with closing(PageServer("0", health)) as without:
        assert ask(f"{without.url}corrections")[0] == 404
        assert ask(f"{without.url}corrections/1", said())[0] == 405


def run_station(folder: Path, seed: int, look: Callable[[str], None]) -> None:
    """Run a station on a film, and look at its page, given its address, once it shows the film."""
    cv2.imwrite(str(folder / f"film{seed}.png"), phantom(400, 360, seed=seed).film.pixels)
    config = StationConfig(
        inputs=InputsConfig((str(folder / f"film{seed}.png"),)),
        model=ModelConfig("lungs-nano", threads=1),
        results=ResultsConfig(folder / "out"),
        view=ViewConfig("0"),
    )
    with Station(config) as station:
        assert station.page is not None
        station._observers.append(Looks(partial(look, station.page.url)))
        station.run()


def test_a_number_of_an_earlier_start_finds_nothing(tmp_path: Path) -> None:
    numbers: list[int] = []
    links: list[str] = []
    answers: list[tuple[int, int]] = []

    def look(url: str) -> None:
        numbers.append(json.loads(ask(f"{url}state")[1])["recent"][0]["number"])
        film = (tmp_path / "film1.png").read_bytes()
        links.append(json.loads(ask(f"{url}v1/segment", film)[1])["links"]["overlay.jpg"])
        answers.append((ask(f"{url}corrections/{numbers[0]}", said())[0], ask(f"{url}{links[0][1:]}")[0]))

    for seed in (1, 2):
        run_station(tmp_path, seed, look)
    assert answers == [(201, 200), (404, 404)]
    assert [one.film for one in Corrections(tmp_path / "out")] == ["film1"]


@pytest.mark.parametrize("size", [(400, 360), (1944, 2592)], ids=["small", "larger than the page's picture"])
def test_a_frame_of_a_camera_is_kept_as_the_page_shows_it(tmp_path: Path, size: tuple[int, int]) -> None:
    small = phantom(400, 360, seed=1).film
    drawn = replace(small, pixels=cv2.resize(small.pixels, size[::-1], interpolation=cv2.INTER_CUBIC))
    frame = replace(
        drawn, name="camera-1.jpg", source="camera 0", taken_at="2026-11-26T10:00:00+00:00", unique_name=True
    )
    segmenter, output = Segmenter.load("lungs-nano", threads=1, gate=False), OutputFolder(tmp_path)
    source = Frame(frame)
    health = Health(segmenter, source, output)
    run_session(source, segmenter, output, [health])
    with closing(PageServer("0", health, correcting=Correcting(health, Desk(tmp_path)))) as page:
        assert ask(f"{page.url}corrections/1/film")[0] == 200
        assert ask(f"{page.url}corrections/1", said())[0] == 201
    (film,) = Corrections(tmp_path).films()
    assert film.image().shape == size
    assert np.abs(film.image().astype(int) - to_grey8(drawn)).mean() < 3
    output.close()


def test_a_film_that_was_received_is_read_from_where_it_lies_now(tmp_path: Path) -> None:
    write_dicom(phantom(400, 360, seed=1), tmp_path / "1.2.dcm")
    film = replace(read_film(tmp_path / "1.2.dcm"), source="dicom 1.2")
    output = OutputFolder(tmp_path / "out")
    record = output.write(Segmenter.load("lungs-nano", threads=1)(film))
    (tmp_path / "out" / "inbox" / "done").mkdir(parents=True)
    (tmp_path / "1.2.dcm").rename(tmp_path / "out" / "inbox" / "done" / "1.2.dcm")
    desk = Desk(tmp_path / "out", with_dicom=True)
    line = desk.save(record, said())
    assert [file.name for file in line.files if file.name.endswith(".dcm")] == ["versions/1.2.1.corrected.dcm"]
    output.close()


def test_retention_leaves_corrections(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "film.png"), phantom(400, 360, seed=1).film.pixels)
    output = OutputFolder(tmp_path / "out")
    segmenter, source = Segmenter.load("lungs-nano", threads=1), Files([str(tmp_path / "film.png")])
    health = Health(segmenter, source, output)
    run_session(source, segmenter, output, [health])
    record = health.record(1)
    assert record is not None
    Desk(output.folder).save(record, said())
    assert Retention(output, free_bytes=1 << 60).look() == 1
    assert not list(output.folder.glob("*.png"))
    assert [film.name for film in Corrections(output.folder).films()] == ["film"]
    output.close()


def test_a_finished_folder_is_served_like_a_session(session: tuple[Health, OutputFolder], tmp_path: Path) -> None:
    health, output = session
    shown = FinishedFolder(output, Desk(output.folder))
    with closing(PageServer("0", shown, correcting=Correcting(shown, Desk(output.folder)))) as server:
        state, told = json.loads(ask(f"{server.url}state")[1]), health.state().to_json()
        assert state.keys() == told.keys()
        assert [film["name"] for film in state["recent"]] == ["film.png"]
        assert state["model"] == told["model"]
        assert ask(f"{server.url}outlines/1")[1] == ask(f"{server.url}outlines/1")[1] != b""
        assert ask(f"{server.url}film/1")[1] == health.picture(1)
        assert ask(f"{server.url}overlay/1")[0] == 200
        assert ask(f"{server.url}film/2")[0] == 404
    with closing(OutputFolder(tmp_path)) as empty, pytest.raises(InputError, match="holds no results"):
        FinishedFolder(empty, Desk(tmp_path))


def test_a_number_of_an_earlier_start_finds_no_film_of_a_finished_folder(session: tuple[Health, OutputFolder]) -> None:
    numbers = set()
    for _ in range(2):
        with closing(open_finished(StationConfig(view=ViewConfig("0")), session[1], "", None)) as server:
            (film,) = json.loads(ask(f"{server.url}state")[1])["recent"]
            assert ask(f"{server.url}outlines/{film['number']}")[0] == 200
            numbers.add(film["number"])
    assert len(numbers) == 2
    assert max(numbers) < 1 << 53


@pytest.mark.slow
def test_the_verb_serves_until_it_is_stopped(session: tuple[Health, OutputFolder], tmp_path: Path) -> None:
    output = session[1]
    output.close()
    command = [sys.executable, "-m", "edge_seg", "correct", str(output.folder), "--view", "0", "--who", "C. Reader"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = process.stderr.readline().split()[1]
    assert json.loads(ask(f"{url}corrections")[1])["who"] == "C. Reader"
    process.send_signal(signal.SIGTERM)
    assert "corrections are in" in process.communicate(timeout=60)[1]
    assert process.returncode == 0
    wrong = subprocess.run([*command[:4], str(tmp_path / "none")], capture_output=True, text=True)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (3, 1)
