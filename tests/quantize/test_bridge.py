"""The bridge between the two Kerases holds for every network we offer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_optimization")

from edge_seg.errors import InputError
from edge_seg_quantize.legacy import keras, load_run, to_legacy
from edge_seg_train.config import TrainConfig
from edge_seg_train.network import PRESETS, build

pytestmark = pytest.mark.training


@pytest.mark.parametrize("preset", list(PRESETS))
def test_outputs_agree_on_both_sides_of_the_bridge(preset: str) -> None:
    config = replace(PRESETS[preset], height=64, width=64, base=min(PRESETS[preset].base, 8))
    model = build(keras, config)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([np.abs(w) * 0 + rng.uniform(0.1, 0.5, w.shape) for w in layer.get_weights()])
    films = rng.random((2, 64, 64, config.channels), np.float32)
    ours, theirs = model(films, training=False), to_legacy(model, config)(films, training=False)
    scale = float(np.abs(np.asarray(ours)).max())
    np.testing.assert_allclose(np.asarray(theirs) / scale, np.asarray(ours) / scale, atol=1e-5)


def test_a_run_without_weights_is_refused(tmp_path) -> None:
    config = TrainConfig(("x",), ("lung",), PRESETS["tiny"])
    with pytest.raises(InputError, match="no weights"):
        load_run(tmp_path, config)
