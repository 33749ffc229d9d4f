"""Converted networks against the Edge TPU's rules: those we offer obey them, the reference does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_optimization")

from edge_seg.inspection.edge_tpu_rules import EdgeTpuPrediction, predict_edge_tpu
from edge_seg.inspection.flatbuffer import read_graph
from edge_seg_quantize import convert
from edge_seg_quantize.legacy import keras
from edge_seg_train.network import PRESETS, NetworkConfig, build

pytestmark = pytest.mark.training


def predicted(config: NetworkConfig) -> EdgeTpuPrediction:
    rng = np.random.default_rng(0)
    films = rng.random((2, config.height, config.width, config.channels), np.float32)
    model = build(keras, config)
    for layer in model.layers:
        # A new layer's biases are 0, which the converter would leave out.
        layer.set_weights([w if w.any() else rng.uniform(0.1, 0.2, w.shape) for w in layer.get_weights()])
    flatbuffer = convert.to_int8_after_training(model, films)
    return predict_edge_tpu(read_graph(flatbuffer))


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"seed"}))
def test_what_we_offer_obeys_at_its_own_size(preset: str) -> None:
    # Narrow, because operators and picture sizes decide, not the number of channels.
    found = predicted(replace(PRESETS[preset], base=4, widest=8))
    assert found.reasons == ()
    assert found.streamed_bytes == 0


def test_the_seed_does_not_because_its_transposed_convolutions_have_a_bias() -> None:
    small = replace(PRESETS["seed"], height=64, width=64, base=4)
    found = predicted(small)
    assert not found.mapped
    assert len(found.reasons) == 1
    assert "TRANSPOSE_CONV has a bias" in found.reasons[0]
    assert found.reasons[0].endswith("(4 times)")
    assert predicted(replace(small, transpose_bias=False)).mapped
