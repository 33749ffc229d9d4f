"""Which side is which, and which way up, by the header (PS3.3 C.7.6.1.1.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from edge_seg import Film, InputError, Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.phantom.film import Phantom

Read = Callable[..., Film]

# How to turn an upright film to each orientation.
LYING = {
    ("L", "F"): lambda plane: plane,
    ("R", "F"): lambda plane: plane[:, ::-1],
    ("L", "H"): lambda plane: plane[::-1],
    ("R", "H"): lambda plane: plane[::-1, ::-1],
    ("F", "L"): lambda plane: plane.T,
    ("F", "R"): lambda plane: plane[:, ::-1].T,
    ("H", "L"): lambda plane: plane[::-1].T,
    ("H", "R"): lambda plane: plane[::-1, ::-1].T,
}


@pytest.mark.parametrize("said", LYING, ids="/".join)
def test_masks_are_those_of_the_upright_film_turned(
    said: tuple[str, str], made: Phantom, read_with: Read, lungs: ModelFile
) -> None:
    segmenter = Segmenter(lungs)
    lie = LYING[said]
    plain = segmenter(read_with(made.film.pixels, PatientOrientation=["L", "F"]))
    found = segmenter(read_with(lie(made.film.pixels), PatientOrientation=list(said)))
    assert found.film.orientation_known
    assert found.film.orientation.letters == "/".join(said)
    assert found.measurements == plain.measurements
    for name, mask in plain.masks.items():
        np.testing.assert_array_equal(found.masks[name], lie(mask))


@pytest.mark.parametrize("said", [["L", "FR"], ["LF", "F"], ["l", "f"], ["L ", "F"]], ids=str)
def test_the_first_letter_of_an_oblique_direction_is_its_main_one(said: list[str], read_with: Read) -> None:
    film = read_with(PatientOrientation=said)
    assert film.orientation_known
    assert film.orientation == Film(film.pixels).orientation


@pytest.mark.parametrize("said", ["", "L", ["L", ""], ["L", "R"], ["X", "F"], ["L", "F", "A"]], ids=str)
def test_what_says_nothing_is_not_heeded(said: object, read_with: Read) -> None:
    film = read_with(PatientOrientation=said)
    assert not film.orientation_known
    assert film.orientation == Film(film.pixels).orientation
    assert any("makes no sense" in warning for warning in film.warnings) == (said != "")


@pytest.mark.parametrize("said", [["A", "F"], ["P", "F"], ["AL", "FP"], ["F", "A"], ["H", "P"]], ids=str)
def test_a_lateral_orientation_is_refused(said: list[str], read_with: Read) -> None:
    with pytest.raises(InputError, match=f"a lateral film by its header .orientation {'/'.join(said)}."):
        read_with(PatientOrientation=said)


def test_a_view_along_the_body_is_refused(read_with: Read) -> None:
    with pytest.raises(InputError, match="from above or below"):
        read_with(PatientOrientation=["L", "P"])


def test_what_was_done_at_the_detector_is_not_undone_where_the_orientation_is_known(read_with: Read) -> None:
    turned = {"FieldOfViewHorizontalFlip": "YES", "FieldOfViewRotation": "90"}
    known = read_with(PatientOrientation=["R", "F"], **turned)
    assert known.orientation.columns_reversed
    assert not known.orientation.transposed
    assert not any("detector and the header" in warning for warning in known.warnings)
    unknown = read_with(PatientOrientation=None, **turned)
    assert unknown.orientation == Film(unknown.pixels).orientation
    assert any("turned by 90 degrees and flipped at the detector" in warning for warning in unknown.warnings)


def test_a_film_of_one_side_is_noted(read_with: Read) -> None:
    assert any("right side alone" in warning for warning in read_with(Laterality="R").warnings)
    assert any("left side alone" in warning for warning in read_with(ImageLaterality="L").warnings)
    assert not any("side alone" in warning for warning in read_with(ImageLaterality="U").warnings)
