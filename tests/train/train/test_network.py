"""The networks: sizes, shapes, and layers that quantisation supports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg_train.losses import LOSSES
from edge_seg_train.network import PRESETS, NetworkConfig, build

pytestmark = pytest.mark.training


def test_the_seed_preset_is_the_seed() -> None:
    model = build(keras, PRESETS["seed"])
    assert model.count_params() == 31_055_297
    assert model.input_shape == (None, 512, 512, 3)
    assert model.output_shape == (None, 512, 512, 1)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("upsampling", ["bilinear", "transpose"])
def test_logits_have_the_inputs_size(preset: str, upsampling: str) -> None:
    config = replace(PRESETS[preset], height=64, width=96, base=4, outputs=5, upsampling=upsampling, dropout=0.1)
    model = build(keras, config)
    assert model.output_shape == (None, 64, 96, 5)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert kinds <= {
        "InputLayer", "Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "BatchNormalization", "ReLU", "MaxPooling2D",
        "UpSampling2D", "Concatenate", "Add", "Dropout",
    }  # fmt: skip


def test_no_transposed_convolution_is_normalised() -> None:
    model = build(keras, NetworkConfig(height=64, width=64, base=4, upsampling="transpose"))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert not isinstance(layer.input._keras_history.operation, keras.layers.Conv2DTranspose)


@pytest.mark.parametrize("wrong", [{"height": 100}, {"family": "magic"}])
def test_what_cannot_be_built_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"multiples|unknown"):
        build(keras, replace(PRESETS["lungs"], **wrong))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_weights_move_by_name_because_each_layer_has_its_own(preset: str) -> None:
    config = replace(PRESETS[preset], height=64, width=64, base=4)
    first, second = ([layer.name for layer in build(keras, config).layers] for _ in range(2))
    # Keras numbers generated names, so a second model's would differ.
    assert first == second
    assert len(set(first)) == len(first)


@pytest.mark.slow
def test_the_seed_network_learns() -> None:
    # Its weights are the same at any size, and a step at a quarter of its size takes a sixteenth of the time.
    model = build(keras, replace(PRESETS["seed"], height=128, width=128))
    model.compile(keras.optimizers.Adam(1e-5), loss=LOSSES["dice"])
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    films = rng.random((1, 128, 128, 3), np.float32)
    labels = (films[..., :1] > 0.5).astype(np.uint8)
    before = model.get_layer("down0_a").kernel.numpy().copy()
    assert 0 < float(model.train_on_batch(films, labels)) < 1
    assert np.abs(model.get_layer("down0_a").kernel.numpy() - before).max() > 0
