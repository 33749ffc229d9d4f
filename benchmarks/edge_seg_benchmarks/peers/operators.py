"""Translates each TFLite operator to ONNX.

Sources: TensorFlow Lite's reference kernels (tensorflow/lite/kernels/internal/reference) and onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np
from edge_seg.errors import ModelError

from edge_seg_benchmarks.peers.graph import CHANNELS_FIRST, Bounds, GraphWriter, label
from edge_seg_benchmarks.peers.network import NetworkTensor, Step

Translation = Callable[[GraphWriter, Step], None]

_SAME = 0  # enum Padding of the schema
_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = range(4)  # enum ActivationFunctionType of the schema
_BOUNDS: dict[int, Bounds] = {_NONE: (None, None), _RELU: (0, None), _RELU_N1_TO_1: (-1, 1), _RELU6: (0, 6)}
_OUTPUT_FIRST = (0, 3, 1, 2)  # (out, height, width, in) to (out, in, height, width)
_LAST_FIRST = (3, 0, 1, 2)  # (1, height, width, out) to (out, 1, ...), and (out, height, width, in) to (in, out, ...)


def _convolution(order: tuple[int, ...]) -> Translation:
    def translate(writer: GraphWriter, step: Step) -> None:
        source, weights, options = _given(step, 0), _given(step, 1), step.options
        stored, kernel = source.dtype == "int8", weights.shape[1:3]
        strides, dilations = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
        name = writer.node(
            "Conv",
            [writer.real(source), writer.weights(weights, order, stored=stored), *_bias(writer, step, 2, stored)],
            label(step.outputs[0]),
            kernel_shape=kernel,
            strides=strides,
            dilations=dilations,
            group=source.shape[3] // weights.shape[order[1]],
            pads=_pads(options.padding, source.shape[1:3], kernel, strides, dilations),
        )
        _store_activated(writer, name, step)

    return translate


def _transposed_convolution(writer: GraphWriter, step: Step) -> None:
    weights, source, result, options = _given(step, 1), _given(step, 2), step.outputs[0], step.options
    kernel, strides = weights.shape[1:3], (options.strideH, options.strideW)
    surplus = [
        (n - 1) * stride + k - large
        for n, k, stride, large in zip(source.shape[1:3], kernel, strides, result.shape[1:3], strict=True)
    ]
    before = [max(n, 0) // 2 if options.padding == _SAME else 0 for n in surplus]
    name = writer.node(
        "ConvTranspose",
        # ONNX Runtime has no int8 kernel for it.
        [writer.real(source), writer.weights(weights, _LAST_FIRST, stored=False), *_bias(writer, step, 3, False)],
        label(result),
        kernel_shape=kernel,
        strides=strides,
        pads=before + [max(n, 0) - first for n, first in zip(surplus, before, strict=True)],
        output_padding=[max(-n, 0) for n in surplus],
    )
    _store_activated(writer, name, step)


def _max_pool(writer: GraphWriter, step: Step) -> None:
    source, options = _given(step, 0), step.options
    kernel, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    pads = _pads(options.padding, source.shape[1:3], kernel, strides, (1, 1))
    name = writer.node(
        "MaxPool", [writer.real(source)], label(step.outputs[0]), kernel_shape=kernel, strides=strides, pads=pads
    )
    _store_activated(writer, name, step)


def _add(writer: GraphWriter, step: Step) -> None:
    inputs = [writer.real(_given(step, index)) for index in (0, 1)]
    _store_activated(writer, writer.node("Add", inputs, label(step.outputs[0])), step)


def _concatenation(writer: GraphWriter, step: Step) -> None:
    inputs = [writer.real(_given(step, index)) for index in range(len(step.inputs))]
    axis = CHANNELS_FIRST.index(step.options.axis % 4)
    _store_activated(writer, writer.node("Concat", inputs, label(step.outputs[0]), axis=axis), step)


def _resize(mode: str) -> Translation:
    def translate(writer: GraphWriter, step: Step) -> None:
        options, result = step.options, step.outputs[0]
        places = "align_corners" if options.alignCorners else "half_pixel" if options.halfPixelCenters else "asymmetric"
        # TFLite's floor((x + 0.5) * scale) is (x + 0.5) * scale - 0.5 rounded, halves up.
        nearest = {"nearest_mode": "floor" if places == "asymmetric" else "round_prefer_ceil"}
        size = writer.constant(np.array([result.shape[i] for i in CHANNELS_FIRST], np.int64))
        name = writer.node(
            "Resize",
            [writer.real(_given(step, 0)), "", "", size],
            label(result),
            mode=mode,
            coordinate_transformation_mode=places,
            **(nearest if mode == "nearest" else {}),
        )
        writer.store(name, result)

    return translate


def _pad(writer: GraphWriter, step: Step) -> None:
    amounts = writer.values(_given(step, 1))
    if amounts is None:
        raise ModelError(f"{label(step.outputs[0])} has computed padding, which cannot be translated to ONNX")
    pads = writer.constant(amounts.astype(np.int64)[list(CHANNELS_FIRST)].T.ravel())
    writer.store(writer.node("Pad", [writer.real(_given(step, 0)), pads], label(step.outputs[0])), step.outputs[0])


def _requantise(writer: GraphWriter, step: Step) -> None:
    """QUANTIZE and DEQUANTIZE: `real` and `store` convert to and from real numbers."""
    source, result = _given(step, 0), step.outputs[0]
    values = writer.values(source)
    if values is not None and result.dtype == "float32":
        writer.fold(result, values.astype(np.float32))
    else:
        writer.store(writer.real(source), result)


def _activation(function: int) -> Translation:
    def translate(writer: GraphWriter, step: Step) -> None:
        writer.store(writer.real(_given(step, 0)), step.outputs[0], _BOUNDS[function])

    return translate


def _logistic(writer: GraphWriter, step: Step) -> None:
    writer.store(writer.node("Sigmoid", [writer.real(_given(step, 0))], label(step.outputs[0])), step.outputs[0])


def _softmax(writer: GraphWriter, step: Step) -> None:
    name, result = writer.real(_given(step, 0)), step.outputs[0]
    if step.options.beta != 1:
        name = writer.node("Mul", [name, writer.constant(np.float32(step.options.beta))], label(result))
    writer.store(writer.node("Softmax", [name], label(result), axis=1), result)


def _given(step: Step, index: int) -> NetworkTensor:
    """A required input of an operator."""
    tensor = step.inputs[index] if index < len(step.inputs) else None
    if tensor is None:
        raise ModelError(f"{step.kind} lacks its input {index}: make the model again")
    return tensor


def _bias(writer: GraphWriter, step: Step, index: int, stored: bool) -> list[str]:
    tensor = step.inputs[index] if index < len(step.inputs) else None
    return [] if tensor is None else [writer.weights(tensor, (0,), stored=stored)]


def _pads(padding: int, size: Any, kernel: Any, strides: Any, dilations: Any) -> Sequence[int]:
    """`[top, left, bottom, right]`; SAME puts the odd pixel at the end (tensorflow.org, `tf.nn.convolution`)."""
    if padding != _SAME:
        return [0, 0, 0, 0]
    surplus = [
        max((ceil(n / stride) - 1) * stride + (k - 1) * dilation + 1 - n, 0)
        for n, k, stride, dilation in zip(size, kernel, strides, dilations, strict=True)
    ]
    return [n // 2 for n in surplus] + [n - n // 2 for n in surplus]


def _store_activated(writer: GraphWriter, name: str, step: Step) -> None:
    function = step.options.fusedActivationFunction
    if function not in _BOUNDS:
        raise ModelError(
            f"activation {function} of {step.kind} cannot be translated to ONNX: build the network without it"
        )
    writer.store(name, step.outputs[0], _BOUNDS[function])


TRANSLATIONS: dict[str, Translation] = {
    "ADD": _add,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution(_OUTPUT_FIRST),
    "DEPTHWISE_CONV_2D": _convolution(_LAST_FIRST),
    "DEQUANTIZE": _requantise,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": _max_pool,
    "PAD": _pad,
    "QUANTIZE": _requantise,
    "RELU": _activation(_RELU),
    "RELU6": _activation(_RELU6),
    "RESIZE_BILINEAR": _resize("linear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
    "SOFTMAX": _softmax,
    "TRANSPOSE_CONV": _transposed_convolution,
}
"""Translation of each operator, by its name in the schema."""
