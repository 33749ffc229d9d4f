"""Losses and metrics: known values, and no effect of pixels without a label."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg import pixels
from edge_seg.structures import regions
from edge_seg_data.scores import dice, intersection_over_union
from edge_seg_train.losses import LOSSES, bce_loss, dice_loss, region_parts, training_loss
from edge_seg_train.metrics import Overlap
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.training


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, (2, 8, 8, 3)).astype(np.uint8), rng.normal(0, 2, (2, 8, 8, 3)).astype(np.float32)


def test_known_values() -> None:
    labels = np.zeros((1, 4, 4, 1), np.uint8)
    labels[0, :2] = 1
    sure = np.where(labels == 1, 50.0, -50.0).astype(np.float32)
    assert float(dice_loss(labels, sure)[0]) == pytest.approx(0, abs=1e-6)
    assert float(bce_loss(labels, sure)[0]) == pytest.approx(0, abs=1e-6)
    assert float(bce_loss(labels, sure * 0)[0]) == pytest.approx(np.log(2), rel=1e-5)
    # 8 of 16 pixels true, all at probability one half: (2 * 4 + 1) / (8 + 8 + 1).
    assert float(dice_loss(labels, sure * 0)[0]) == pytest.approx(1 - 9 / 17, rel=1e-5)


@pytest.mark.parametrize("name", list(LOSSES))
@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_what_has_no_label_costs_nothing(name: str, seed: int) -> None:
    labels, logits = sample(seed)
    labels[:, :, :, 2] = 127
    labels[0, 3, 3, 0] = 127
    other = logits.copy()
    other[:, :, :, 2] += 5
    other[0, 3, 3, 0] -= 9
    loss = LOSSES[name]
    np.testing.assert_allclose(np.asarray(loss(labels, logits)), np.asarray(loss(labels, other)), rtol=1e-5)


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_softmax_is_scored_by_each_structures_probability(name: str) -> None:
    labels, _ = sample(3)
    labels = labels[..., :2] * np.array([1, 0], np.uint8)
    scores = np.random.default_rng(4).normal(0, 3, (2, 8, 8, 3)).astype(np.float32)
    shares = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    logits = np.log(shares / (1 - shares))[..., 1:]
    np.testing.assert_allclose(pixels.structure_logits(scores, "softmax"), logits, rtol=1e-4, atol=1e-4)
    loss = LOSSES[name]
    np.testing.assert_allclose(np.asarray(loss(labels, scores)), np.asarray(loss(labels, logits)), rtol=1e-4)
    on_scores, on_logits = Overlap("dice"), Overlap("dice")
    on_scores.update_state(labels, scores)
    on_logits.update_state(labels, logits)
    assert float(on_scores.result()) == pytest.approx(float(on_logits.result()))


def test_a_film_without_any_label_costs_nothing_at_all() -> None:
    labels, logits = sample(0)
    labels[:] = 127
    for loss in LOSSES.values():
        np.testing.assert_array_equal(np.asarray(loss(labels, logits)), 0)


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_metrics_agree_with_the_scores_of_the_benchmark(seed: int) -> None:
    labels, logits = sample(seed)
    labels[0, :2] = 127
    for kind, score in (("dice", dice), ("iou", intersection_over_union)):
        metric = Overlap(kind)
        metric.update_state(labels, logits)
        expected = np.mean(
            [
                score(labels[i, :, :, k] == 1, logits[i, :, :, k] > 0, labels[i, :, :, k] != 127)
                for i in range(2)
                for k in range(3)
            ]
        )
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


STRUCTURES = ("right_lung", "left_lung", "cardiomediastinum")
REGIONS = ("visible_lung", "visible_left_lung")


def test_a_derived_region_costs_what_its_probability_costs_and_nothing_where_it_has_no_label() -> None:
    labels, logits = sample(5)
    right, left, outside = (1 / (1 + np.exp(sign * logits[..., k])) for sign, k in ((-1, 0), (-1, 1), (1, 2)))
    p = np.stack([(1 - (1 - right) * (1 - left)) * outside, left * outside], axis=-1)
    planes = np.random.default_rng(6).integers(0, 2, (2, 8, 8, 2)).astype(np.uint8)
    planes[1, ..., 1] = 127
    unlabelled = np.full_like(labels, 127)
    loss = training_loss("bce", STRUCTURES, REGIONS)
    found = np.asarray(loss(np.concatenate([unlabelled, planes], -1), logits))
    cost = -np.log(np.where(planes == 1, p, 1 - p))
    np.testing.assert_allclose(found, [cost[0].mean(), cost[1, ..., 0].mean()], rtol=1e-4)
    both = np.concatenate([labels, np.full_like(planes, 127)], -1)
    np.testing.assert_allclose(np.asarray(loss(both, logits)), np.asarray(bce_loss(labels, logits)), rtol=1e-5)


def test_probabilities_behind_the_labels_add_their_loss_and_do_not_score() -> None:
    labels, logits = sample(8)
    there = np.random.default_rng(9).integers(0, 256, labels.shape).astype(np.uint8)
    both = np.concatenate([labels, there], -1)
    alone, taught = (np.asarray(training_loss("bce", STRUCTURES, (), 0.5)(y, logits)) for y in (labels, both))
    truth, p = there / 255, 1 / (1 + np.exp(-logits))
    cost = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean(axis=(1, 2, 3))
    shared = 1 - (2 * (truth * p).sum(axis=(1, 2)) + 1) / (truth.sum(axis=(1, 2)) + p.sum(axis=(1, 2)) + 1)
    np.testing.assert_allclose(taught - alone, 0.5 * (cost + shared.mean(axis=-1) / 2), rtol=1e-4)
    scores = [Overlap("dice", outlines=labels.shape[-1]) for _ in range(2)]
    scores[0].update_state(labels, logits)
    scores[1].update_state(both, logits)
    assert float(scores[0].result()) == float(scores[1].result())


def test_masks_of_derived_regions_are_those_of_the_device() -> None:
    labels, logits = sample(7)
    masks = {name: logits[..., k] > 0 for k, name in enumerate(STRUCTURES)}
    region = regions(masks)["visible_lung"]
    planes = np.concatenate([np.full_like(labels, 127), region[..., None].astype(np.uint8)], -1)
    metric = Overlap("dice", regions=region_parts(STRUCTURES, ("visible_lung",)))
    metric.update_state(planes, logits)
    assert float(metric.result()) == 1


def test_recall_and_precision() -> None:
    labels = np.zeros((1, 1, 4, 1), np.uint8)
    labels[0, 0, :2] = 1
    logits = np.array([1.0, -1, 1, 1], np.float32).reshape(1, 1, 4, 1)
    values = {}
    for kind in ("recall", "precision"):
        metric = Overlap(kind)
        metric.update_state(labels, logits)
        values[kind] = float(metric.result())
    assert values == {"recall": 0.5, "precision": pytest.approx(1 / 3)}


@pytest.mark.parametrize("name", list(LOSSES))
@given(seed=st.integers(0, 1000))
@settings(max_examples=5)
def test_nothing_is_learned_from_what_has_no_label(name: str, seed: int) -> None:
    tf = pytest.importorskip("tensorflow")
    labels, logits = sample(seed)
    labels[0, :, :, 2] = 127
    labels[1, 3, 3, 0] = 127
    x = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(LOSSES[name](labels, x))
    gradient = tape.gradient(loss, x).numpy()
    assert (gradient[labels == 127] == 0).all()
    assert (gradient[labels != 127] != 0).all()


def test_an_absent_structure_scores_1_where_nothing_is_found() -> None:
    labels = np.zeros((2, 4, 4, 1), np.uint8)
    logits = np.full(labels.shape, -1.0, np.float32)
    for kind in ("dice", "iou", "recall", "precision"):
        metric = Overlap(kind)
        metric.update_state(labels, logits)
        assert float(metric.result()) == 1
    logits[1] = 1
    metric = Overlap("dice")
    metric.update_state(labels, logits)
    assert float(metric.result()) == 0.5
