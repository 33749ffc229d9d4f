"""The synthetic film: exact, repeatable, and laid out like a chest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_seg.phantom import write_dicom
from edge_seg.phantom.film import phantom
from edge_seg.sources import read_film
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.slow
@given(st.integers(0, 1000), st.integers(96, 400), st.integers(96, 400))
@settings(max_examples=15)
def test_every_chest_is_laid_out_as_a_chest(seed: int, height: int, width: int) -> None:
    made = phantom(height, width, seed=seed)
    right, left, heart = (made.masks[n] for n in ("right_lung", "left_lung", "cardiomediastinum"))
    centres = [np.average(np.arange(width), weights=m.sum(axis=0)) for m in (right, heart, left)]
    assert centres == sorted(centres)
    assert not (right & left).any()
    assert (heart & (right | left)).any()
    assert made.film.shape == (height, width)
    beside_the_heart = (right | left) & ~heart
    assert made.film.pixels[beside_the_heart].mean() < made.film.pixels[heart].mean() - 40


def test_the_same_arguments_give_the_same_film() -> None:
    first, second = phantom(200, 220, seed=3, phase=0.25), phantom(200, 220, seed=3, phase=0.25)
    np.testing.assert_array_equal(first.film.pixels, second.film.pixels)
    assert not np.array_equal(first.film.pixels, phantom(200, 220, seed=4, phase=0.25).film.pixels)


def test_breathing_out_makes_the_lungs_smaller_and_back_again() -> None:
    sizes = [int(phantom(300, 300, seed=1, phase=p).masks["right_lung"].sum()) for p in (0.0, 0.25, 0.5, 0.75)]
    assert sizes[0] > sizes[1] > sizes[2] < sizes[3]
    assert abs(sizes[1] - sizes[3]) < 0.01 * sizes[1]


def test_a_larger_film_has_the_same_chest() -> None:
    small, large = phantom(200, 200, seed=2), phantom(800, 800, seed=2)
    for name, mask in small.masks.items():
        assert large.masks[name].sum() / 16 == pytest.approx(mask.sum(), rel=0.03)


def test_sixteen_bits_show_the_same_film() -> None:
    shallow, deep = phantom(200, 200, seed=2), phantom(200, 200, seed=2, bits=16)
    assert deep.film.pixels.dtype == np.uint16
    assert np.abs(deep.film.pixels / 4095 - shallow.film.pixels / 255).max() < 0.01


@pytest.mark.parametrize("monochrome1", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_it_survives_dicom_in_either_polarity(tmp_path: Path, monochrome1: bool, bits: int) -> None:
    made = phantom(120, 140, seed=6, bits=bits)
    write_dicom(made, tmp_path / "film.dcm", monochrome1=monochrome1, spacing_mm=(0.3, 0.3))
    film = read_film(tmp_path / "film.dcm")
    low = int(made.film.pixels.min())
    np.testing.assert_array_equal(film.pixels.astype(int) - int(film.pixels.min()), made.film.pixels.astype(int) - low)
    assert film.spacing_mm == (0.3, 0.3)
    assert film.view == "PA"
