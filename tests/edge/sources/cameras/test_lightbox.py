"""Films on a light box: photographed askew, they come out upright; without a film, nothing is cropped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from edge_seg import Film, Segmenter
from edge_seg.phantom import phantom
from edge_seg.sources import Camera, CameraOptions
from edge_seg.sources.cameras.lightbox import find_film, undo_keystone
from edge_seg.sources.cameras.stream import Feed
from edge_seg_data.scores import dice
from hypothesis import given, settings
from hypothesis import strategies as st

FRAME = (720, 960)

offsets = st.integers(-40, 40)


def photographed(
    film: np.ndarray, corners: np.ndarray, room: int = 20, box: int = 245, noise: float = 2.0, whole: bool = False
) -> np.ndarray:
    """The film at these corners of a frame, on a light box that shows around it unless the film covers it `whole`."""
    frame = np.full(FRAME, room, np.uint8)
    if not whole:
        centre = corners.mean(axis=0)
        around = (centre + (corners - centre) * 1.18).astype(np.int32)
        cv2.fillConvexPoly(frame, around, box)
    height, width = film.shape
    source = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    way = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    inside = cv2.warpPerspective(np.full_like(film, 255), way, FRAME[::-1], flags=cv2.INTER_NEAREST) > 0
    laid = cv2.warpPerspective(film, way, FRAME[::-1], flags=cv2.INTER_LINEAR)
    # Less light shines through a film than past it.
    frame[inside] = (40 + laid * 0.6).astype(np.uint8)[inside]
    chance = np.random.default_rng(0)
    return np.clip(frame + chance.normal(0, noise, FRAME), 0, 255).astype(np.uint8)


def askew(shifts: list[tuple[int, int]]) -> np.ndarray:
    upright = np.array([[260, 120], [700, 120], [700, 610], [260, 610]], np.float32)
    return upright + np.array(shifts, np.float32)


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.tuples(offsets, offsets), min_size=4, max_size=4), st.integers(0, 3), st.booleans())
def test_the_film_is_found_wherever_it_lies(shifts: list[tuple[int, int]], seed: int, whole: bool) -> None:
    corners = askew(shifts)
    found = find_film(photographed(phantom(490, 440, seed=seed).film.pixels, corners, whole=whole))
    assert found is not None
    # One per cent of the frame's diagonal.
    assert np.abs(found - corners).max() < 12


def test_outlines_on_the_photograph_are_those_on_the_film() -> None:
    made = phantom(980, 880, seed=1)
    frame = photographed(made.film.pixels, askew([(30, 10), (-20, 25), (25, -15), (-30, 5)]))
    corners = find_film(frame)
    assert corners is not None
    upright = undo_keystone(frame, corners)
    segmenter = Segmenter.load("lungs")
    outlined = segmenter(upright).masks["right_lung"] | segmenter(upright).masks["left_lung"]
    lungs = (made.masks["right_lung"] | made.masks["left_lung"]).astype(np.uint8)
    expected = cv2.resize(lungs, upright.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    assert dice(outlined, expected) > 0.9


@pytest.mark.parametrize("kind", ["noise", "blank", "gradient", "circle", "strip"])
def test_where_there_is_no_film_nothing_is_found(kind: str) -> None:
    frame = np.full(FRAME, 30, np.uint8)
    if kind == "noise":
        frame = np.random.default_rng(0).integers(0, 255, FRAME, np.uint8)
    elif kind == "gradient":
        frame = np.tile(np.linspace(0, 255, FRAME[1]).astype(np.uint8), (FRAME[0], 1))
    elif kind == "circle":
        cv2.circle(frame, (480, 360), 300, 240, -1)
    elif kind == "strip":
        cv2.rectangle(frame, (50, 300), (910, 420), 240, -1)
    assert find_film(frame) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_corners_are_in_the_frames_own_pixels(dtype: type) -> None:
    corners = askew([(0, 0)] * 4)
    frame = photographed(phantom(490, 440).film.pixels, corners)
    large: np.ndarray = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST).astype(dtype) * (
        257 if dtype is np.uint16 else 1
    )
    found = find_film(large.astype(dtype))
    assert found is not None
    assert np.abs(found - corners * 2).max() < 20
    assert undo_keystone(large, found).dtype == dtype


class Photographs:
    """A camera that sees a film, then nothing."""

    def __init__(self) -> None:
        film = photographed(phantom(490, 440, seed=1).film.pixels, askew([(20, 0), (-20, 0), (0, 0), (0, 0)]))
        self._frames = [film, np.full(FRAME, 30, np.uint8)]

    def read(self) -> np.ndarray:
        if len(self._frames) > 1:
            return self._frames.pop(0)
        # Sensors have noise.
        return np.random.default_rng().integers(28, 33, FRAME, np.uint8)

    def decode(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def release(self) -> None:
        pass


@pytest.mark.parametrize("light_box", [True, False])
def test_a_camera_over_a_light_box(light_box: bool) -> None:
    made: list[Feed] = [Photographs()]
    source = Camera("0", 2, CameraOptions(light_box), opener=lambda address: made[0])
    films = [one.content for one in source if one is not None and isinstance(one.content, Film)]
    source.close()
    texts = {" ".join(film.warnings) for film in films}
    if light_box:
        assert all("cut out" in text or "no film's border" in text for text in texts)
        assert any("no film's border" in text for text in texts)
    else:
        assert texts == {"camera-derived"}
        assert {film.shape for film in films} == {FRAME}
