"""Keras to TFLite at batch 1: float32, float16, dynamic range, post-training int8, and quantization-aware int8.

Converting a frozen concrete function of static shape, not the Keras model, keeps SHAPE, PACK and STRIDED_SLICE out.

Every U-Net flatbuffer except the post-training int8 one has two outputs: the logits `(1, height, width, outputs)`, and
pooled features `(1, 1, 1, 2 * channels)`, the mean and maximum over the picture of each channel of the coarsest level.
The film gate and the estimate of Dice use the latter. They are added here, not to the network: they have no weights,
and training does not need them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from edge_seg.quiet import native_libraries_quiet
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

_BATCH = 8
_WRAPPED = "quant_"  # prefix of the names of quantised layers
_LEAST = 1e-3  # smallest range
_ROOM = 1.25  # headroom for pictures that are not films


@dataclass(frozen=True)
class PooledRanges:
    """Largest mean and largest maximum of a channel of the coarsest level; ReLU makes the smallest 0."""

    mean: float
    most: float


def pooled_ranges(model: Any, films: np.ndarray) -> PooledRanges:
    """The ranges on films, with headroom for other pictures.

    Args:
        model: float or quantization-aware model.
        films: `(films, height, width, channels)` float32, as the network sees them.
    """
    probe = type(model)(model.inputs, _coarsest(model))
    found = []
    for start in range(0, len(films), _BATCH):
        coarse = probe(films[start : start + _BATCH], training=False)
        found.append((float(tf.reduce_max(tf.reduce_mean(coarse, [1, 2]))), float(tf.reduce_max(coarse))))
    mean, most = np.array(found).max(axis=0)
    return PooledRanges(float(max(_ROOM * mean, _LEAST)), float(max(_ROOM * most, _LEAST)))


def to_float32(model: Any) -> bytes:
    """Flatbuffer in float32."""
    return _converted(_converter(model))


def to_float16(model: Any) -> bytes:
    """Flatbuffer with weights in float16, each through a DEQUANTIZE; input, output and activations stay float32."""
    converter = _optimised(_converter(model))
    converter.target_spec.supported_types = [tf.float16]
    return _converted(converter)


def to_dynamic_range(model: Any) -> bytes:
    """Flatbuffer with int8 weights and float32 activations, quantised on the fly where a kernel supports it.

    The converter leaves weights of fewer than 1,024 values in float32, and all biases.
    """
    return _converted(_optimised(_converter(model)))


def to_int8_after_training(model: Any, representative: np.ndarray) -> bytes:
    """Flatbuffer in int8 with ranges measured on a representative data set (PTQ), with the logits only.

    Pooled features would tie the ranges of three operators together, and the converter would then compute everything
    between them in float.

    Args:
        model: float model.
        representative: `(films, height, width, channels)` float32, as the network sees films.
    """
    converter = _int8(_frozen(lambda film: model(film, training=False), model))
    converter.representative_dataset = lambda: ([film[None]] for film in representative)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return _converted(converter)


def to_int8(model: Any, ranges: PooledRanges) -> bytes:
    """Flatbuffer in int8 of a model that learned its ranges in quantization-aware training (QAT).

    Args:
        model: quantization-aware model.
        ranges: of the pooled features, which take no part in training.
    """
    return _converted(_int8(_converter(model, ranges)))


def _converted(converter: Any) -> bytes:
    """Convert quietly: the converter's messages help no one, and failures raise."""
    with warnings.catch_warnings(), native_libraries_quiet():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected", UserWarning)
        return bytes(converter.convert())


def _int8(converter: Any) -> Any:
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return _optimised(converter)


def _optimised(converter: Any) -> Any:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter


def _converter(model: Any, ranges: PooledRanges | None = None) -> Any:
    coarsest = _coarsest(model)
    if coarsest is None:
        return _frozen(lambda film: model(film, training=False), model)
    both = type(model)(model.inputs, [model.outputs[0], coarsest])

    def network(film: Any) -> tuple[Any, Any]:
        logits, coarse = both(film, training=False)
        return logits, _pooled(coarse, ranges)

    return _frozen(network, model)


def _frozen(network: Callable[[Any], Any], model: Any) -> Any:
    """A converter for a function of one film of the model's size."""
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="film")
    function = tf.function(network).get_concrete_function(spec)
    # TensorFlow warns about this route, but the one it recommends leaves SHAPE and PACK in.
    logging.getLogger("absl").setLevel(logging.ERROR)
    return tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(function)])


def _coarsest(model: Any) -> Any:
    """The decoder's input: that of the first upsampling, at the coarsest level; `None` without one."""
    found = (layer.input for layer in model.layers if layer.name.removeprefix(_WRAPPED).startswith("up"))
    return next(found, None)


def _pooled(coarse: Any, ranges: PooledRanges | None) -> Any:
    """Mean and maximum of each channel, `(1, 1, 1, 2 * channels)`, using operators that an Edge TPU maps."""
    mean = tf.reduce_mean(coarse, [1, 2], keepdims=True)
    most = tf.nn.max_pool2d(coarse, coarse.shape[1:3], 1, "VALID")
    if ranges is None:
        return tf.concat([mean, most], axis=3)
    # Means are far smaller than maxima and would fill only a few codes of a shared scale, so each is quantised at its
    # own scale before both are brought to one.
    mean, most = _quantised(mean, ranges.mean), _quantised(most, ranges.most)
    return _quantised(
        tf.concat([_quantised(mean * (ranges.most / ranges.mean), ranges.most), most], axis=3), ranges.most
    )


def _quantised(values: Any, most: float) -> Any:
    return tf.quantization.fake_quant_with_min_max_args(values, 0, most)
