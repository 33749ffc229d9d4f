"""Quantization-aware fine-tuning resumes after a stop, unless its loss has become NaN."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_optimization")

import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)
import tensorflow as tf
import tf_keras
from edge_seg.errors import ModelError
from edge_seg_quantize import qat
from edge_seg_train.augmentation import NO_AUGMENTATION
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.drawing import Drawing
from edge_seg_train.losses import bce_loss
from edge_seg_train.network import PRESETS, build
from edge_seg_train.packing import PackedFilms

pytestmark = [pytest.mark.training, pytest.mark.slow]


class Stopped(TrainingBatches):
    """Batches that end the run in their second epoch, once."""

    left = 6

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        Stopped.left -= 1
        if Stopped.left == 0:
            raise KeyboardInterrupt
        return super().__getitem__(index)


@pytest.mark.usefixtures("uncompiled")
def test_fine_tuning_goes_on_after_its_last_epoch_and_stops_where_it_learns_nothing(tmp_path: Path) -> None:
    config = replace(PRESETS["tiny"], depth=1, height=32, width=32)
    shape = (8, config.height, config.width)
    chance = np.random.default_rng(0)
    films = PackedFilms(
        chance.integers(0, 255, shape, np.uint8),
        chance.integers(0, 2, (*shape, config.outputs), np.uint8),
        tuple(map(str, range(8))),
        np.zeros(8, np.int64),
        np.ones(8, bool),
    )

    def run(kind: type[TrainingBatches]) -> tuple[object, TrainingBatches]:
        batches = kind(Drawing(films, 4, 3, NO_AUGMENTATION), config.channels)
        model = qat.quantization_aware(build(tf_keras, config))
        qat.fine_tune(model, batches, bce_loss, 3, 1e-3, quiet=True, backup=tmp_path / "backup")
        return model, batches

    with pytest.raises(Exception):  # noqa: B017, PT011  (TensorFlow wraps what stops the generator)
        run(Stopped)
    assert list((tmp_path / "backup").iterdir())
    model, batches = run(TrainingBatches)
    assert int(model.optimizer.iterations) == 9  # type: ignore[attr-defined]
    assert batches.epoch >= 2
    # Its backup stays for a command that fails later on: another one has the result without training.
    again, _ = run(TrainingBatches)
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):  # type: ignore[attr-defined]
        np.testing.assert_array_equal(first, second)
    shutil.rmtree(tmp_path / "backup")

    def no_number(truth: object, logits: tf.Tensor) -> tf.Tensor:
        return float("nan") * tf.reduce_mean(logits)

    batches = TrainingBatches(Drawing(films, 4, 3, NO_AUGMENTATION), config.channels)
    with pytest.raises(ModelError, match=r"not a number any more: lower --learning-rate \(now 0\.001\)"):
        qat.fine_tune(model, batches, no_number, 3, 1e-3, quiet=True, backup=tmp_path / "backup")
    assert not list((tmp_path / "backup").glob("*"))
