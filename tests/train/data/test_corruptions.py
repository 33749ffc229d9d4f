"""Corruptions: repeatable, graded, and outlines go where the anatomy goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from edge_seg import Film
from edge_seg.phantom import phantom
from edge_seg.pixels import IGNORE
from edge_seg_data.corruptions import CORRUPTIONS, SEVERITIES, Corruption
from edge_seg_data.scores import dice


def chest() -> tuple[Film, dict[str, np.ndarray]]:
    made = phantom(240, 220, seed=4, bits=16)
    return made.film, {name: mask.astype(np.uint8) for name, mask in made.masks.items()}


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.name)
def test_the_same_seed_gives_the_same_film_and_more_severe_is_further_away(corruption: Corruption) -> None:
    film, outlines = chest()
    clean = phantom(240, 220, seed=4, bits=8).film.pixels.astype(float)
    distance = []
    for severity in SEVERITIES:
        one, planes = corruption(film, outlines, severity, seed=7)
        two, _ = corruption(film, outlines, severity, seed=7)
        np.testing.assert_array_equal(one.pixels, two.pixels)
        assert one.pixels.dtype == np.uint8
        assert one.shape == (240, 220)
        assert {name: plane.shape for name, plane in planes.items()} == dict.fromkeys(outlines, (240, 220))
        found = [corruption(film, {}, severity, other)[0].pixels for other in range(8)]
        distance.append(np.mean([np.abs(pixels - clean).mean() for pixels in found]))
    assert distance == sorted(set(distance))


@pytest.mark.parametrize("name", ["rotation", "keystone"])
def test_outlines_move_with_the_anatomy(name: str) -> None:
    corruption = next(c for c in CORRUPTIONS if c.name == name)
    film, outlines = chest()
    # A film drawn from the outline, corrupted as a film, must match the corrupted outline.
    for structure, plane in outlines.items():
        drawn = replace(film, pixels=plane * np.uint8(255))
        moved, planes = corruption(drawn, {structure: plane}, 2)
        assert dice(planes[structure] == 1, moved.pixels > 90) > 0.97
        assert dice(plane == 1, planes[structure] == 1) < 0.99


def test_what_shutters_cover_is_nobodys_to_outline() -> None:
    collimation = next(c for c in CORRUPTIONS if c.name == "collimation")
    film, outlines = chest()
    changed, planes = collimation(film, outlines, 3)
    covered = planes["left_lung"] == IGNORE
    assert 0.05 < covered.mean() < 0.6
    assert not changed.pixels[covered].any()
    np.testing.assert_array_equal(planes["left_lung"][~covered], outlines["left_lung"][~covered])
