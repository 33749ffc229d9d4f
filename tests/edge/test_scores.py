"""Scores against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from edge_seg.scores import dice, hausdorff95, intersection_over_union
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
    assert hausdorff95(nothing, nothing) == 0
    assert hausdorff95(something, nothing) == 10


@given(st.integers(0, 15))
def test_a_shifted_square_is_as_far_as_it_was_shifted(shift: int) -> None:
    a, b = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    a[20:40, 10:30] = True
    b[20:40, 10 + shift : 30 + shift] = True
    assert hausdorff95(a, b) == pytest.approx(shift, abs=0.6)
