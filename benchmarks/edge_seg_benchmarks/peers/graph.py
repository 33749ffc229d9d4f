"""Writes an ONNX graph, tracking which of its values holds each tensor of a TFLite network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from edge_seg.errors import ModelError

from edge_seg_benchmarks.peers.network import NetworkTensor
from edge_seg_benchmarks.peers.packages import load_package

OPSET = 19
"""Version of ONNX's operators, of February 2023, which ONNX Runtime supports from 1.15 on."""

CHANNELS_FIRST = (0, 3, 1, 2)
"""Order of the dimensions of `(1, height, width, channels)` in ONNX."""

INPUT, OUTPUT = "film", "logits"
"""Names of the graph's input and output."""

Bounds = tuple[float | None, float | None]
"""Smallest and largest real number of a result; `None` for no limit."""

_IR_VERSION = 9  # the one that came with OPSET
_CHANNELS_LAST = (0, 2, 3, 1)
_UNSIGNED = 128  # added to int8


class GraphWriter:
    """Nodes of an ONNX graph, channels first.

    An int8 tensor is stored as uint8, 128 higher: on x86-64, ONNX Runtime has 8-bit kernels for no other type.

    Raises:
        DeviceError: `onnx` is not installed.
    """

    def __init__(self) -> None:
        self._onnx = load_package("onnx")
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}
        self._stored: dict[int, str] = {}
        self._folded: dict[int, np.ndarray] = {}

    def begin(self, tensor: NetworkTensor) -> None:
        """Add the network's input, channels last."""
        name = self.node("Transpose", [INPUT], INPUT, perm=CHANNELS_FIRST)
        if tensor.dtype == "int8":
            name = self.node("DequantizeLinear", [name, *self._scale(tensor)], INPUT)
        self.store(name, tensor)

    def finish(self, source: NetworkTensor, result: NetworkTensor, metadata: Mapping[str, str]) -> bytes:
        """The whole model, serialised, with the network's own input and output, channels last, and the metadata."""
        name = self.node("Transpose", [self._stored[result.index]], OUTPUT, perm=_CHANNELS_LAST)
        if result.dtype == "int8":
            name = self.node("DequantizeLinear", [name, *self._scale(result, _UNSIGNED)], OUTPUT)
            name = self.node("QuantizeLinear", [name, *self._scale(result)], OUTPUT)
        helper = self._onnx.helper
        self._nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self._nodes,
            "network",
            [self._value(INPUT, source)],
            [self._value(OUTPUT, result)],
            [self._onnx.numpy_helper.from_array(values, name) for name, values in self._constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        helper.set_model_props(model, dict(metadata))
        return bytes(model.SerializeToString())

    def node(self, kind: str, inputs: Sequence[str], label: str, **attributes: Any) -> str:
        """Add a node with one output, whose name starts with `label`; returns the output's name."""
        name = f"{label}:{kind}:{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, values: Any) -> str:
        """Add constant values; returns their name."""
        name = f"constant:{len(self._constants)}"
        self._constants[name] = np.asarray(values, order="C")
        return name

    def real(self, tensor: NetworkTensor) -> str:
        """Name of an image in real numbers, channels first.

        Raises:
            ModelError: it is a constant that is not an image.
        """
        values = self.values(tensor)
        if values is not None:
            if values.ndim > 4:
                raise _no_image(tensor)
            widened = values.reshape((1,) * (4 - values.ndim) + values.shape).transpose(CHANNELS_FIRST)
            return self.constant(widened)
        name = self._stored[tensor.index]
        if tensor.dtype == "int8":
            return self.node("DequantizeLinear", [name, *self._scale(tensor, _UNSIGNED)], label(tensor))
        return name

    def weights(self, tensor: NetworkTensor, order: tuple[int, ...], *, stored: bool) -> str:
        """Name of weights in real numbers, their dimensions in the order given.

        Args:
            tensor: the weights, or a bias.
            order: as for `numpy.transpose`.
            stored: keep them quantised in the graph, for an int8 kernel.

        Raises:
            ModelError: they are computed, not constant.
        """
        if not stored or tensor.quantisation is None or tensor.values is None:
            values = self.values(tensor)
            if values is None:
                raise ModelError(f"weights {label(tensor)} are computed, which cannot be translated to ONNX")
            return self.constant(values.transpose(order))
        name = self.constant(tensor.values.transpose(order))
        axis = order.index(tensor.quantisation.axis)
        return self.node("DequantizeLinear", [name, *self._scale(tensor)], label(tensor), axis=axis)

    def values(self, tensor: NetworkTensor) -> np.ndarray | None:
        """Real values of a constant tensor, or `None` for a computed one."""
        if tensor.index in self._folded or tensor.values is None:
            return self._folded.get(tensor.index)
        return tensor.quantisation.real(tensor.values) if tensor.quantisation else tensor.values

    def fold(self, tensor: NetworkTensor, values: np.ndarray) -> None:
        """Set the values of a tensor that an operator computes from constants only."""
        self._folded[tensor.index] = values

    def store(self, name: str, tensor: NetworkTensor, bounds: Bounds = (None, None)) -> None:
        """Store real numbers, channels first, as a tensor of the network.

        Raises:
            ModelError: the tensor is not an image, or neither float32 nor int8.
        """
        if len(tensor.shape) != 4:
            raise _no_image(tensor)
        if tensor.dtype == "float32":
            self._stored[tensor.index] = self._within(name, bounds, np.float32, label(tensor))
        elif tensor.dtype == "int8" and tensor.quantisation is not None:
            name = self.node("QuantizeLinear", [name, *self._scale(tensor, _UNSIGNED)], label(tensor))
            self._stored[tensor.index] = self._within(name, _codes(tensor, bounds), np.uint8, label(tensor))
        else:
            raise ModelError(f"{label(tensor)} is {tensor.dtype}: float32 and int8 can be translated to ONNX")

    def _within(self, name: str, bounds: Bounds, kind: type, label: str) -> str:
        # With Clip after QuantizeLinear, ONNX Runtime can still fuse the nodes before it to one int8 kernel.
        if bounds == (None, None):
            return name
        return self.node("Clip", [name, *("" if n is None else self.constant(kind(n)) for n in bounds)], label)

    def _scale(self, tensor: NetworkTensor, shift: int = 0) -> list[str]:
        """Names of scale and zero point of values that are stored `shift` higher."""
        assert tensor.quantisation is not None
        scales, zero_points = tensor.quantisation.scales, tensor.quantisation.zero_points + shift
        zero_points = zero_points.astype(np.uint8 if shift else tensor.dtype)
        if len(scales) == 1:  # a vector of length one would be the scale of one channel
            return [self.constant(scales[0]), self.constant(zero_points[0])]
        return [self.constant(scales), self.constant(zero_points)]

    def _value(self, name: str, tensor: NetworkTensor) -> Any:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, tensor.shape)


def label(tensor: NetworkTensor) -> str:
    """Short name of a tensor, without the separator that `GraphWriter.node` appends."""
    return tensor.name.split(";")[0].replace(":", "_") or f"tensor {tensor.index}"


def _codes(tensor: NetworkTensor, bounds: Bounds) -> Bounds:
    """Bounds as stored codes; `None` if those of the type are as narrow."""
    assert tensor.quantisation is not None
    scale, zero_point = float(tensor.quantisation.scales[0]), int(tensor.quantisation.zero_points[0]) + _UNSIGNED
    low, high = (None if bound is None else round(bound / scale) + zero_point for bound in bounds)
    return (low if low is not None and low > 0 else None), (high if high is not None and high < 255 else None)


def _no_image(tensor: NetworkTensor) -> ModelError:
    return ModelError(f"{label(tensor)} has {len(tensor.shape)} dimensions: only images can be translated to ONNX")
