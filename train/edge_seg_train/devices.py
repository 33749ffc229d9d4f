"""Which devices a run uses: every visible GPU, or those that are named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def training_scope(devices: tuple[str, ...] = ()) -> Iterator[int]:
    """Scope in which a model is built and compiled to be trained on several devices; yields their number.

    Args:
        devices: names such as `GPU:0`, or `CPU:0` of several logical CPUs; empty means every visible GPU.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        names = list(devices) or [
            d.name.replace("/physical_device:", "") for d in tf.config.list_physical_devices("GPU")
        ]
        if len(names) > 1:
            with tf.distribute.MirroredStrategy(names).scope():
                yield len(names)
            return
    elif keras.backend.backend() == "jax":
        found = keras.distribution.list_devices()
        if len(found) > 1:
            keras.distribution.set_distribution(keras.distribution.DataParallel(devices=list(devices) or found))
            yield len(devices or found)
            keras.distribution.set_distribution(None)
            return
    yield 1
