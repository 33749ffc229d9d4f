"""Quantization-aware fine-tuning with TensorFlow Model Optimization (Jacob et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from edge_seg.errors import ModelError
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.progress import keras_verbosity

_WRAPPED = "quant_"  # prefix of the names of quantised layers
_BATCH = 8
_LOGIT_LIMIT = 8.0
_NARROWEST = 1e-3


def quantization_aware(model: Any) -> Any:
    """A copy of a legacy float model in which weights and activations go through fake quantisation."""
    return tfmot.quantization.keras.quantize_model(model)


def fine_tune(
    model: Any,
    batches: TrainingBatches,
    loss: Callable[[Any, Any], Any],
    epochs: int,
    learning_rate: float,
    quiet: bool = False,
    backup: Path | None = None,
) -> None:
    """Train a quantization-aware model in place; the learning rate falls to zero along a cosine.

    Args:
        model: from `quantization_aware`.
        batches: augmented films.
        loss: function of labels and logits, as returned by `losses.training_loss`.
        epochs: passes over the batches.
        learning_rate: Adam's initial learning rate.
        quiet: no progress bar.
        backup: folder for a checkpoint after each epoch; stopped fine-tuning resumes from the last one, and finished
            fine-tuning is not repeated. It stays.

    Raises:
        ModelError: the loss is no longer finite.
    """
    steps = epochs * len(batches)
    schedule = tf_keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(tf_keras.optimizers.Adam(schedule), loss=loss)
    # TensorFlow traces a step a second time if it creates variables.
    model.optimizer.build(model.trainable_variables)

    def endless() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # After a stop, continue with the films of the next epoch.
        batches.epoch = int(model.optimizer.iterations) // len(batches)
        while True:
            for index in range(len(batches)):
                yield batches[index]
            batches.on_epoch_end()

    films, labels = batches[0]
    stream = tf.data.Dataset.from_generator(
        endless,
        output_signature=(tf.TensorSpec(films.shape, tf.float32), tf.TensorSpec(labels.shape, tf.uint8)),
    ).prefetch(4)
    callbacks: list[Any] = [_RefuseNan(learning_rate)]
    if backup:
        callbacks.append(tf_keras.callbacks.BackupAndRestore(str(backup), delete_checkpoint=False))
    verbosity = keras_verbosity(quiet)
    model.fit(stream, epochs=epochs, steps_per_epoch=len(batches), verbose=verbosity, callbacks=callbacks)
    pin_input_range(model)


class _RefuseNan(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Stops before a checkpoint with NaN weights is written and hours are spent on it."""

    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self.learning_rate = learning_rate

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Raise if the loss is not finite: it is a running mean over the epoch, so it cannot recover."""
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            raise ModelError(
                f"fine-tuning: the loss is not a number any more: lower --learning-rate (now {self.learning_rate:g}), "
                "and look at the films with edge-seg check"
            )


def set_ranges(aware: Any, model: Any, films: np.ndarray) -> None:
    """Start from the ranges of the float model's activations; moving averages take thousands of steps to get there.

    TensorFlow Model Optimization starts with -6 to 6 everywhere, which leaves half of the codes after a ReLU unused.

    Args:
        aware: from `quantization_aware`.
        model: the float model it was made from.
        films: `(films, height, width, channels)` float32.
    """
    ranged = {layer.name.removeprefix(_WRAPPED): layer for layer in aware.layers if _range_of(layer)}
    names = [layer.name for layer in model.layers if layer.name in ranged]
    probe = tf_keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    found = []
    for start in range(0, len(films), _BATCH):
        outputs = tf.nest.flatten(probe(films[start : start + _BATCH], training=False))
        found.append([(float(tf.reduce_min(one)), float(tf.reduce_max(one))) for one in outputs])
    low, high = np.moveaxis(np.array(found).mean(axis=0), -1, 0)
    # Beyond the limit a probability is 0 or 1; finer steps near the outline are worth more.
    limit = np.array([_LOGIT_LIMIT if name.startswith("logits") else np.inf for name in names])
    for name, least, most in zip(names, np.maximum(np.minimum(low, 0), -limit), np.minimum(high, limit), strict=True):
        lowest, highest = _range_of(ranged[name])
        lowest.assign(float(least))
        highest.assign(float(max(most, least + _NARROWEST)))


def _range_of(layer: Any) -> list[Any]:
    """The variables that hold the lowest and highest value of a quantised layer's output, if it has any."""
    named = {variable.name.rpartition("/")[2].partition(":")[0]: variable for variable in layer.weights}
    return [named[key] for key in ("output_min", "output_max") if key in named]


def keep_batch_statistics(model: Any) -> None:
    """Keep the float run's moving means and variances during fine-tuning: a few films' would spoil them.

    All weights keep learning, to adapt to the quantisation.
    """
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            layer.trainable = False


def pin_input_range(model: Any) -> None:
    """Set the input's range to exactly [0, 1], so that the int8 input is the grey value minus 128.

    Films fill that range; the moving average ends slightly off it, and then every pixel is rounded.
    """
    for layer in model.layers:
        if layer.__class__.__name__ == "QuantizeLayer":
            for variable in layer.weights:
                if variable.name.split(":")[0].endswith("_min"):
                    variable.assign(tf.zeros_like(variable))
                elif variable.name.split(":")[0].endswith("_max"):
                    variable.assign(tf.ones_like(variable))
