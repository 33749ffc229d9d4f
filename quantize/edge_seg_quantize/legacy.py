"""The bridge to legacy Keras, which quantization-aware training needs.

Import this module before TensorFlow is imported anywhere: it chooses legacy Keras for TensorFlow Model Optimization and
the TensorFlow backend for Keras 3.
"""

from __future__ import annotations

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["KERAS_BACKEND"] = "tensorflow"
import edge_seg_train.quiet  # noqa: F401  # isort: skip  (before TensorFlow is imported)

from pathlib import Path
from typing import Any

import keras
import tf_keras
from edge_seg_train.checkpoint import load_best
from edge_seg_train.config import TrainConfig
from edge_seg_train.network import NetworkConfig, build
from edge_seg_train.pretrained import Pretrained, load_pretrained

OWN = "own"
"""Family of a network built elsewhere, see `own.adopt`."""


def copy_weights(source: Any, target: Any) -> None:
    """Copy weights by layer name from a Keras 3 model to a legacy one built from the same configuration."""
    for layer in target.layers:
        layer.set_weights(source.get_layer(layer.name).get_weights())


def to_legacy(model: Any, config: NetworkConfig) -> Any:
    """The legacy twin of a Keras 3 model that `build` made; their outputs agree to 1e-5."""
    twin = build(tf_keras, config)
    copy_weights(model, twin)
    return twin


def load_run(run: Path, config: TrainConfig) -> Any:
    """The best network of a training run, as a legacy model in float32.

    Raises:
        InputError: the run has no weights yet, or they cannot be read.
    """
    if config.network.family == OWN:
        from edge_seg_quantize.own import OWN_NAME, load_own  # which needs this module first

        return load_own(run / OWN_NAME).model
    keras.config.set_dtype_policy("float32")
    model = build(keras, config.network)
    load_best(model, run)
    return to_legacy(model, config.network)


def load_shipped(found: Pretrained) -> Any:
    """The network of the float weights that come with the trainer, as a legacy model in float32."""
    model = build(tf_keras, found.network)
    load_pretrained(model, found.outputs, found)
    return model
