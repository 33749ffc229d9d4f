"""Scores against hand-computed values."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from edge_seg.phantom import phantom
from edge_seg_data.scores import OutlineDistance, dice, intersection_over_union, outline_distance
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

masks = arrays.arrays(bool, (12, 9))


@given(masks, masks)
def test_dice_and_iou_tell_the_same_story(a: np.ndarray, b: np.ndarray) -> None:
    overlap, iou = dice(a, b), intersection_over_union(a, b)
    assert dice(b, a) == overlap
    assert 0 <= iou <= overlap <= 1
    assert overlap == pytest.approx(2 * iou / (1 + iou))


@given(masks, masks, masks)
def test_ignored_pixels_count_for_nothing(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> None:
    assert dice(a, b, valid) == dice(a & valid, np.where(valid, b, False))


def test_absent_structures_have_a_defined_score() -> None:
    nothing, something = np.zeros((6, 8), bool), np.ones((6, 8), bool)
    assert dice(nothing, nothing) == 1
    assert dice(nothing, something) == 0
    assert outline_distance(nothing, nothing) == OutlineDistance(0, 0)
    assert outline_distance(something, nothing) == OutlineDistance(10, 10)


@given(st.integers(0, 15))
def test_a_shifted_square_is_as_far_as_it_was_shifted(shift: int) -> None:
    a, b = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    a[20:40, 10:30] = True
    b[20:40, 10 + shift : 30 + shift] = True
    assert outline_distance(a, b).hd95 == pytest.approx(shift, abs=0.6)


def outline(mask: np.ndarray) -> list[tuple[int, int]]:
    padded = np.pad(mask, 1)
    inside = [padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(3) for x in range(3)]
    return [(int(y), int(x)) for y, x in np.argwhere(mask & ~np.all(inside, axis=0))]


@pytest.mark.slow
@given(masks, masks, masks)
def test_distances_are_those_from_each_outline_pixel_to_the_nearest(
    a: np.ndarray, b: np.ndarray, valid: np.ndarray
) -> None:
    found = outline_distance(a, b, valid)
    ours, theirs = outline(a & valid), outline(b & valid)
    if not ours or not theirs:
        assert found.hd95 == found.average == (0 if ours == theirs else np.hypot(12, 9))
        return
    there = [min(np.hypot(y - v, x - u) for v, u in theirs) for y, x in ours]
    back = [min(np.hypot(y - v, x - u) for v, u in ours) for y, x in theirs]
    assert found.average == pytest.approx(np.mean(there + back), abs=1e-4)
    assert found.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-4)


def test_distances_are_the_same_on_any_number_of_threads() -> None:
    truth = phantom(1024, 1000, seed=0).masks["right_lung"]
    threads, found = cv2.getNumThreads(), set()
    try:
        for count in (1, 2, 4):
            cv2.setNumThreads(count)
            found.add(outline_distance(truth, np.roll(truth, (5, 7), (0, 1))))
    finally:
        cv2.setNumThreads(threads)
    assert len(found) == 1
