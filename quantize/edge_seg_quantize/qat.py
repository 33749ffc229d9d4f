"""Quantization-aware fine-tuning with TensorFlow Model Optimization (Jacob et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.losses import LOSSES


def quantization_aware(model: Any) -> Any:
    """A copy of a legacy float model in which weights and activations go through fake quantisation."""
    return tfmot.quantization.keras.quantize_model(model)


def fine_tune(
    model: Any, batches: TrainingBatches, loss: str, epochs: int, learning_rate: float, quiet: bool = False
) -> None:
    """Train a quantization-aware model in place; the learning rate falls to zero along a cosine.

    Args:
        model: of `quantization_aware`.
        batches: augmented films.
        loss: a name of `losses.LOSSES`.
        epochs: passes over the batches.
        learning_rate: of Adam, at the start.
        quiet: no progress bar.
    """
    steps = epochs * len(batches)
    schedule = tf_keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(tf_keras.optimizers.Adam(schedule), loss=LOSSES[loss])

    def endless() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            for index in range(len(batches)):
                yield batches[index]
            batches.on_epoch_end()

    films, labels = batches[0]
    stream = tf.data.Dataset.from_generator(
        endless,
        output_signature=(tf.TensorSpec(films.shape, tf.float32), tf.TensorSpec(labels.shape, tf.uint8)),
    ).prefetch(4)
    model.fit(stream, epochs=epochs, steps_per_epoch=len(batches), verbose=0 if quiet else 1)
    pin_input_range(model)


def keep_batch_statistics(model: Any) -> None:
    """Use the float run's moving means and variances while fine-tuning: those of a few films would spoil them.

    All weights go on learning, to bear the quantisation.
    """
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            layer.trainable = False


def pin_input_range(model: Any) -> None:
    """Set the input's range to exactly [0, 1], so that the int8 input is the grey value minus 128.

    Films fill that range; the moving average ends a hair off it, and a hair off every pixel rounds.
    """
    for layer in model.layers:
        if layer.__class__.__name__ == "QuantizeLayer":
            for variable in layer.weights:
                if variable.name.split(":")[0].endswith("_min"):
                    variable.assign(tf.zeros_like(variable))
                elif variable.name.split(":")[0].endswith("_max"):
                    variable.assign(tf.ones_like(variable))
