"""The pixel path: geometry to the pixel, and the same bytes everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from edge_seg import Film, pixels
from edge_seg.phantom import phantom
from hypothesis import given, settings
from hypothesis import strategies as st

sides = st.integers(16, 700)
seeds = st.integers(0, 2**32 - 1)


@given(sides, sides, st.sampled_from([(192, 192), (64, 96), (160, 128)]))
def test_a_letterbox_fits_is_centred_and_keeps_the_aspect(height: int, width: int, shape: tuple[int, int]) -> None:
    box = pixels.Letterbox.fit((height, width), shape)
    assert box.height == shape[0] or box.width == shape[1]
    assert 0 <= box.top <= shape[0] - box.height
    assert abs((shape[0] - box.height) - 2 * box.top) <= 1
    assert abs((shape[1] - box.width) - 2 * box.left) <= 1
    scale = min(shape[0] / height, shape[1] / width)
    assert abs(box.height - max(1, height * scale)) <= 0.5 + 1e-9
    assert abs(box.width - max(1, width * scale)) <= 0.5 + 1e-9


@given(sides, sides, st.integers(1, 64), st.integers(1, 64), seeds)
@settings(max_examples=60, deadline=None)
def test_shrinking_averages_areas_exactly(height: int, width: int, to_height: int, to_width: int, seed: int) -> None:
    to_height, to_width = min(to_height, height), min(to_width, width)
    film = np.random.default_rng(seed).integers(0, 65536, (height, width)).astype(np.uint16)
    small = pixels._resample(film, to_height, to_width)
    assert small.shape == (to_height, to_width)
    assert small.mean() == pytest.approx(film.mean(), rel=0.15)
    constant = pixels._resample(np.full((height, width), 777, np.uint16), to_height, to_width)
    np.testing.assert_array_equal(constant, 777.0)


@given(st.integers(20, 90), st.integers(20, 90), st.floats(0.51, 1.0), seeds)
@settings(max_examples=40, deadline=None)
def test_shrinking_by_less_than_two_is_the_area_average(height: int, width: int, share: float, seed: int) -> None:
    film = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    to_height, to_width = max(1, int(height * share)), max(1, int(width * share))

    def weights(source: int, target: int) -> np.ndarray:
        low = np.arange(target)[:, None] * source / target
        overlap = np.minimum(low + source / target, np.arange(source) + 1) - np.maximum(low, np.arange(source))
        return np.maximum(overlap, 0) * target / source

    expected = weights(height, to_height) @ film @ weights(width, to_width).T
    np.testing.assert_allclose(pixels._resample(film, to_height, to_width), expected, atol=1e-6)


@given(st.integers(0, 40), st.integers(150, 420), st.integers(150, 420))
@settings(max_examples=12, deadline=None)
def test_masks_of_a_deep_film_of_any_shape_lie_where_they_should(seed: int, height: int, width: int) -> None:
    made = phantom(height, width, seed=seed, bits=16)
    names = list(made.masks)
    _, box = pixels.to_input(made.film, (192, 192))
    labels = np.stack([made.masks[name] for name in names], axis=2).astype(np.uint8)
    laid = pixels.labels_to_input(labels, box)
    logits = np.where(laid == 1, 8.0, -8.0).astype(np.float32)
    found = pixels.to_masks(logits, box, (0.5,) * 3)
    step = max(height, width) / 192  # one pixel of the network's input, in pixels of the film
    for mask, name in zip(found, names, strict=True):
        truth = made.masks[name]
        assert mask.shape == (height, width)
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.96
        for axis in (0, 1):
            centre = [np.average(np.arange(m.shape[axis]), weights=m.sum(axis=1 - axis)) for m in (mask, truth)]
            assert abs(centre[0] - centre[1]) < 0.5
            for end in (0, -1):
                edges = [np.flatnonzero(m.any(axis=1 - axis))[end] for m in (mask, truth)]
                # The tip of a costophrenic angle is thinner than a pixel of the input.
                assert abs(edges[0] - edges[1]) <= 4 * step


def test_a_square_of_known_corners_comes_back_to_the_pixel() -> None:
    film = np.zeros((768, 384), np.uint16)
    film[200:400, 100:240] = 60000
    _, box = pixels.to_input(Film(film), (192, 192))
    laid = pixels.labels_to_input((film > 0).astype(np.uint8)[:, :, None], box)
    mask = pixels.to_masks(np.where(laid == 1, 8.0, -8.0).astype(np.float32), box, (0.5,))[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (200, 400, 100, 240)


def test_a_window_decides_what_is_black_and_white() -> None:
    film = Film(np.arange(0, 4096, dtype=np.uint16).reshape(64, 64), window=(1000.0, 2000.0))
    grey = pixels.to_grey8(film)
    assert grey.ravel()[1000] == 0
    assert grey.ravel()[2000] == 255
    assert grey.ravel()[1500] in (127, 128)


def test_a_flat_film_does_not_divide_by_zero() -> None:
    grey, _ = pixels.to_input(Film(np.full((50, 60), 9, np.uint8)), (64, 64))
    assert grey.max() == 0


def test_a_few_hot_pixels_do_not_darken_a_film() -> None:
    made = phantom(256, 256, bits=16).film.pixels.copy()
    before = pixels.to_grey8(Film(made))
    made[10, 10:14] = 65535
    after = pixels.to_grey8(Film(made))
    assert np.abs(before.astype(int) - after).mean() < 1


def test_labels_are_ignored_where_the_film_does_not_reach_and_where_any_pixel_is() -> None:
    labels = np.ones((100, 50, 2), np.uint8)
    labels[:, :, 1] = pixels.IGNORE
    labels[40, 20, 0] = pixels.IGNORE
    box = pixels.Letterbox.fit((100, 50), (64, 64))
    laid = pixels.labels_to_input(labels, box)
    assert (laid[:, : box.left] == pixels.IGNORE).all()
    assert (laid[:, :, 1] == pixels.IGNORE).all()
    inside = laid[(*box.content, 0)]
    assert 1 <= (inside == pixels.IGNORE).sum() <= 4


@given(st.floats(0.001, 0.02), st.integers(-128, 127), st.floats(0, 0.5), st.floats(0.1, 2))
def test_the_quantised_input_table_is_within_half_a_step(scale: float, zero: int, mean: float, std: float) -> None:
    real = pixels.input_table(mean, std, None, 0)
    stored = pixels.input_table(mean, std, scale, zero)
    back = (stored.astype(np.float64) - zero) * scale
    inside = (stored > -128) & (stored < 127)
    assert stored.dtype == np.int8
    assert np.abs(back - real)[inside].max(initial=0) <= scale / 2 + 1e-6


def test_only_the_largest_piece_is_kept_when_asked() -> None:
    logits = np.full((64, 64, 1), -5, np.float32)
    logits[5:30, 5:30] = 5
    logits[50:55, 50:55] = 5
    box = pixels.Letterbox.fit((640, 640), (64, 64))
    both = pixels.to_masks(logits, box, (0.5,))
    one = pixels.to_masks(logits, box, (0.5,), single_component=True)
    assert both[0, 525, 525]
    assert not one[0, 525, 525]
    assert one[0, 150, 150]


def test_threshold_and_logit_agree() -> None:
    logits = np.full((64, 64, 1), np.log(0.7 / 0.3), np.float32)
    box = pixels.Letterbox.fit((64, 64), (64, 64))
    assert pixels.to_masks(logits, box, (0.69,)).all()
    assert not pixels.to_masks(logits, box, (0.71,)).any()
