"""The network sees films upright, in square pixels and without padding; masks come back in the film's own pixels."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import cv2
import numpy as np
import pytest
from edge_seg import Film, InputError, Segmenter, pixels
from edge_seg.film import inverted
from edge_seg.model_file import ModelFile
from edge_seg.orientation import Orientation
from edge_seg.phantom import phantom

EIGHT_WAYS = [Orientation(*ways) for ways in product((False, True), repeat=3)]
INPUT = (192, 192)


def laid_down(plane: np.ndarray, lies: Orientation) -> np.ndarray:
    """An upright plane turned to an orientation."""
    height, width = plane.shape
    laid = np.empty((width, height) if lies.transposed else (height, width), plane.dtype)
    lies.upright(laid)[:] = plane
    return laid


def padded(film: Film, value: int, border: int) -> Film:
    plane = cv2.copyMakeBorder(film.pixels, border, border, border, border, cv2.BORDER_CONSTANT, value=value)
    padding = np.ones(plane.shape, bool)
    padding[border:-border, border:-border] = False
    return replace(film, pixels=plane, padding=padding)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


@pytest.mark.parametrize("lies", EIGHT_WAYS, ids=str)
def test_masks_of_a_film_that_lies_otherwise_are_the_plain_ones_turned(lies: Orientation, lungs: ModelFile) -> None:
    segmenter = Segmenter(lungs)
    film = phantom(420, 360, seed=1, bits=16).film
    plain = segmenter(film)
    turned = segmenter(replace(film, pixels=laid_down(film.pixels, lies), orientation=lies))
    assert turned.measurements == plain.measurements
    for name, mask in plain.masks.items():
        np.testing.assert_array_equal(turned.masks[name], laid_down(mask, lies))


def test_half_of_the_eight_ways_are_mirror_images() -> None:
    marked: np.ndarray = np.arange(4).reshape(2, 2)
    turns = [np.rot90(marked, turn).tolist() for turn in range(4)]
    assert len({str(lies.upright(marked)) for lies in EIGHT_WAYS}) == 8
    for lies in EIGHT_WAYS:
        assert lies.mirrored == (lies.upright(marked).tolist() not in turns)


@pytest.mark.parametrize("value", [0, 4095, 65535])
@pytest.mark.parametrize("window", [None, (300.0, 3900.0)])
def test_padding_changes_nothing(value: int, window: tuple[float, float] | None, lungs: ModelFile) -> None:
    segmenter = Segmenter(lungs)
    film = replace(phantom(420, 360, seed=2, bits=16).film, window=window)
    around = padded(film, value, 20)
    plain, found = segmenter(film), segmenter(around)
    assert found.measurements == plain.measurements
    for name, mask in plain.masks.items():
        np.testing.assert_array_equal(found.masks[name][20:-20, 20:-20], mask)
        assert found.masks[name].sum() == mask.sum()
    np.testing.assert_array_equal(pixels.to_input(around, INPUT)[0], pixels.to_input(film, INPUT)[0])
    shown = pixels.to_grey8(around)
    np.testing.assert_array_equal(shown[20:-20, 20:-20], pixels.to_grey8(film))
    assert not shown[:20].any()
    assert not inverted(around).pixels[:20].any()


def test_a_film_that_is_all_padding_is_refused() -> None:
    with pytest.raises(InputError, match="padding"):
        Film(np.zeros((64, 64), np.uint8), padding=np.ones((64, 64), bool))


@pytest.mark.parametrize("lies", [Orientation(), Orientation(transposed=True, columns_reversed=True)], ids=str)
@pytest.mark.parametrize("aspect", [0.5, 2.0])
def test_the_network_sees_square_pixels(aspect: float, lies: Orientation, lungs: ModelFile) -> None:
    segmenter = Segmenter(lungs)
    film = phantom(840, 720, seed=3, bits=16).film
    size = (720, 420) if aspect == 2 else (360, 840)
    squashed = cv2.resize(film.pixels, size, interpolation=cv2.INTER_AREA)
    own = 1 / aspect if lies.transposed else aspect
    found = segmenter(replace(film, pixels=laid_down(squashed, lies), aspect=own, orientation=lies))
    plain = segmenter(film)
    for name, mask in plain.masks.items():
        assert found.masks[name].shape == laid_down(squashed, lies).shape
        upright = np.ascontiguousarray(lies.upright(found.masks[name])).view(np.uint8)
        large = cv2.resize(upright, (720, 840), interpolation=cv2.INTER_NEAREST) > 0
        assert dice(large, mask) > 0.99, name
    ratios = found.measurements.ratios, plain.measurements.ratios
    assert ratios[0]["cardiothoracic"] == pytest.approx(ratios[1]["cardiothoracic"], abs=0.003)


@pytest.mark.parametrize("axis", [0, 1])
def test_widths_and_ratios_are_the_same_on_finer_pixels(axis: int, lungs: ModelFile) -> None:
    segmenter = Segmenter(lungs)
    film = replace(phantom(420, 360, seed=3, bits=16).film, spacing_mm=(0.8, 0.8))
    finer = replace(film, pixels=film.pixels.repeat(2, axis), spacing_mm=(0.4, 0.8) if axis == 0 else (0.8, 0.4))
    plain, found = (
        segmenter(film).measurements,
        segmenter(replace(finer, aspect=0.5 if axis == 0 else 2.0)).measurements,
    )
    assert found.ratios["cardiothoracic"] == plain.ratios["cardiothoracic"]
    for name, width in plain.widths.items():
        assert found.widths[name].mm == width.mm
        assert abs(found.widths[name].pixels - width.pixels * (1 + axis)) <= 1


def test_a_film_that_grows_one_way_and_shrinks_the_other_is_averaged_where_it_shrinks() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (100, 500))
    grey, box = pixels.to_input(Film(stripes, aspect=10.0, window=(0, 255)), INPUT)
    assert box.height == box.width == 192
    assert abs(grey[box.content].astype(int) - 100).max() < 45


@pytest.mark.parametrize("aspect", [1e-6, 1e6])
def test_pixels_of_no_height_or_width_are_seen_all_the_same(aspect: float) -> None:
    grey, _ = pixels.to_input(replace(phantom(300, 260, seed=0).film, aspect=aspect), INPUT)
    assert grey.any()


def test_labels_are_laid_where_the_film_is() -> None:
    made = phantom(300, 260, seed=0)
    lies = Orientation(transposed=True, rows_reversed=True)
    _, plain = pixels.to_input(made.film, INPUT)
    labels = made.masks["right_lung"].astype(np.uint8)
    _, box = pixels.to_input(replace(made.film, pixels=laid_down(made.film.pixels, lies), orientation=lies), INPUT)
    np.testing.assert_array_equal(
        pixels.labels_to_input(laid_down(labels, lies)[..., None], box),
        pixels.labels_to_input(labels[..., None], plain),
    )
