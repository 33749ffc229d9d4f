"""Keras to TFLite at batch 1: float32, float16, dynamic range, post-training int8, and quantization-aware int8.

Converting a frozen concrete function of static shape, not the Keras model, keeps SHAPE, PACK and STRIDED_SLICE out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def to_float32(model: Any) -> bytes:
    """Flatbuffer in float32."""
    return _converter(model).convert()


def to_float16(model: Any) -> bytes:
    """Flatbuffer with weights in float16, each through a DEQUANTIZE; input, output and all between stay float32."""
    converter = _optimised(_converter(model))
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def to_dynamic_range(model: Any) -> bytes:
    """Flatbuffer with weights in int8 and activations in float32, quantised as they come where a kernel can.

    The converter leaves weights of fewer than 1,024 values in float32, and all biases.
    """
    return _optimised(_converter(model)).convert()


def to_int8_after_training(model: Any, representative: np.ndarray) -> bytes:
    """Flatbuffer in int8 with ranges measured on a representative data set (PTQ).

    Args:
        model: float model.
        representative: `(films, height, width, channels)` float32, as the network sees films.
    """
    converter = _int8(_converter(model))
    converter.representative_dataset = lambda: ([film[None]] for film in representative)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def to_int8(model: Any) -> bytes:
    """Flatbuffer in int8 of a model that learned its ranges in quantization-aware training (QAT)."""
    return _int8(_converter(model)).convert()


def _int8(converter: Any) -> Any:
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return _optimised(converter)


def _optimised(converter: Any) -> Any:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter


def _converter(model: Any) -> Any:
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="film")
    function = tf.function(lambda film: model(film, training=False)).get_concrete_function(spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(function)])
