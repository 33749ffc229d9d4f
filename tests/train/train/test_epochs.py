"""What happens around each epoch: the weights that are kept are the moving average, where one is asked for."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg_train.epochs import average_in_place

pytestmark = pytest.mark.training


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_moving_average_takes_the_place_of_the_weights_under_either_precision(policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        adam = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=None)
        model.compile(adam, loss="mse")
        model.optimizer.build(model.trainable_variables)
        # Small targets, whose scaled loss float16 can hold.
        for _ in range(3):
            model.train_on_batch(np.ones((4, 2)), np.full((4, 1), 0.1))
    finally:
        keras.config.set_dtype_policy(before)
    own = model.get_weights()[0]
    with average_in_place(model):
        averaged = model.get_weights()[0]
    assert np.abs(averaged - own).min() > 1e-3
    np.testing.assert_array_equal(model.get_weights()[0], own)
