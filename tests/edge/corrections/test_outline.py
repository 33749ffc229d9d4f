"""Masks to outlines and back: traced outlines fill to the same mask, with holes, and beyond the film."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from edge_seg import InputError
from edge_seg.corrections.outline import mask_of, rings_of
from edge_seg.phantom import phantom


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * int((one & other).sum()) / max(1, int(one.sum()) + int(other.sum()))


def test_what_is_traced_is_filled_again() -> None:
    for mask in phantom(450, 400, seed=1).masks.values():
        assert dice(mask_of(rings_of(mask > 0), mask.shape), mask > 0) > 0.9995


def test_a_hole_stays_a_hole_and_pieces_stay_apart() -> None:
    mask = np.zeros((200, 300), np.uint8)
    cv2.ellipse(mask, (150, 100), (80, 50), 0, 0, 360, 1, -1)
    cv2.circle(mask, (150, 100), 20, 0, -1)
    cv2.circle(mask, (30, 30), 12, 1, -1)
    mask[190, 290] = 1  # a speck too small to drag
    rings = rings_of(mask.view(bool))
    assert len(rings) == 3
    back = mask_of(rings, mask.shape)
    assert not back[190, 290]
    assert dice(back, mask.view(bool)) > 0.999


def test_a_pixel_belongs_to_the_outline_that_holds_its_centre() -> None:
    square = np.array([[1.4, 2.6], [5.4, 2.6], [5.4, 4.4], [1.4, 4.4]])
    wanted = np.zeros((8, 8), bool)
    wanted[3:4, 1:5] = True
    assert np.array_equal(mask_of([square], (8, 8)), wanted)
    assert np.array_equal(mask_of([square[::-1]], (8, 8)), wanted)


def test_what_lies_beyond_the_film_is_cut_off() -> None:
    around = np.array([[-50.0, -50], [60, -50], [60, 60], [-50, 60]])
    assert mask_of([around], (8, 10)).all()
    assert not mask_of([around + 500], (8, 10)).any()
    assert not mask_of([], (8, 10)).any()


def test_an_outline_without_end_is_refused_before_it_takes_the_memory() -> None:
    zigzag = np.tile(np.array([[0.0, -9e3], [9.0, 9e3]]), (4000, 1))
    with pytest.raises(InputError, match="fewer points"):
        mask_of([zigzag], (9000, 9000))
