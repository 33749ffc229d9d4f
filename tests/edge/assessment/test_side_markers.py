"""Side markers are read anywhere on a film, lead or burnt in; bones and words are not taken for them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Film
from edge_seg.assessment.side_markers import SIDE, SideMarkers, candidates, load_side_markers
from edge_seg.assessment.sides import read_side

GREY = 90


def film_with(
    text: str, place: tuple[int, int], *, size: float = 1.0, ink: int = 250, plate: int | None = None
) -> np.ndarray:
    """A grey picture of 400 x 500 pixels with text whose lower left corner is at `(column, row)`."""
    picture = np.full((400, 500), GREY, np.uint8)
    if plate is not None:
        cv2.rectangle(picture, (place[0] - 8, place[1] - 34), (place[0] + 30, place[1] + 10), plate, -1)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_DUPLEX, size, ink, 2, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("letter", ["R", "L"])
@pytest.mark.parametrize(("ink", "plate"), [(250, None), (250, 0), (20, 255)])
def test_a_letter_is_read_and_where_it_lies_is_told(letter: str, ink: int, plate: int | None) -> None:
    (marker, *again) = load_side_markers().read(film_with(letter, (60, 70), ink=ink, plate=plate))
    assert {one.letter for one in (marker, *again)} == {letter}
    assert marker.column == pytest.approx(70 / 500, abs=0.02)
    assert marker.row == pytest.approx(58 / 400, abs=0.02)


@pytest.mark.parametrize("letter", ["R", "L"])
def test_a_marker_that_was_laid_face_down_is_read(letter: str) -> None:
    (marker, *_) = load_side_markers().read(np.ascontiguousarray(film_with(letter, (60, 70))[:, ::-1]))
    assert marker.letter == letter
    assert marker.column == pytest.approx(430 / 500, abs=0.02)


def test_words_are_no_markers() -> None:
    for word in ("RIGHT", "ERECT", "LL", "PORTABLE", "VGDR7501"):
        assert load_side_markers().read(film_with(word, (60, 70))) == ()


def test_nothing_is_read_where_nothing_stands_out() -> None:
    reader = load_side_markers()
    assert reader.read(np.full((400, 500), GREY, np.uint8)) == ()
    assert reader.read(np.zeros((1, 1), np.uint8)) == ()
    assert reader.read(np.random.default_rng(0).integers(0, 256, (400, 500), dtype=np.uint8)) == ()


def test_more_pieces_than_16_bits_count_are_no_markers() -> None:
    chequered = np.zeros((SIDE, SIDE), np.uint8)
    chequered[::2, ::2] = 200
    assert cv2.connectedComponents(chequered)[0] > np.iinfo(np.uint16).max
    assert load_side_markers().read(chequered) == ()


def test_none_is_looked_for_between_the_lungs_edges() -> None:
    picture = film_with("L", (240, 200))
    assert len(candidates(picture).boxes)
    assert not len(candidates(picture, (slice(100, 300), slice(100, 400))).boxes)


def test_a_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    reader = load_side_markers()
    reader.save(tmp_path / "again.npz")
    patches = candidates(film_with("R", (60, 70))).patches
    again = SideMarkers.read_from(tmp_path / "again.npz")
    assert (again.probabilities(patches) == reader.probabilities(patches)).all()


@pytest.mark.parametrize(
    ("letter", "column", "on_its_side"), [("R", 40, True), ("R", 440, False), ("L", 40, False), ("L", 440, True)]
)
def test_a_letter_tells_the_side_by_the_lungs_middle(letter: str, column: int, on_its_side: bool) -> None:
    lungs = np.zeros((40, 50), bool)
    lungs[10:35, 8:42] = True
    assert read_side(Film(film_with(letter, (column, 60))), lungs) == (letter, on_its_side)
    # On a large film too.
    large = cv2.resize(film_with(letter, (column, 60)), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert max(large.shape) > SIDE
    assert read_side(Film(large), lungs) == (letter, on_its_side)


def test_a_film_without_a_letter_tells_nothing() -> None:
    lungs = np.zeros((40, 50), bool)
    lungs[10:35, 8:42] = True
    assert read_side(Film(np.full((400, 500), GREY, np.uint8)), lungs) == ("", True)
