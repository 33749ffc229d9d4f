"""The layers of a film on the page: the film without outlines, and each outline where its mask is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Film, Segmenter
from edge_seg.film import Arrival, inverted
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.pixels import to_grey8
from edge_seg.sources import Source
from edge_seg.station.health import Health
from edge_seg.station.layers import LONGEST_SIDE, Layers
from edge_seg.station.page import PageServer
from edge_seg.station.session import run_session
from edge_seg.structures import CHEST

GOOD = replace(phantom(400, 360, seed=1).film, name="good.png", source="films/good.png")


class Films(Source):
    def __init__(self, *films: Film) -> None:
        self.films, self.total = films, len(films)

    def __iter__(self) -> Iterator[Arrival]:
        yield from map(Arrival, self.films)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("lungs-nano", threads=1)


def session(folder: Path, segmenter: Segmenter, *films: Film, save: tuple[str, ...] = ("mask", "overlay")) -> Health:
    source, output = Films(*films), OutputFolder(folder, (*save, "record"))
    health = Health(segmenter, source, output)
    run_session(source, segmenter, output, [health])
    return health


def points(path: str) -> np.ndarray:
    return np.array(re.findall(r"([\d.]+) ([\d.]+)", path), float)


def test_outlines_lie_on_the_edges_of_masks(tmp_path: Path) -> None:
    mask = np.zeros((1500, 2400), np.uint8)
    mask[300:900, 600:1200] = 255
    cv2.imwrite(str(tmp_path / "heart.png"), mask)
    layers = Layers(Film(np.zeros(mask.shape, np.uint8)), {"heart": tmp_path / "heart.png"})
    found = layers.outlines(CHEST)
    (outline,) = found.outlines
    assert (found.width, found.height) == (2400, 1500)
    assert (outline.name, outline.title, outline.colour) == ("heart", "heart", CHEST[3].colour)
    corners = points(outline.path)
    assert np.abs(corners.min(0) - (600, 300)).max() < 4
    assert np.abs(corners.max(0) - (1200, 900)).max() < 4
    (tmp_path / "heart.png").unlink()
    assert layers.outlines(CHEST).outlines == ()


def test_the_picture_is_the_film_as_it_is_shown_and_no_larger_than_told() -> None:
    film = phantom(600, 500, seed=2, bits=16).film
    data = Layers(film, {}).picture()
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert shown is not None
    assert np.abs(shown.astype(int) - to_grey8(film)).mean() < 2
    large = Layers(Film(np.zeros((3000, 1500), np.uint8)), {}).picture()
    assert max(cv2.imdecode(np.frombuffer(large, np.uint8), 0).shape) == LONGEST_SIDE  # type: ignore[union-attr]


def test_the_page_gives_film_and_outlines_by_number(tmp_path: Path, segmenter: Segmenter) -> None:
    health = session(tmp_path, segmenter, GOOD)
    with closing(PageServer("0", health)) as page:
        kinds = {}
        for path in ("/film/1", "/outlines/1", "/film/2", "/outlines/2", "/film/x", "/outlines/../film/1"):
            with closing(HTTPConnection("127.0.0.1", page.port, timeout=60)) as connection:
                connection.request("GET", path)
                answer = connection.getresponse()
                kinds[path] = answer.status, answer.headers["Content-Type"].partition(";")[0]
    assert kinds["/film/1"] == (200, "image/jpeg")
    assert kinds["/outlines/1"] == (200, "application/json")
    assert {status for status, _ in list(kinds.values())[2:]} == {404}


def test_every_structure_has_an_outline_of_its_colour(tmp_path: Path, segmenter: Segmenter) -> None:
    health = session(tmp_path, segmenter, GOOD)
    (film,) = health.recent()
    outlines = health.outlines(film.number)
    assert film.layers
    assert outlines is not None
    assert {one.name: one.colour for one in outlines.outlines} == {one.name: one.colour for one in CHEST}


def test_a_film_with_black_and_white_exchanged_is_shown_set_right(tmp_path: Path, segmenter: Segmenter) -> None:
    health = session(tmp_path, segmenter, inverted(GOOD))
    (film,) = health.recent()
    assert any("bone was black" in note for note in film.notes), film.notes
    shown = cv2.imdecode(np.frombuffer(health.picture(1) or b"", np.uint8), cv2.IMREAD_GRAYSCALE)
    assert shown is not None
    assert np.abs(shown.astype(int) - to_grey8(GOOD)).mean() < 3


def test_a_rejected_film_is_shown_without_outlines(tmp_path: Path, segmenter: Segmenter) -> None:
    turned = replace(GOOD, pixels=np.rot90(GOOD.pixels).copy())
    health = session(tmp_path, segmenter, turned)
    outlines = health.outlines(1)
    assert health.recent()[0].status == "rejected"
    assert health.picture(1)
    assert outlines is not None
    assert outlines.outlines == ()


def test_where_no_masks_are_written_there_is_the_overlay_alone(tmp_path: Path, segmenter: Segmenter) -> None:
    health = session(tmp_path, segmenter, GOOD, save=("overlay",))
    assert not health.recent()[0].layers
    assert health.picture(1) is None
    assert health.outlines(1) is None
    assert health.overlay(1) is not None


def test_what_retention_removed_is_not_shown(tmp_path: Path, segmenter: Segmenter) -> None:
    health = session(tmp_path, segmenter, GOOD)
    assert health.picture(1)
    for file in (*tmp_path.glob("*.png"), *tmp_path.glob("*.overlay.jpg")):
        file.unlink()
    assert health.picture(1) is None


def test_a_frame_can_be_asked_for_a_moment_after_the_next_one_came(tmp_path: Path, segmenter: Segmenter) -> None:
    frames = [replace(GOOD, name=f"camera-{n}.png", source="camera 0") for n in range(12)]
    health = session(tmp_path, segmenter, *frames)
    assert [film.number for film in health.recent()] == [12]
    assert health.picture(11)
    assert health.overlay(11)
    assert health.picture(2) is None
    assert health.overlay(2) is None
