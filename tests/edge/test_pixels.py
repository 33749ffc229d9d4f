"""The pixel path: geometry to the pixel, and the same bytes everywhere."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from edge_seg import Film, pixels, resampling
from edge_seg.orientation import Orientation, Upright
from edge_seg.phantom import phantom
from hypothesis import example, given, settings
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


def area_weights(edges: np.ndarray, target: int) -> np.ndarray:
    """Share of each target pixel filled by each source cell, `(target, cells)`; float64."""
    source = edges[-1]
    low = np.arange(target)[:, None] * source / target
    overlap = np.minimum(low + source / target, edges[1:]) - np.maximum(low, edges[:-1])
    return np.maximum(overlap, 0) * target / source


@given(st.integers(20, 90), st.integers(20, 90), st.floats(0.26, 1.0), st.sampled_from([8, 16]), seeds)
@settings(max_examples=60)
def test_shrinking_to_more_than_a_quarter_is_the_area_average(
    height: int, width: int, share: float, bits: int, seed: int
) -> None:
    film = np.random.default_rng(seed).integers(0, 2**bits, (height, width)).astype(f"uint{bits}")
    to_height, to_width = int(np.ceil(height * share)), int(np.ceil(width * share))
    rows, columns = area_weights(np.arange(height + 1), to_height), area_weights(np.arange(width + 1), to_width)
    found = resampling.resample(film, to_height, to_width)
    np.testing.assert_allclose(found, rows @ film @ columns.T, rtol=1e-9, atol=1e-9)
    assert found.mean() == pytest.approx(film.mean(), rel=1e-9)


@given(sides, sides, st.integers(1, 64), st.integers(1, 64), seeds)
@settings(max_examples=60)
def test_shrinking_much_averages_blocks_first(
    height: int, width: int, to_height: int, to_width: int, seed: int
) -> None:
    to_height, to_width = min(to_height, height), min(to_width, width)
    film = np.random.default_rng(seed).integers(0, 65536, (height, width)).astype(np.uint16)

    def blocks(values: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
        k = max(1, min(len(values) // (2 * target), 256))
        edges = np.minimum(np.arange(-(-len(values) // k) + 1) * k, len(values))
        padded = np.pad(values, ((0, -len(values) % k), (0, 0)), mode="edge")
        return padded.reshape(-1, k, values.shape[1]).mean(axis=1), area_weights(edges, target)

    means, rows = blocks(film.astype(np.float64), to_height)
    means, columns = blocks(means.T, to_width)
    found = resampling.resample(film, to_height, to_width)
    np.testing.assert_allclose(found, rows @ means.T @ columns.T, rtol=1e-9)
    constant = resampling.resample(np.full((height, width), 777, np.uint16), to_height, to_width)
    np.testing.assert_array_equal(constant, 777.0)


def test_the_brightest_film_is_not_too_bright_to_be_shrunk_to_a_pixel() -> None:
    np.testing.assert_array_equal(resampling.resample(np.full((700, 1100), 65535, np.uint16), 1, 1), 65535.0)


# Whole numbers divisible by the block size (half of them, rounded down): there the blocks lose nothing.
whole = st.sampled_from([1, 2, 3, 4, 6, 8])


@given(whole, whole, st.integers(8, 40), st.integers(8, 40), seeds)
@settings(max_examples=40)
def test_shrinking_by_whole_numbers_is_the_mean_of_each_tile(
    down: int, across: int, height: int, width: int, seed: int
) -> None:
    film = np.random.default_rng(seed).integers(0, 65536, (height * down, width * across)).astype(np.uint16)
    found = resampling.resample(film, height, width)
    np.testing.assert_array_equal(found, film.reshape(height, down, width, across).sum(axis=(1, 3)) / (down * across))


def plain_area_average(film: np.ndarray, height: int, width: int) -> np.ndarray:
    """The definition in whole numbers: sums of blocks, then the part of each that a target pixel covers; float64."""

    def blocks(values: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray, int]:
        source = len(values)
        k = max(1, min(source // (2 * target), 256))
        edges = np.minimum(np.arange(-(-source // k) + 1) * k, source) * target
        low = np.arange(target)[:, None] * source
        overlap = np.minimum(low + source, edges[1:]) - np.maximum(low, edges[:-1])
        padded = np.pad(values, ((0, -source % k), (0, 0)), mode="edge")
        return padded.reshape(-1, k, values.shape[1]).sum(axis=1), np.maximum(overlap, 0), k

    sums, rows, down = blocks(film.astype(np.int64), height)
    sums, columns, across = blocks(sums.T, width)
    return (rows @ sums.T @ columns.T) / float(film.shape[0] * film.shape[1] * down * across)


@given(sides, sides, st.integers(1, 230), st.integers(1, 230), st.sampled_from([8, 16]), seeds)
@settings(max_examples=60)
def test_shrinking_is_the_definition_to_the_last_bit(
    height: int, width: int, to_height: int, to_width: int, bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    film = rng.integers(rng.choice([0, 2**bits - 2]), 2**bits, (height, width)).astype(f"uint{bits}")
    to_height, to_width = min(to_height, height), min(to_width, width)
    found = resampling.resample(film, to_height, to_width)
    np.testing.assert_array_equal(found, plain_area_average(film, to_height, to_width))


@pytest.mark.parametrize(("height", "width", "bits"), [(1900, 2311, 16), (2311, 1030, 8), (64, 9001, 16)])
def test_a_large_film_shrinks_by_the_definition_to_the_last_bit(height: int, width: int, bits: int) -> None:
    film = np.random.default_rng(height).integers(0, 2**bits, (height, width)).astype(f"uint{bits}")
    to_height, to_width = min(height, 192), 101
    found = resampling.resample(film, to_height, to_width)
    np.testing.assert_array_equal(found, plain_area_average(film, to_height, to_width))


def test_a_film_lies_in_memory_as_it_likes() -> None:
    plain = np.random.default_rng(0).integers(0, 65536, (500, 333)).astype(np.uint16)
    expected = [pixels.to_input(Film(plain, window=window), (64, 96))[0] for window in (None, (900.0, 50_000.0))]
    colour = np.repeat(plain[:, :, None], 3, axis=2)
    read_only = np.frombuffer(b"." + plain.tobytes(), np.uint16, offset=1).reshape(plain.shape)
    turned = np.ascontiguousarray(plain[::-1, ::-1])[::-1, ::-1]
    for laid in (np.asfortranarray(plain), colour[:, :, 1], read_only, turned):
        found = [pixels.to_input(Film(laid, window=window), (64, 96))[0] for window in (None, (900.0, 50_000.0))]
        np.testing.assert_array_equal(found, expected)


@given(st.integers(1, 3000), st.sampled_from([8, 16]), st.integers(1, 65536), seeds)
@example(500, 16, 65536, 0)  # 2.5 and 497.5: each is between two ranks
@settings(max_examples=100)
def test_black_and_white_are_the_values_of_the_nearest_rank(count: int, bits: int, levels: int, seed: int) -> None:
    sample = np.random.default_rng(seed).integers(0, min(levels, 2**bits), count).astype(f"uint{bits}")
    # Ties go to the even rank, as Python rounds fractions.
    ranks = [max(1, round(Fraction(count * share, 200))) for share in (1, 199)]
    found = pixels._closest_observations(sample[None], pixels.ROBUST_PERCENTILES)
    assert found == [float(np.sort(sample)[rank - 1]) for rank in ranks]


def plain_masks(
    logits: np.ndarray, box: pixels.Letterbox, thresholds: tuple[float, ...], single_component: bool
) -> np.ndarray:
    """Every plane upsampled as a whole, then thresholded."""
    masks = []
    for k, threshold in enumerate(thresholds):
        fixed = np.rint(np.clip(logits[(*box.content, k)], -31, 31) * np.float32(1024)).astype(np.int16)
        cut = round(float(np.log(threshold / (1 - threshold))) * 1024)
        count, pieces = cv2.connectedComponents((fixed > cut).astype(np.uint8), connectivity=4)
        if single_component and count > 2:
            largest = 1 + np.argmax(np.bincount(pieces.ravel())[1:])
            fixed = np.where((pieces == 0) | (pieces == largest), fixed, 2 * cut - fixed).astype(np.int16)
        enlarged = cv2.resize(fixed, box.film_shape[::-1], interpolation=cv2.INTER_LINEAR_EXACT)
        masks.append(enlarged > cut)
    return np.stack(masks)


@given(
    st.integers(16, 900),
    st.integers(16, 900),
    st.sampled_from([(192, 224), (64, 48)]),
    st.floats(0.3, 12),
    st.floats(-12, 12),
    st.tuples(*[st.sampled_from([0.5, 0.35, 0.7, 0.999])] * 2),
    st.booleans(),
    seeds,
)
@settings(max_examples=60)
def test_masks_are_those_of_enlarging_everything(
    height: int,
    width: int,
    shape: tuple[int, int],
    blur: float,
    level: float,
    thresholds: tuple[float, ...],
    single_component: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    # From noise, where every pixel is on an outline, to a few blobs that may reach the edges, or none at all.
    logits = np.stack([cv2.GaussianBlur(rng.normal(0, 3 * blur, shape), (0, 0), blur) for _ in thresholds], axis=2)
    logits = np.rint(logits * 12 + level).astype(np.float32) / 3
    box = pixels.Letterbox.fit((height, width), shape)
    found = pixels.to_masks(logits, box, thresholds, single_component)
    np.testing.assert_array_equal(found, plain_masks(logits, box, thresholds, single_component))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300), st.integers(1, 300), st.integers(1, 32000), seeds)
@settings(max_examples=150)
def test_enlarging_and_cutting_is_opencvs_to_the_pixel(
    height: int, width: int, to_height: int, to_width: int, reach: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.integers(-reach, reach + 1, (height, width)).astype(np.int16)
    # Few values above the cut, so that an error of one pixel in their bounding rectangle shows.
    plane[rng.random(plane.shape) < rng.choice([0, 0.9, 0.99])] = -reach
    cut = int(rng.choice([0, -1, 1, reach // 2, -reach, reach - 1, reach, 40_000]))
    mask = np.zeros((to_height, to_width), bool)
    resampling.enlarge_above(plane, cut, mask)
    enlarged = cv2.resize(plane, (to_width, to_height), interpolation=cv2.INTER_LINEAR_EXACT)
    np.testing.assert_array_equal(mask, enlarged > cut)


@pytest.mark.parametrize(("values", "cut", "above"), [((0, 1), 0, True), ((-1, 0), -1, True), ((0, 1), 1, False)])
def test_a_value_halfway_is_rounded_up(values: tuple[int, int], cut: int, above: bool) -> None:
    mask = np.zeros((1, 3), bool)
    resampling.enlarge_above(np.array([values], np.int16), cut, mask)
    assert mask[0, 1] == above


@pytest.mark.slow
def test_masks_of_a_large_film_are_those_of_enlarging_everything() -> None:
    made = phantom(2300, 1900, seed=3, bits=16)
    _, box = pixels.to_input(made.film, (192, 224))
    logits = np.concatenate([coverage_logits(truth, box) for truth in made.masks.values()], axis=2)
    thresholds = (0.5,) * len(made.masks)
    found = pixels.to_masks(logits, box, thresholds, single_component=True)
    assert found.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(found, plain_masks(logits, box, thresholds, single_component=True))


def coverage_logits(mask: np.ndarray, box: pixels.Letterbox) -> np.ndarray:
    """A perfect network's logits: how much of each input pixel the structure covers, -8 to 8."""
    share = resampling.resample(mask.astype(np.uint8) * np.uint8(200), box.height, box.width) / 200
    logits = np.full((*box.input_shape, 1), -8, np.float32)
    logits[(*box.content, 0)] = (share - 0.5) * 16
    return logits


def centre(mask: np.ndarray) -> np.ndarray:
    """Row and column of a mask's centre, in pixels of the film."""
    return np.array([np.average(np.arange(mask.shape[axis]), weights=mask.sum(axis=1 - axis)) for axis in (0, 1)])


def bounds(mask: np.ndarray) -> np.ndarray:
    """First and last row, first and last column of a mask."""
    return np.array([np.flatnonzero(mask.any(axis=1 - axis))[end] for axis in (0, 1) for end in (0, -1)])


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.slow
@given(seeds, st.integers(150, 700), st.integers(150, 700))
@settings(max_examples=15)
def test_masks_of_a_deep_film_of_any_shape_lie_where_they_should(seed: int, height: int, width: int) -> None:
    made = phantom(height, width, seed=seed, bits=16)
    _, box = pixels.to_input(made.film, (192, 192))
    step = max(height, width) / 192  # one pixel of the network's input, in pixels of the film
    for truth in made.masks.values():
        mask = pixels.to_masks(coverage_logits(truth, box), box, (0.5,))[0]
        assert mask.shape == (height, width)
        assert dice(mask, truth) > 0.99
        assert np.abs(centre(mask) - centre(truth)).max() < min(0.5, 0.1 * max(step, 1))
        # Only a tip thinner than two input pixels may be lost: the rest must be there.
        size = int(np.ceil(2 * step)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (size, size))
        thick = cv2.morphologyEx(truth.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
        outward, slack = np.array([-1, 1, -1, 1]), np.ceil(step)
        assert ((bounds(mask) - bounds(truth)) * outward <= slack).all()
        assert ((bounds(mask) - bounds(thick)) * outward >= -slack).all()


@pytest.mark.slow
@given(seeds, st.integers(150, 700), st.integers(150, 700))
@settings(max_examples=15)
def test_labels_laid_in_the_input_come_back_where_they_were(seed: int, height: int, width: int) -> None:
    made = phantom(height, width, seed=seed, bits=16)
    _, box = pixels.to_input(made.film, (192, 192))
    laid = pixels.labels_to_input(np.stack(list(made.masks.values()), axis=2).astype(np.uint8), box)
    found = pixels.to_masks(np.where(laid == 1, 8.0, -8.0).astype(np.float32), box, (0.5,) * len(made.masks))
    step = max(height, width) / 192
    for mask, truth in zip(found, made.masks.values(), strict=True):
        # Labels are binary for each input pixel, which costs a lung about 2 % of Dice at this size.
        assert dice(mask, truth) > 0.96
        assert np.abs(centre(mask) - centre(truth)).max() < 0.5 * max(step, 1)


@given(st.integers(150, 600), st.integers(150, 600), st.floats(0.15, 0.3), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=40)
def test_a_disc_comes_back_within_a_pixel(height: int, width: int, share: float, down: float, across: float) -> None:
    radius = share * min(height, width)
    row, column = (radius + 1 + place * (n - 2 * radius - 3) for place, n in ((down, height), (across, width)))
    y, x = np.mgrid[:height, :width]
    truth = (y - row) ** 2 + (x - column) ** 2 <= radius**2
    box = pixels.Letterbox.fit((height, width), (192, 192))
    mask = pixels.to_masks(coverage_logits(truth, box), box, (0.5,))[0]
    assert np.abs(bounds(mask) - bounds(truth)).max() <= 1
    assert np.abs(centre(mask) - centre(truth)).max() < 0.25


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


@pytest.mark.parametrize("shape", [(1001, 1237), (64, 47), (1500, 701)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_percentiles_of_a_film_of_square_pixels_are_those_of_every_so_many_rows_and_columns(
    shape: tuple[int, int], dtype: type
) -> None:
    film: np.ndarray = np.random.default_rng(shape[0]).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    stride = max(1, int(np.sqrt(film.size / 2**18)))
    taken = np.sort(film[::stride, ::stride], axis=None)
    ranks = [max(1, round(taken.size * share)) - 1 for share in (0.005, 0.995)]
    assert pixels.value_range(Film(film)) == tuple(taken[ranks])
    assert pixels.value_range(Film(film, aspect=1.0004)) == tuple(taken[ranks])


@pytest.mark.parametrize("shape", [(708, 628), (1024, 1007), (389, 440), (230, 260), (2000, 1700)])
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("lies", [Orientation(), Orientation(transposed=True, columns_reversed=True)], ids=str)
def test_rows_or_columns_that_are_each_there_several_times_change_no_bit_of_the_input(
    shape: tuple[int, int], times: int, axis: int, lies: Orientation
) -> None:
    # Hardly any value occurs twice, so other pixels would give other percentiles.
    film = np.random.default_rng(shape[0]).permutation(np.arange(shape[0] * shape[1]) % 60_000).astype(np.uint16)
    plain = Film(film.reshape(shape), orientation=lies)
    finer = replace(plain, pixels=plain.pixels.repeat(times, axis), aspect=float(times) ** (2 * axis - 1))
    assert pixels.value_range(finer) == pixels.value_range(plain)
    seen = pixels.to_input(finer, (224, 224))[0]
    np.testing.assert_array_equal(seen, pixels.to_input(plain, (224, 224))[0])


@given(st.integers(1, 9), st.integers(1, 12), st.sampled_from([1, 2]), seeds)
def test_edges_are_where_a_row_of_straight_lines_is_first_and_last_above_zero(
    height: int, width: int, number: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    planes = [2 * rng.integers(-9, 9, (height, width), np.int32) + 1 for _ in range(number)]
    first, behind = resampling.edges_above_zero(planes)
    step = 1 / 512
    places = np.arange(step / 2, width, step)
    for row in range(height):
        lines = [np.interp(places, np.arange(width) + 0.5, plane[row]) for plane in planes]
        inside = places[np.min(lines, axis=0) > 0]
        if len(inside):
            assert (first[row], behind[row]) == pytest.approx((inside[0], inside[-1]), abs=step)
        elif np.isfinite(first[row]):
            assert behind[row] - first[row] <= step
        else:
            assert (first[row], behind[row]) == (np.inf, -np.inf)


@pytest.mark.parametrize("lies", [Orientation(), Orientation(transposed=True, columns_reversed=True)], ids=str)
@pytest.mark.parametrize("without", [None, 1])
def test_a_mask_reaches_as_far_as_its_outline_but_to_the_next_edge_of_a_pixel(
    lies: Orientation, without: int | None
) -> None:
    rng = np.random.default_rng(1)
    logits = cv2.GaussianBlur(rng.normal(0, 60, (192, 192, 2)).astype(np.float32), (0, 0), 9)
    film_shape = (700, 900) if lies.transposed else (900, 700)
    box = pixels.Letterbox.fit(film_shape, (192, 192), Upright((0, film_shape[0]), (0, film_shape[1]), lies))
    outlines = pixels.Outlines.of(logits, box, (0.5, 0.4), single_component=without is None)
    masks = outlines.masks()
    mask = lies.upright(masks[0] if without is None else masks[0] & ~masks[1])
    columns = np.flatnonzero(mask.any(axis=0))
    edges = outlines.edges(0, without)
    assert len(edges.first) == 192
    assert columns[0] == pytest.approx(edges.first.min(), abs=0.501)
    assert columns[-1] + 1 == pytest.approx(edges.behind.max(), abs=0.501)


@given(st.integers(0, 60_000), st.integers(1, 5_000), seeds)
@settings(max_examples=30)
def test_an_inverted_film_with_its_window_inverted_is_the_negative(low: int, width: int, seed: int) -> None:
    stored = np.random.default_rng(seed).integers(0, 65536, (40, 50)).astype(np.uint16)
    window = (float(low), float(low + width))
    grey = pixels.to_grey8(Film(stored, window=window))
    # MONOCHROME1: the source inverts the values and the window together.
    negative = pixels.to_grey8(Film(65535 - stored, window=(65535 - window[1], 65535 - window[0])))
    assert np.abs(255 - grey.astype(int) - negative).max() <= 1


def test_a_window_wins_over_what_the_film_holds_and_an_empty_one_is_no_division_by_zero() -> None:
    film = np.arange(2500, dtype=np.uint16).reshape(50, 50)
    assert pixels.value_range(Film(film, window=(100.0, 300.0))) == (100.0, 300.0)
    low, high = pixels.value_range(Film(film, window=(100.0, 100.0)))
    assert high > low
    low, high = pixels.value_range(Film(film))
    assert 0 <= low <= 25
    assert 2475 <= high <= 2499


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


@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.5, 0.9])
def test_a_smaller_piece_goes_however_sure_the_network_is_of_it(threshold: float) -> None:
    logits = np.full((32, 32, 1), -31.0, np.float32)
    logits[2:20, 2:20], logits[26:30, 26:30] = 31.0, 31.0
    (mask,) = pixels.to_masks(logits, pixels.Letterbox.fit((320, 320), (32, 32)), (threshold,), single_component=True)
    assert mask[100, 100]
    assert not mask[250:].any()


@pytest.mark.parametrize(("contrast", "brightness"), [(1.0, 0.5), (2.0, 1.0), (0.5, 1.5)])
def test_another_window_is_what_filters_of_a_browser_make_and_shows_what_was_cut_off(
    contrast: float, brightness: float
) -> None:
    values = np.linspace(0, 4000, 4096).round().astype(np.uint16).reshape(64, 64)
    film = Film(values, window=(1000.0, 2000.0))
    share = (values - 1000.0) / 1000.0
    wanted = 255 * np.clip((share * brightness - 0.5) * contrast + 0.5, 0, 1)
    assert np.abs(pixels.to_grey8(film, contrast, brightness).astype(float) - wanted).max() <= 1
    assert pixels.to_grey8(film)[values > 2100].min() == 255
    assert pixels.to_grey8(film, brightness=0.5)[(values > 2100) & (values < 2900)].max() < 255
