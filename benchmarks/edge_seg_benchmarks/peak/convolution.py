"""Writes a TFLite network of one 1 x 1 convolution: a known amount of work for an engine.

Field numbers are those of TensorFlow Lite's schema.fbs, version 3. The fields are written one by one, since
tflite-runtime, which is measured too, does not include the classes that LiteRT generates from the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

INPUT_SCALE = WEIGHT_SCALE = 1 / 128
"""Scales of the int8 network: real values of inputs and weights are between -1 and 1; zero points are 0."""

_FLOAT32, _INT32, _INT8 = 0, 2, 9  # enum TensorType
_CONV_2D, _CONV_2D_OPTIONS = 3, 1  # enum BuiltinOperator, union BuiltinOptions
_ALIGNMENT = 16  # of a buffer's data, as the schema requires

_Field = tuple[int, str, int]


def write_convolution(weights: np.ndarray, side: int) -> bytes:
    """A network of one 1 x 1 convolution without bias or activation, `(1, side, side, in)` to `(1, side, side, out)`.

    Args:
        weights: `(out, in)`, float32, or int8 for an int8 network with a scale for each output channel.
        side: of the square input, in pixels.

    Returns:
        The flatbuffer. Input and output have the weights' type; for int8 the output's scale is `output_scale`.
    """
    builder = flatbuffers.Builder(weights.nbytes + 4096)
    inputs, (outputs, channels) = 0, weights.shape
    quantised = weights.dtype == np.int8
    kind = _INT8 if quantised else _FLOAT32
    bias = np.zeros(outputs, np.int32 if quantised else np.float32)
    sums = INPUT_SCALE * WEIGHT_SCALE
    tensors = [
        _tensor(builder, "input", (1, side, side, channels), kind, 0, [INPUT_SCALE] * quantised),
        _tensor(builder, "output", (1, side, side, outputs), kind, 0, [output_scale(channels)] * quantised),
        _tensor(builder, "weights", (outputs, 1, 1, channels), kind, 1, [WEIGHT_SCALE] * outputs * quantised),
        _tensor(builder, "bias", (outputs,), _INT32 if quantised else kind, 2, [sums] * outputs * quantised),
    ]
    result = 1
    options = _table(builder, (1, "Int32", 1), (2, "Int32", 1))  # strides
    step = _table(
        builder,
        (1, "UOffsetTRelative", _integers(builder, (inputs, 2, 3))),
        (2, "UOffsetTRelative", _integers(builder, (result,))),
        (3, "Uint8", _CONV_2D_OPTIONS),
        (4, "UOffsetTRelative", options),
    )
    subgraph = _table(
        builder,
        (0, "UOffsetTRelative", _offsets(builder, tensors)),
        (1, "UOffsetTRelative", _integers(builder, (inputs,))),
        (2, "UOffsetTRelative", _integers(builder, (result,))),
        (3, "UOffsetTRelative", _offsets(builder, [step])),
    )
    # Per-channel int8 came with version 3 of the operator.
    code = _table(builder, (0, "Int8", _CONV_2D), (2, "Int32", 3 if quantised else 1), (3, "Int32", _CONV_2D))
    buffers = [_buffer(builder, data) for data in (b"", weights.tobytes(), bias.tobytes())]
    model = _table(
        builder,
        (0, "Uint32", 3),
        (1, "UOffsetTRelative", _offsets(builder, [code])),
        (2, "UOffsetTRelative", _offsets(builder, [subgraph])),
        (4, "UOffsetTRelative", _offsets(builder, buffers)),
    )
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def output_scale(channels: int) -> float:
    """Scale of the int8 network's output: the spread of a sum of random products grows as the root of their number."""
    return float(np.sqrt(channels) / 128)


def _tensor(builder: Any, name: str, shape: Sequence[int], kind: int, buffer: int, scales: Sequence[float]) -> int:
    fields = [
        (0, "UOffsetTRelative", _integers(builder, shape)),
        (1, "Int8", kind),
        (2, "Uint32", buffer),
        (3, "UOffsetTRelative", builder.CreateString(name)),
    ]
    if scales:
        quantisation = _table(
            builder,
            (2, "UOffsetTRelative", builder.CreateNumpyVector(np.array(scales, np.float32))),
            (3, "UOffsetTRelative", builder.CreateNumpyVector(np.zeros(len(scales), np.int64))),
        )
        fields.append((4, "UOffsetTRelative", quantisation))
    return _table(builder, *fields)


def _buffer(builder: Any, data: bytes) -> int:
    if not data:
        return _table(builder)
    builder.Prep(_ALIGNMENT, len(data))
    return _table(builder, (0, "UOffsetTRelative", builder.CreateByteVector(data)))


def _table(builder: Any, *fields: _Field) -> int:
    """A table of `(number, type, value)` fields."""
    builder.StartObject(1 + max((number for number, _, _ in fields), default=-1))
    for number, kind, value in fields:
        getattr(builder, f"Prepend{kind}Slot")(number, value, 0)
    return int(builder.EndObject())


def _integers(builder: Any, values: Sequence[int]) -> int:
    return int(builder.CreateNumpyVector(np.array(values, np.int32)))


def _offsets(builder: Any, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for offset in reversed(tables):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
