"""The HTTP interface for other programs: films in, numbers and pictures out, within limits, with the token only."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom, write_dicom
from edge_seg.record import DoneRecord, record_from_json
from edge_seg.sources import open_source
from edge_seg.station.health import Health
from edge_seg.station.page import Api, PageLimits, PageServer
from edge_seg.station.page.openapi import description
from edge_seg.station.session import run_session
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

REQUESTS = int(os.environ.get("EDGE_SEG_REQUESTS", "60"))
"""Generated requests of the fuzzing test; `make fuzz` makes 10,000."""

CHEST = cv2.imencode(".png", phantom(200, 180, seed=1).film.pixels)[1].tobytes()


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("lungs-nano", threads=1)


@pytest.fixture(scope="module")
def health(segmenter: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Health:
    """Health of a session that has segmented one film."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "chest.png").write_bytes(CHEST)
    source, output = open_source([str(folder / "chest.png")]), OutputFolder(folder / "out")
    health = Health(segmenter, source, output)
    run_session(source, segmenter, output, [health])
    return health


@pytest.fixture(scope="module")
def api(health: Health, segmenter: Segmenter) -> Api:
    return Api(health, lambda: segmenter)


@pytest.fixture(scope="module")
def page(health: Health, api: Api) -> Iterator[PageServer]:
    with closing(PageServer("0", health, api=api)) as server:
        yield server


def ask(
    page: PageServer, path: str, body: bytes | None = None, method: str = "", **headers: str
) -> tuple[int, bytes, str]:
    """Status, body and media type of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)) as connection:
        connection.request(method or ("POST" if body is not None else "GET"), path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers["Content-Type"]


def test_a_film_that_is_sent_comes_back_as_numbers_with_links(page: PageServer) -> None:
    status, body, kind = ask(page, "/v1/segment", CHEST)
    assert (status, kind) == (200, "application/json")
    answered = json.loads(body)
    record = record_from_json(answered)
    assert isinstance(record, DoneRecord)
    assert record.areas["right_lung"].pixels > 0
    links = answered["links"]
    assert {"overlay.jpg", "right_lung.png"} <= set(links)
    for name, link in links.items():
        status, _, kind = ask(page, link)
        assert (status, kind) == (200, "image/jpeg" if name == "overlay.jpg" else "image/png")
    mask = cv2.imdecode(np.frombuffer(ask(page, links["right_lung.png"])[1], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    assert np.count_nonzero(mask) == record.areas["right_lung"].pixels


def test_masks_of_structures_in_any_script_have_links_that_work(health: Health, lungs: ModelFile) -> None:
    names = ["右肺", "फेफड़ा", "cœur gauche", "heart"]
    structures = tuple(replace(one, name=name) for one, name in zip(lungs.manifest.structures, names, strict=True))
    model = ModelFile(replace(lungs.manifest, structures=structures, expects="", trust=None), lungs.flatbuffer)
    with closing(PageServer("0", health, api=Api(health, lambda: Segmenter(model)))) as page:
        links = json.loads(ask(page, "/v1/segment", CHEST)[1])["links"]
        assert {f"{name}.png" for name in names} <= set(links)
        for link in links.values():
            assert link.isascii()
            assert ask(page, link)[0] == 200


@pytest.mark.slow
def test_accept_chooses_pictures_all_files_or_dicom(page: PageServer, tmp_path: Path) -> None:
    assert ask(page, "/v1/segment", CHEST, Accept="image/*")[1].startswith(b"\x89PNG")
    assert ask(page, "/v1/segment", CHEST, Accept="image/jpeg")[1].startswith(b"\xff\xd8")
    with zipfile.ZipFile(io.BytesIO(ask(page, "/v1/segment", CHEST, Accept="application/zip")[1])) as archive:
        assert {"overlay.jpg", "right_lung.png", "record.json"} <= set(archive.namelist())
    assert ask(page, "/v1/segment", CHEST, Accept="text/html")[0] == 406
    pytest.importorskip("highdicom")
    write_dicom(phantom(200, 180, seed=1, bits=16), tmp_path / "chest.dcm")
    status, body, kind = ask(page, "/v1/segment", (tmp_path / "chest.dcm").read_bytes(), Accept="application/dicom")
    assert (status, kind, body[128:132]) == (200, "application/dicom", b"DICM")
    assert ask(page, "/v1/segment", CHEST, Accept="application/dicom")[0] == 422


@pytest.mark.parametrize("wrong", [b"no film", CHEST[:400], b"\x89PNG\r\n\x1a\n" + bytes(200)])
def test_what_is_no_film_is_refused_with_the_reason(page: PageServer, wrong: bytes) -> None:
    status, body, _ = ask(page, "/v1/segment", wrong)
    assert status == 422
    assert json.loads(body)["error"].startswith("film: ")


def test_a_film_that_the_gate_rejects_is_an_answer(page: PageServer) -> None:
    turned = cv2.imencode(".png", np.rot90(phantom(200, 180, seed=1).film.pixels))[1].tobytes()
    answered = json.loads(ask(page, "/v1/segment", turned)[1])
    assert answered["quality"]["verdict"] == "reject"
    assert list(answered["links"]) == ["overlay.jpg"]


def test_models_and_films(page: PageServer) -> None:
    models = json.loads(ask(page, "/v1/models")[1])
    assert "lungs" in [model["name"] for model in models["models"]]
    assert models["running"]["model"]["name"] == "lungs-nano"
    (film,) = json.loads(ask(page, "/v1/films")[1])["films"]
    assert json.loads(ask(page, film["links"]["self"])[1]) == film
    assert ask(page, film["links"]["overlay"])[1].startswith(b"\xff\xd8")
    for absent in ("/v1/films/99", "/v1/films/99/overlay", "/v1/results/99/overlay.jpg", "/v1/", "/v1/films/../state"):
        assert ask(page, absent)[0] == 404


def test_old_results_make_room(api: Api) -> None:
    first = json.loads(bytes(api.segment(CHEST, "").body))["links"]["overlay.jpg"]  # type: ignore[arg-type]
    assert api.get(first).status == 200
    for _ in range(16):
        api.segment(CHEST, "")
    assert api.get(first).status == 404


def test_limits(health: Health, api: Api) -> None:
    with closing(PageServer("0", health, api=api, limits=PageLimits(body_bytes=1000))) as page:
        assert ask(page, "/v1/segment", CHEST)[0] == 413
        assert ask(page, "/v1/segment", b"")[0] == 400
        assert ask(page, "/v1/segment", method="GET")[0] == 405
        assert ask(page, "/v1/models", b"x")[0] == 405
    with closing(PageServer("0", health, api=api, limits=PageLimits(films=0))) as page:
        assert ask(page, "/v1/segment", CHEST)[0] == 503

    class Slow(Api):
        def segment(self, data: bytes, accept: str) -> Any:
            import time

            time.sleep(1)
            return super().segment(data, accept)

    slow = Slow(health, lambda: Segmenter.load("lungs-nano"))
    with closing(PageServer("0", health, api=slow, limits=PageLimits(segment_s=0.1))) as page:
        assert ask(page, "/v1/segment", CHEST)[0] == 504


def test_who_sends_more_than_is_read_learns_why_it_is_refused(health: Health, api: Api) -> None:
    large = bytes(30_000_000)
    limits = PageLimits(body_bytes=1000, films=0, wrong_token_s=0)
    with closing(PageServer("0", health, api=api, limits=limits)) as page:
        for path, status in (("/v1/segment", 413), ("/v1/models", 405), ("/absent", 405)):
            assert ask(page, path, large)[0] == status
    with closing(PageServer("0.0.0.0:0", health, "knows", api=api, limits=PageLimits(films=0))) as page:
        assert ask(page, "/v1/segment", large)[0] == 401
        assert ask(page, "/v1/segment", large, Authorization="Bearer knows")[0] == 503


@pytest.mark.slow
def test_who_never_stops_sending_is_not_heard_for_ever(health: Health, api: Api) -> None:
    head = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n"
    with (
        closing(PageServer("0", health, api=api, limits=PageLimits(linger_s=0.02))) as page,
        socket.create_connection(("127.0.0.1", page.port), timeout=30) as peer,
        pytest.raises((ConnectionResetError, BrokenPipeError)),
    ):
        peer.sendall(head + bytes(500_000_000))


def test_it_is_as_closed_as_the_page(health: Health, api: Api, page: PageServer) -> None:
    assert ask(page, "/v1/segment", CHEST, Host="elsewhere.example")[0] == 403
    assert ask(page, "/v1/segment", CHEST, Origin="http://elsewhere.example")[0] == 403
    with closing(PageServer("0.0.0.0:0", health, "knows", api=api, limits=PageLimits(wrong_token_s=0))) as guarded:
        for path, body in (("/v1/segment", CHEST), ("/v1/models", None), ("/v1/openapi.json", None)):
            assert ask(guarded, path, body)[0] == 401
            assert ask(guarded, path, body, Authorization="Bearer knows")[0] == 200
    with closing(PageServer("0", health)) as without:
        assert ask(without, "/v1/models")[0] == 404


def _bodies(folder: Path) -> SearchStrategy[bytes]:
    """Films, films with changed or missing bytes, and arbitrary bytes."""
    write_dicom(phantom(200, 180, seed=1), folder / "chest.dcm")
    jpeg = cv2.imencode(".jpg", phantom(160, 200, seed=2).film.pixels)[1].tobytes()
    deep = cv2.imencode(".png", phantom(150, 150, seed=3).film.pixels.astype(np.uint16) * 257)[1].tobytes()
    blank = cv2.imencode(".png", np.full((60, 60), 128, np.uint8))[1].tobytes()
    films = st.sampled_from([CHEST, jpeg, deep, blank, (folder / "chest.dcm").read_bytes()])

    def damaged(film: bytes) -> SearchStrategy[bytes]:
        place = st.integers(0, len(film) - 1)
        changed = st.builds(lambda at, new: film[:at] + new + film[at + len(new) :], place, st.binary(max_size=8))
        return st.one_of(changed, place.map(lambda at: film[:at]))

    return st.one_of(films, films, films.flatmap(damaged), st.binary())


@pytest.mark.slow
def test_the_interface_is_as_it_describes_itself(health: Health, api: Api, tmp_path: Path) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    bodies = _bodies(tmp_path)
    for kind in ("application/octet-stream", "image/png", "image/jpeg", "application/dicom"):
        schemathesis.openapi.media_type(kind, bodies)
    schema = schemathesis.openapi.from_dict(description())
    answers = list(description()["paths"]["/v1/segment"]["post"]["responses"]["200"]["content"])
    seen: Counter[tuple[str, int]] = Counter()
    operations = [one.ok() for one in schema.get_all_operations()]
    # One request covers an operation without parameters or body.
    varied = [one for one in operations if one.body or one.path_parameters]
    limits = PageLimits(wrong_token_s=0)
    once = settings(max_examples=1, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    many = settings(once, max_examples=-(-REQUESTS // len(varied)))
    token = {"Authorization": "Bearer knows"}
    result = json.loads(bytes(api.segment(CHEST, "").body))["links"]["overlay.jpg"].split("/")  # type: ignore[arg-type]
    there = {"number": int(result[-2]), "file": result[-1]}
    with closing(PageServer("0.0.0.0:0", health, "knows", api=api, limits=limits)) as page:

        def holds(case: Any, accept: str, known: bool) -> None:
            if known and case.path_parameters:
                # Any number is allowed, but few are a film's.
                case.path_parameters.update({name: there[name] for name in case.path_parameters})
            told = {**token, "Accept": accept}
            response = case.call(base_url=f"http://127.0.0.1:{page.port}", headers=told)
            seen[case.operation.path, response.status_code] += 1
            # The description allows any bytes as a body, but few are a film.
            case.validate_response(response, headers=told, excluded_checks=[positive_data_acceptance])

        for one in operations:
            accepts = st.sampled_from(["*/*", "text/html", *answers])
            examples = given(case=one.as_strategy(), accept=accepts, known=st.booleans())
            (many if one in varied else once)(examples(holds))()
    print(f"{seen.total()} requests:", *(f"{path} {status} {count}" for (path, status), count in sorted(seen.items())))
    assert not {status for _, status in seen if status >= 500}
    assert {200, 422} <= {status for path, status in seen if path == "/v1/segment"}
    assert seen.total() >= REQUESTS
