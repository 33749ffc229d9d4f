"""Augmentation on the accelerator: the same changes as on the processor, compared with OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("keras")

from edge_seg.errors import UsageError
from edge_seg.phantom import phantom
from edge_seg.pixels import IGNORE
from edge_seg_train import accelerated
from edge_seg_train.accelerated import AcceleratedBatches, changes
from edge_seg_train.augmentation import NO_AUGMENTATION, Augmentation
from edge_seg_train.config import read_config
from edge_seg_train.drawing import Drawing
from edge_seg_train.history import finished_epochs
from edge_seg_train.packing import PackedFilms
from keras import ops

pytestmark = pytest.mark.training

SIDE = 64


def packed(count: int = 8) -> PackedFilms:
    made = [phantom(SIDE, SIDE, seed=i) for i in range(count)]
    labels = np.stack([np.stack(list(m.masks.values()), axis=2).astype(np.uint8) for m in made])
    labels[0, :, :, 3] = IGNORE
    grey = np.stack([m.film.pixels for m in made])
    return PackedFilms(grey, labels, tuple(map(str, range(count))), np.zeros(count, np.int64), np.ones(count, bool))


def batches(strength: Augmentation, films: PackedFilms | None = None) -> AcceleratedBatches:
    return AcceleratedBatches(Drawing(films or packed(), 8, 2, strength))


def film(result: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(result))


def test_without_strength_films_and_labels_stay_as_they_are() -> None:
    films = packed()
    made = batches(NO_AUGMENTATION, films)
    x, y = made[0]
    chosen = made.drawing.chosen(0, 0)
    assert x.shape == (8, SIDE, SIDE, 1)
    np.testing.assert_array_equal(np.rint(film(x)[..., 0] * 255), films.grey[chosen])
    np.testing.assert_array_equal(film(y), films.labels[chosen])


def test_films_that_blocks_of_eight_do_not_fill_are_refused() -> None:
    films = packed()
    with pytest.raises(UsageError, match="multiples of 8: choose another --size"):
        batches(NO_AUGMENTATION, replace(films, grey=films.grey[:, :60], labels=films.labels[:, :60]))


def test_any_number_of_structures_can_be_outlined() -> None:
    films = packed()
    made = batches(replace(NO_AUGMENTATION, opacity=1.0), replace(films, labels=np.repeat(films.labels, 6, axis=3)))
    assert made[0][1].shape == (8, SIDE, SIDE, 24)


def test_a_batch_is_a_function_of_seed_epoch_and_step() -> None:
    strong = replace(Augmentation(), opacity=0.5)
    first, second = batches(strong), batches(strong)
    np.testing.assert_array_equal(film(first[1][0]), film(second[1][0]))
    assert not np.array_equal(film(first[0][0]), film(first[1][0]))
    before = film(first[1][0])
    first.on_epoch_end()
    assert not np.array_equal(before, film(first[1][0]))


def test_films_move_as_opencv_moves_them_and_labels_with_them() -> None:
    moving = replace(NO_AUGMENTATION, rotation=15, scale=0.18, stretch=0.1, shift=0.08, bend=0.02)
    films = packed()
    drawn = changes(moving, films.aspect_known, (SIDE, SIDE), 4, np.random.default_rng(3))
    moved, labels = accelerated._moved(films.grey, films.labels, drawn)
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    for k in range(len(films)):
        at = []
        for axis in (0, 1):
            straight = drawn["back"][k, axis, 0] * columns + drawn["back"][k, axis, 1] * rows + drawn["origin"][k, axis]
            at.append(straight + cv2.resize(drawn["bent"][k, axis], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))
        across, down = (place.astype(np.float32) for place in at)
        expected = cv2.remap(films.grey[k].astype(np.float32), across, down, cv2.INTER_LINEAR, borderValue=0)
        # OpenCV rounds positions to 32nds of a pixel, and fades out over one pixel beyond the edge.
        inside = (across >= 0) & (across <= SIDE - 1) & (down >= 0) & (down <= SIDE - 1)
        difference = np.abs(film(moved)[k] * 255 - expected)[inside]
        assert difference.mean() < 0.5
        nearest = cv2.remap(films.labels[k][..., :3], across, down, cv2.INTER_NEAREST, borderValue=0)
        assert (film(labels)[k][..., :3] != nearest).mean() < 0.01
    np.testing.assert_array_equal(film(labels)[0, :, :, 3], IGNORE)
    beyond = np.nonzero(film(moved)[1] == 0)
    assert (film(labels)[1][beyond][:, :3] != IGNORE).all()


@pytest.mark.parametrize("deviation", [0.5, 1.2])
def test_blur_is_that_of_opencv(deviation: float) -> None:
    grey = packed(1).grey.astype(np.float32)
    blurred = film(accelerated._blurred(grey, np.array([deviation], np.float32), 5))[0]
    expected = cv2.GaussianBlur(grey[0], (11, 11), deviation, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(blurred, expected, atol=0.05)


@pytest.mark.parametrize("quality", [10, 45, 60])
def test_compression_loses_what_jpeg_loses(quality: int) -> None:
    grey = packed(1).grey
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    drawn = {"compress": np.ones(1, np.float32), "compress_scale": np.array([scale], np.float32)}
    found = film(accelerated._compressed(grey.astype(np.float32) / 255, drawn))[0] * 255
    _, data = cv2.imencode(".jpg", grey[0], [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32)
    assert np.abs(np.clip(found, 0, 255) - expected).mean() < 0.6
    assert np.abs(found - grey[0]).mean() > 0.5


def test_equalisation_spreads_greys_and_no_share_of_it_leaves_them() -> None:
    dull = (0.4 + 0.1 * packed(2).grey / 255).astype(np.float32)
    drawn = {
        "equalise": np.array([1, 0], np.float32),
        "equalise_clip": np.full(2, 6, np.float32),
        "equalise_whole": np.ones(2, np.float32),
    }
    found = film(accelerated._equalised(dull, drawn))
    assert np.ptp(found[0]) > 5 * np.ptp(dull[0])
    np.testing.assert_allclose(found[1], dull[1], atol=1e-6)


def test_opacities_whiten_what_is_outlined_and_nothing_else() -> None:
    films = packed()
    white = replace(NO_AUGMENTATION, opacity=1.0)
    made = batches(white, replace(films, labels=films.labels[..., :2]))
    x = film(made[0][0])[..., 0]
    before = films.grey[made.drawing.chosen(0, 0)] / 255
    lungs = (film(made[0][1]) == 1).any(axis=3)
    brighter = x - before
    assert (brighter > -0.01).all()
    assert all(one[inside].max() > 0.05 for one, inside in zip(brighter, lungs, strict=True))
    far = np.stack([cv2.dilate(inside.astype(np.uint8), np.ones((29, 29))) == 0 for inside in lungs])
    assert np.abs(brighter[far]).max() < 0.02


def test_a_coarser_film_has_lost_its_details_and_keeps_its_greys() -> None:
    rng = np.random.default_rng(0)
    fine = rng.random((2, SIDE, SIDE)).astype(np.float32)
    found = film(accelerated._coarsened(fine, np.array([0.4, 1.0], np.float32)))
    assert found[0].std() < 0.6 * fine[0].std()
    assert abs(found[0].mean() - fine[0].mean()) < 0.02
    np.testing.assert_array_equal(found[1], fine[1])


def test_films_look_like_those_of_the_processor() -> None:
    films = packed(8)
    drawing = Drawing(films, 8, 8, replace(Augmentation(), opacity=0.25))
    made = AcceleratedBatches(drawing)
    there = np.concatenate([film(made[i][0])[..., 0] for i in range(8)])
    here = np.concatenate([drawing(0, i)[0] for i in range(8)]) / 255
    assert there.min() >= 0
    assert there.max() <= 1
    assert abs(there.mean() - here.mean()) < 0.06
    assert abs(there.std() - here.std()) < 0.06


@pytest.mark.slow
def test_a_run_trains_with_films_changed_on_the_accelerator(
    chests: Path, tmp_path: Path, edge_seg: Callable[..., tuple[int, str]]
) -> None:
    run = tmp_path / "run"
    words = ("train", chests, "--network", "tiny", "--epochs", 2, "--films-per-epoch", 32, "--batch-size", 4)
    code, said = edge_seg(*words, "--augment-on", "accelerator", "--picture-every", 0, "--out", run)
    assert code == 0, said
    assert finished_epochs(run) == 2
    assert read_config(run)[0].augment_on == "accelerator"
