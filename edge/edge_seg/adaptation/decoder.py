"""The decoder of an int8 model as a differentiable function in numpy.

The encoder is frozen, so its activations are read from the interpreter once per film and kept, and everything that was
calibrated on its pooled features (the film gate) also holds for the adapted model. Weights and activations are rounded
as the int8 network rounds them, and gradients pass through the rounding (straight-through estimator, Bengio et
al. 2013), so what is trained is what the device runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_seg.adaptation.convolution import along_weights, columns, convolved, enlarging
from edge_seg.errors import ModelError
from edge_seg.inspection.flatbuffer import Operator, Tensor, read_graph

_LEARNS = "CONV_2D"
_UPSAMPLES = "RESIZE_BILINEAR"
_KNOWN = frozenset({_LEARNS, _UPSAMPLES, "ADD", "QUANTIZE", "CONCATENATION"})
_INT8 = 127
_NONE, _RELU, _RELU6 = 0, 1, 3

Parameters = dict[int, tuple[np.ndarray, np.ndarray]]
"""Weights `(outputs, height, width, inputs)` and biases `(outputs,)`, float32, of each convolution, by the index of the
tensor that it outputs."""


@dataclass(frozen=True)
class Decoder:
    """What comes after the encoder of a U-Net, in order.

    Attributes:
        operators: from the first upsampling to the output.
        given: tensors that come from the encoder.
        output: the tensor of the logits, at the model's input size.
    """

    operators: tuple[Operator, ...]
    given: tuple[Tensor, ...]
    output: Tensor
    _enlarge: dict[int, tuple[np.ndarray, np.ndarray]] = field(repr=False, default_factory=dict)

    @property
    def convolutions(self) -> tuple[Operator, ...]:
        """The operators that can learn."""
        return tuple(operator for operator in self.operators if operator.name == _LEARNS)

    @property
    def starts_at(self) -> int:
        """Index of the first tensor that it outputs."""
        return self.operators[0].outputs[0].index

    def forward(self, parameters: Parameters, given: Mapping[int, np.ndarray]) -> Pass:
        """Run one film.

        Args:
            parameters: of the convolutions.
            given: int8 activations of the encoder, `(height, width, channels)`, by index.
        """
        values = {tensor.index: _real(given[tensor.index], tensor) for tensor in self.given}
        made = Pass(self, parameters, values)
        for operator in self.operators:
            made.run(operator)
        return made


@dataclass
class Pass:
    """One film's forward pass through the decoder, kept for the backward pass."""

    decoder: Decoder
    parameters: Parameters
    values: dict[int, np.ndarray]
    _columns: dict[int, np.ndarray] = field(default_factory=dict)
    _rounded: dict[int, np.ndarray] = field(default_factory=dict)
    _inside: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def logits(self) -> np.ndarray:
        """`(input height, input width, structures)` float32."""
        return self.values[self.decoder.output.index]

    def run(self, operator: Operator) -> None:
        """Run one operator forward, with its result rounded to the int8 steps of its tensor."""
        made = operator.outputs[0]
        taken = [self.values[tensor.index] for tensor in operator.inputs if not tensor.constant]
        if operator.name == _LEARNS:
            weights, bias = self.parameters[made.index]
            rounded = round_weights(weights)[0]
            self._columns[made.index] = columns(taken[0], weights.shape[1])
            self._rounded[made.index] = rounded
            result = self._columns[made.index] @ rounded.reshape(len(rounded), -1).T + bias
            result = result.reshape(*taken[0].shape[:2], -1)
        elif operator.name == _UPSAMPLES:
            result = convolved(taken[0], *self._ways(operator))
        elif operator.name == "ADD":
            result = taken[0] + taken[1]
        elif operator.name == "CONCATENATION":
            result = np.concatenate(taken, axis=-1)
        else:
            result = taken[0]
        self.values[made.index], self._inside[made.index] = _stepped(result, operator)

    def backward(self, slope: np.ndarray) -> Parameters:
        """Gradients of the parameters.

        Args:
            slope: gradient of the loss with respect to the logits, of their shape.
        """
        slopes = {self.decoder.output.index: slope}
        found: Parameters = {}
        for operator in reversed(self.decoder.operators):
            made = operator.outputs[0].index
            if made not in slopes:
                continue
            back = slopes.pop(made) * self._inside[made]
            taken = [tensor for tensor in operator.inputs if not tensor.constant]
            if operator.name == _LEARNS:
                found[made] = along_weights(back, self._columns[made], self._rounded[made].shape)
            for tensor, share in zip(taken, self._shares(operator, back), strict=True):
                if tensor.index >= self.decoder.starts_at:
                    slopes[tensor.index] = slopes[tensor.index] + share if tensor.index in slopes else share
        return found

    def _shares(self, operator: Operator, back: np.ndarray) -> list[np.ndarray]:
        """The gradient with respect to each input."""
        taken = [tensor for tensor in operator.inputs if not tensor.constant]
        if operator.name == _LEARNS:
            if taken[0].index < self.decoder.starts_at:
                return [back]
            turned = self._rounded[operator.outputs[0].index][:, ::-1, ::-1].transpose(3, 1, 2, 0)
            flat = columns(back, turned.shape[1]) @ turned.reshape(len(turned), -1).T
            return [flat.reshape(*back.shape[:2], -1)]
        if operator.name == _UPSAMPLES:
            down, across = self._ways(operator)
            return [convolved(back, down.T, across.T)]
        if operator.name == "CONCATENATION":
            return np.split(back, np.cumsum([tensor.shape[-1] for tensor in taken])[:-1], axis=-1)
        return [back] * len(taken)

    def _ways(self, operator: Operator) -> tuple[np.ndarray, np.ndarray]:
        made, known = operator.outputs[0], self.decoder._enlarge
        if made.index not in known:
            pairs = zip(operator.inputs[0].shape[1:3], made.shape[1:3], strict=True)
            down, across = (enlarging(few, many, operator.half_pixel) for few, many in pairs)
            known[made.index] = down, across
        return known[made.index]


def find_decoder(flatbuffer: bytes) -> Decoder:
    """The decoder of a model.

    Raises:
        ModelError: it has none that can be trained here: another program made it, or it is not int8.
    """
    graph = read_graph(flatbuffer)
    output = next((tensor for tensor in graph.outputs if len(tensor.shape) == 4 and tensor.shape[1] > 1), None)
    first = next((i for i, one in enumerate(graph.operators) if one.name == _UPSAMPLES), None)
    if output is None or first is None:
        raise _cannot("it has no decoder that enlarges bilinearly")
    needed = _needed(graph.operators[first:], output)
    others = sorted({one.name for one in needed if not _trainable(one)})
    if others:
        raise _cannot(f"its decoder has {', '.join(others)} that is not known here, or not int8")
    made = {one.outputs[0].index for one in needed}
    given = {t.index: t for one in needed for t in one.inputs if not t.constant and t.index not in made}
    if not needed or output.index not in made:
        raise _cannot("its output does not come from the decoder")
    if any(index >= needed[0].outputs[0].index for index in given):
        raise _cannot("its tensors are not numbered in order")
    return Decoder(needed, tuple(given.values()), output)


def shipped_parameters(decoder: Decoder, flatbuffer: bytes) -> Parameters:
    """The parameters as stored in the model."""
    found: Parameters = {}
    for operator in decoder.convolutions:
        taken, weights, bias = operator.inputs
        scales = np.frombuffer(flatbuffer, "<f4", weights.scales, weights.scales_place)
        stored = np.frombuffer(flatbuffer, np.int8, weights.bytes, weights.place).reshape(weights.shape)
        steps = np.frombuffer(flatbuffer, "<i4", bias.bytes // 4, bias.place)
        real = stored * scales[:, None, None, None]
        found[operator.outputs[0].index] = (
            real.astype(np.float32),
            (steps * (scales.astype(np.float64) * taken.scale)).astype(np.float32),
        )
    return found


def with_parameters(decoder: Decoder, flatbuffer: bytes, parameters: Parameters) -> bytes:
    """The model with other parameters, written as int8 weights and int32 biases over the old ones."""
    data = bytearray(flatbuffer)
    for operator in decoder.convolutions:
        taken, weights, bias = operator.inputs
        real, offset = parameters[operator.outputs[0].index]
        rounded, scales = round_weights(real)
        stored = np.rint(rounded / scales[:, None, None, None]).astype(np.int8)
        products = scales * np.float32(taken.scale)
        steps = np.rint(offset.astype(np.float64) / products).clip(-(2**31), 2**31 - 1).astype("<i4")
        _put(data, weights.place, stored.tobytes())
        _put(data, weights.scales_place, scales.astype("<f4").tobytes())
        _put(data, bias.place, steps.tobytes())
        _put(data, bias.scales_place, products.astype("<f4").tobytes())
    return bytes(data)


def round_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights rounded to int8 steps, and the step of each output channel, float32."""
    scales = np.maximum(np.abs(weights).max(axis=(1, 2, 3)) / np.float32(_INT8), np.float32(1e-9))
    steps = scales[:, None, None, None]
    return (np.rint(weights / steps) * steps).astype(np.float32), scales


def _put(data: bytearray, place: int, values: bytes) -> None:
    data[place : place + len(values)] = values


def _needed(operators: tuple[Operator, ...], output: Tensor) -> tuple[Operator, ...]:
    """The operators that the output depends on."""
    wanted, kept = {output.index}, []
    for operator in reversed(operators):
        if wanted & {tensor.index for tensor in operator.outputs}:
            kept.append(operator)
            wanted |= {tensor.index for tensor in operator.inputs}
    return tuple(reversed(kept))


def _trainable(operator: Operator) -> bool:
    made = operator.outputs[0]
    plain = operator.name in _KNOWN and made.dtype == "int8" and len(made.shape) == 4
    plain = plain and operator.fused in (_NONE, _RELU, _RELU6)
    if operator.name != _LEARNS:
        return plain
    weights = operator.inputs[1]
    padded = operator.same or weights.shape[1] == 1
    return plain and operator.stride == 1 and padded and weights.scales == weights.shape[0]


def _cannot(why: str) -> ModelError:
    return ModelError(f"this model cannot be adapted on the device ({why}): train it with edge-seg train --from")


def _real(stored: np.ndarray, tensor: Tensor) -> np.ndarray:
    return (stored.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def _stepped(values: np.ndarray, operator: Operator) -> tuple[np.ndarray, np.ndarray]:
    """Values as held by the int8 tensor that an operator outputs, and where they are not clipped."""
    tensor = operator.outputs[0]
    step, zero = np.float32(tensor.scale), np.float32(tensor.zero_point)
    least = zero if operator.fused else np.float32(-128)
    most = min(np.float32(127), np.rint(6 / step) + zero) if operator.fused == _RELU6 else np.float32(127)
    steps = values * (1 / step) + zero
    inside = (steps > least) & (steps < most)
    return (np.clip(np.rint(steps), least, most) - zero) * step, inside
