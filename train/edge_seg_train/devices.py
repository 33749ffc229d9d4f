"""The devices a run uses: every visible GPU, or the ones named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from edge_seg.errors import UsageError
from edge_seg.hardware import usable_cores
from edge_seg.install import install_command


@contextmanager
def training_scope(devices: tuple[str, ...] = ()) -> Iterator[int]:
    """Scope in which a model is built, compiled and trained on the devices; yields their number.

    Args:
        devices: names such as `GPU:0` (JAX: `gpu:0`), or `CPU:0` of several logical CPUs; empty means every
            visible GPU.

    Raises:
        UsageError: no device has that name.
    """
    if keras.backend.backend() == "tensorflow":
        with _tensorflow_scope(devices) as count:
            yield count
    elif keras.backend.backend() == "jax":
        with _jax_scope(devices) as count:
            yield count
    else:
        yield 1


def describe_devices(devices: tuple[str, ...] = ()) -> str:
    """What a run trains on, as text: the GPUs by name, or the CPU and how to enable GPUs."""
    if devices:
        return ", ".join(devices)
    if keras.backend.backend() == "jax":
        return ", ".join(keras.distribution.list_devices())
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    if names:
        return f"GPU: {', '.join(names)}"
    return f"CPU, {usable_cores()} cores (for an NVIDIA GPU: {install_command('gpu')})"


@contextmanager
def _tensorflow_scope(devices: tuple[str, ...]) -> Iterator[int]:
    import tensorflow as tf

    there = [device.name.replace("/device:", "") for device in tf.config.list_logical_devices()]
    names = [name.upper() for name in devices] or [name for name in there if name.startswith("GPU")]
    _check(devices, names, there)
    if len(names) > 1:
        with tf.distribute.MirroredStrategy(names).scope():
            yield len(names)
    elif devices:
        with tf.distribute.OneDeviceStrategy(names[0]).scope():
            yield 1
    else:
        yield 1


@contextmanager
def _jax_scope(devices: tuple[str, ...]) -> Iterator[int]:
    there = keras.distribution.list_devices()
    names = [name.lower() for name in devices] or there
    _check(devices, names, there)
    if not devices and len(names) == 1:
        yield 1
        return
    before = keras.distribution.distribution()
    # Each process supplies its own rows.
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names, auto_shard_dataset=False))
    try:
        yield len(names)
    finally:
        keras.distribution.set_distribution(before)


def _check(asked: tuple[str, ...], names: list[str], there: list[str]) -> None:
    for given, name in zip(asked, names, strict=False):
        if name not in there:
            raise UsageError(f"there is no device {given}: choose from {', '.join(there)}")
