"""Augmentation, batches, learning rate: what a run sees, and that it is repeatable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("keras")

from edge_seg import pixels
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.phantom import phantom
from edge_seg_data import LabelledFilm, Outlines
from edge_seg_train import augmentation_operations as operations
from edge_seg_train.augmentation import NO_AUGMENTATION, Augmentation
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.config import TrainConfig
from edge_seg_train.drawing import Drawing, drawing_processes
from edge_seg_train.network import PRESETS
from edge_seg_train.packing import FilmsOnDemand, PackedFilms, lay, network_input, pack
from edge_seg_train.schedule import best_epoch, learning_rate, should_stop
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.training


def packed(count: int = 6) -> PackedFilms:
    made = [phantom(64, 64, seed=i) for i in range(count)]
    labels = [np.stack(list(m.masks.values()), axis=2).astype(np.uint8) for m in made]
    origin = np.array([0] + [1] * (count - 1))
    names = tuple(str(i) for i in range(count))
    return PackedFilms(np.stack([m.film.pixels for m in made]), np.stack(labels), names, origin, np.ones(count, bool))


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_outlines_move_with_the_film_and_sides_stay(seed: int) -> None:
    films = packed(1)
    rng = np.random.default_rng(seed)
    # Geometry only: the lungs must still be the dark parts, and the patient's right on the picture's left.
    still = replace(NO_AUGMENTATION, rotation=12, scale=0.18, stretch=0.1, shift=0.08)
    grey, labels = still(films.grey[0], films.labels[0], rng)
    assert (grey.shape, grey.dtype) == ((64, 64), np.uint8)
    assert (labels.shape, labels.dtype) == ((64, 64, 4), np.uint8)
    middles = [np.average(np.arange(64), weights=labels[:, :, k].sum(axis=0)) for k in range(2)]
    assert middles[0] < middles[1] - 8
    lungs = (labels[:, :, 0] | labels[:, :, 1]) & (1 - labels[:, :, 2])
    assert grey[lungs == 1].mean() < grey[labels[:, :, 2] == 1].mean() - 20


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_every_change_keeps_types_and_unlabelled_planes(seed: int) -> None:
    films = packed(1)
    labels = films.labels[0].copy()
    labels[:, :, 2] = pixels.IGNORE
    always = ("resolution", "compression", "equalisation", "collimation", "inversion", "marker", "tubes", "opacity")
    strong = replace(Augmentation(), **dict.fromkeys(always, 1.0))
    grey, moved = strong(films.grey[0], labels, np.random.default_rng(seed))
    assert grey.dtype == moved.dtype == np.uint8
    assert (moved[:, :, 2] == pixels.IGNORE).all()
    assert set(np.unique(moved[:, :, :2])) <= {0, 1}


def test_no_augmentation_changes_nothing() -> None:
    films = packed(1)
    grey, labels = NO_AUGMENTATION(films.grey[0], films.labels[0], np.random.default_rng(0))
    np.testing.assert_array_equal(grey, films.grey[0])
    np.testing.assert_array_equal(labels, films.labels[0])


def test_opacities_whiten_what_is_outlined_and_leave_the_outline() -> None:
    grey = np.full((64, 64), 40, np.uint8)
    grey[:, :10] = 200
    labels = np.zeros((64, 64, 2), np.uint8)
    labels[15:50, 15:50] = 1
    white = replace(NO_AUGMENTATION, opacity=1)
    changed = [white(grey, labels, np.random.default_rng(seed)) for seed in range(20)]
    for picture, outline in changed:
        np.testing.assert_array_equal(outline, labels)
        difference = picture.astype(int) - grey
        assert difference.min() >= -1
        assert picture.max() <= 200
        # The edge of a density is soft, and reaches a little beyond the outline.
        assert difference[15:50, 15:50].sum() > 0.7 * difference.sum()
        assert difference[22:43, 22:43].sum() > 0
    assert np.mean([(picture != grey).mean() for picture, _ in changed]) > 0.05


def test_bending_takes_film_and_outline_along() -> None:
    inside = np.zeros((96, 96), np.uint8)
    cv2.ellipse(inside, (48, 48), (30, 20), 0, 0, 360, 1, -1)
    bend = replace(NO_AUGMENTATION, bend=0.03)
    for seed in range(10):
        grey, labels = bend(inside * np.uint8(200), inside[:, :, None], np.random.default_rng(seed))
        assert (labels[:, :, 0] != inside).any()
        np.testing.assert_array_equal(labels[5:-5, 5:-5, 0][grey[5:-5, 5:-5] == 200], 1)
        np.testing.assert_array_equal(labels[5:-5, 5:-5, 0][grey[5:-5, 5:-5] == 0], 0)


def test_a_tone_curve_rises_from_black_to_white() -> None:
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    for seed in range(20):
        curve = operations.tone(ramp, 0.7, np.random.default_rng(seed)).ravel()
        assert (np.diff(curve) >= 0).all()
        assert (curve[0], curve[-1]) == (0, 1)


def test_regions_are_learned_from_the_outlines_they_derive_from() -> None:
    made = phantom(64, 60, seed=1)
    outlines = {name: mask.astype(np.uint8) for name, mask in made.masks.items()}
    film = LabelledFilm("one", "p", "train", lambda: (made.film, outlines))
    _, labels = lay(film, ("whole_lung", "visible_lung", "tumour"), (64, 64))
    _, given = lay(film, ("right_lung", "left_lung", "cardiomediastinum"), (64, 64))
    content = given[:, :, 0] != pixels.IGNORE
    whole = (given[:, :, 0] == 1) | (given[:, :, 1] == 1)
    np.testing.assert_array_equal(labels[:, :, 0][content], whole[content])
    assert ((labels[:, :, 1] == 1) & (given[:, :, 2] == 1)).mean() < 0.02
    assert (labels[:, :, 2] == pixels.IGNORE).all()


def test_a_batch_depends_on_seed_epoch_and_step_alone() -> None:
    first, second = (TrainingBatches(Drawing(packed(), 2, 3, Augmentation(), seed=5)) for _ in range(2))
    for _ in range(2):
        for step in (2, 0, 1):
            np.testing.assert_array_equal(first[step][0], second[step][0])
        first.on_epoch_end()
        second.on_epoch_end()
    resumed = TrainingBatches(Drawing(packed(), 2, 3, Augmentation(), seed=5))
    resumed.epoch = 2
    np.testing.assert_array_equal(resumed[1][0], first[1][0])
    assert not np.array_equal(first[0][0], first[1][0])


def test_processes_make_the_batches_that_one_process_makes() -> None:
    drawing = Drawing(packed(), 4, 3, replace(Augmentation(), opacity=0.5), shares=(1, 2), seed=3, outlines=2)
    with drawing_processes(drawing, 2) as pool:
        there = TrainingBatches(drawing, 1, pool)
        here = TrainingBatches(drawing, 1)
        for _ in range(2):
            for step in range(3):
                for one, other in zip(there[step], here[step], strict=True):
                    np.testing.assert_array_equal(one, other)
            there.on_epoch_end()
            here.on_epoch_end()


def test_planes_behind_the_outlines_move_with_them_and_whiten_nothing() -> None:
    films = packed(1)
    moving = replace(NO_AUGMENTATION, rotation=10, bend=0.01)
    both = np.concatenate([films.labels[0], films.labels[0] * 255], axis=2)
    _, labels = moving(films.grey[0], both, np.random.default_rng(1), outlines=4)
    np.testing.assert_array_equal(labels[..., :4] * 255, labels[..., 4:])
    nobody = np.full_like(films.labels[0], pixels.IGNORE)
    white = replace(NO_AUGMENTATION, opacity=1.0)
    planes = np.concatenate([nobody, films.labels[0]], axis=2)
    grey, _ = white(films.grey[0], planes, np.random.default_rng(1), outlines=4)
    np.testing.assert_array_equal(grey, films.grey[0])


@pytest.mark.parametrize(("balance", "share"), [(1.0, 1 / 6), (0.0, 1 / 2)])
def test_balance_draws_sets_as_it_says(balance: float, share: float) -> None:
    films = packed()
    drawn = films.origin[Drawing(films, 10, 60, NO_AUGMENTATION, balance)._epoch_order(0)]
    assert np.mean(drawn == 0) == pytest.approx(share, abs=0.01)


def test_the_network_sees_grey_from_0_to_1_in_every_channel() -> None:
    grey = np.array([[[0, 51, 255]]], np.uint8)
    seen = network_input(grey, 3)
    assert seen.shape == (1, 1, 3, 3)
    np.testing.assert_allclose(seen[0, 0, :, 2], [0, 0.2, 1], atol=1e-7)


def config(**changes: Any) -> TrainConfig:
    return replace(TrainConfig(("x",), ("lung",), PRESETS["tiny"], learning_rate=1.0, epochs=10), **changes)


def test_a_configuration_survives_its_file() -> None:
    import json

    full = config(devices=("CPU:0",), augmentation=NO_AUGMENTATION)
    assert TrainConfig.from_json(json.loads(json.dumps(full.to_json()))) == full


def test_the_plateau_falls_as_kerass_own_does() -> None:
    import keras

    losses = [1, 0.9, 0.91, 0.92, 0.93, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.7]
    theirs = keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=3, min_delta=1e-4)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0))
    theirs.set_model(model)
    theirs.on_train_begin()
    history: list[dict[str, float]] = []
    for epoch, loss in enumerate(losses):
        theirs.on_epoch_end(epoch, {"val_loss": loss})
        history.append({"loss": 1.0, "val_loss": loss})
        ours = learning_rate(config(schedule="plateau", plateau_patience=3), history)
        assert ours == pytest.approx(float(model.optimizer.learning_rate), rel=1e-5), epoch


def test_the_cosine_falls_from_the_start_to_the_floor() -> None:
    rates = [learning_rate(config(), [{"loss": 1.0}] * n) for n in range(11)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert rates[10] == pytest.approx(0.01)


def test_a_run_stops_when_dice_stands_still() -> None:
    rising = [{"val_dice": d} for d in (0.1, 0.5, 0.6)]
    still = [*rising, {"val_dice": 0.55}, {"val_dice": 0.6}]
    assert not should_stop(config(patience=2), rising)
    assert should_stop(config(patience=2), still)
    assert not should_stop(config(patience=0), still)
    assert best_epoch(still) == 4


def test_films_are_read_when_they_are_first_asked_for_and_no_sooner() -> None:
    read: list[int] = []

    def film(number: int) -> LabelledFilm:
        def once() -> tuple[Film, Outlines]:
            read.append(number)
            made = phantom(40, 44, seed=number)
            return made.film, {name: mask.astype(np.uint8) for name, mask in made.masks.items()}

        return LabelledFilm(str(number), str(number), "train", once)

    films = [film(number) for number in range(5)]
    structures, size = ("right_lung", "heart"), (64, 64)
    waiting = FilmsOnDemand([films[:2], films[2:]], structures, size)
    drawing = Drawing(waiting, 2, 2, NO_AUGMENTATION)
    assert read == []
    drawing(0, 0)
    assert len(set(read)) == len(read) == 2
    taken = waiting.take([3, 1, 3])
    assert len(read) == len(set(read)) <= 4
    whole = pack([films[:2], films[2:]], structures, size)
    for (grey, labels), index in zip(taken, (3, 1, 3), strict=True):
        np.testing.assert_array_equal(grey, whole.grey[index])
        np.testing.assert_array_equal(labels, whole.labels[index])
    assert whole.origin.tolist() == waiting.origin.tolist() == [0, 0, 1, 1, 1]


def test_a_film_that_turns_out_damaged_stops_the_run_or_teaches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def damaged() -> tuple[Film, Outlines]:
        raise InputError("f.png: the picture is damaged: copy it again")

    films = [[LabelledFilm("f", "p", "train", damaged)]]
    with pytest.raises(InputError, match=r"f\.png: .*--skip-bad"):
        pack(films, ("lung",), (32, 32))
    packed = pack(films, ("lung",), (32, 32), skip_bad=True)
    assert (packed.labels == pixels.IGNORE).all()
    assert "left out: f.png" in capsys.readouterr().err
