"""The side-marker reader learns from drawn letters, and from letters on their own side."""

from __future__ import annotations

import numpy as np
import pytest
from edge_seg.assessment.side_markers import PATCH, SideMarkers
from edge_seg_train.side_markers import NOTHING, L, R, draw, own_letters, reader_of


def dull(count: int = 4) -> list[np.ndarray]:
    chance = np.random.default_rng(3)
    return [chance.integers(60, 90, (200, 220), dtype=np.uint8) for _ in range(count)]


def test_what_is_drawn_is_found_again_and_named() -> None:
    made = draw(dull(), 300, np.random.default_rng(0))
    assert made.patches.shape == (len(made.kinds), PATCH, PATCH)
    assert {NOTHING, R, L} == set(made.kinds.tolist())
    assert (made.kinds != NOTHING).sum() > 100


def test_a_films_own_letter_is_learned_where_it_lies_on_its_side() -> None:
    sure = [np.array([-2.0, 3, -3]), np.array([-2.0, 3, -3]), np.array([3.0, -3, -3]), np.array([0.3, -3, 0.0])]
    patches = np.zeros((4, PATCH, PATCH), np.uint8)
    for number in range(4):
        patches[number].reshape(-1)[number] = 255
    weights = np.zeros((PATCH * PATCH, 3), np.float32)
    weights[:4] = sure
    reader = SideMarkers(((weights, np.zeros(3, np.float32)),))
    found = own_letters(reader, patches, np.array([True, False, True, True]))
    # An R on its side, one on the other side that is too likely an R to be called nothing, nothing, and a doubtful L.
    assert found.kinds.tolist() == [NOTHING, NOTHING, R, R, R]
    assert (found.patches[:2] == patches[2:]).all()
    assert (found.patches[2:] == patches[0]).all()


@pytest.mark.slow
@pytest.mark.training
def test_a_reader_that_learned_reads_letters_it_never_saw() -> None:
    reader = reader_of(dull(), 2_000)
    unseen = draw(dull(), 300, np.random.default_rng(9))
    read = reader.probabilities(unseen.patches).argmax(axis=1)
    assert (read == unseen.kinds).mean() > 0.8
