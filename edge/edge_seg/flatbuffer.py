"""A read-only view of a TFLite flatbuffer: operators and tensors, without an interpreter.

Field numbers are those of TensorFlow Lite's schema.fbs, version 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatbuffers import encode, number_types, table

from edge_seg.errors import ModelError

_TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16", 9: "int8",
    10: "float64", 17: "int4",
}  # fmt: skip
_OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 21: "RELU6", 22: "RESHAPE",
    23: "RESIZE_BILINEAR", 25: "SOFTMAX", 26: "SPACE_TO_DEPTH", 28: "TANH", 34: "PAD", 36: "GATHER",
    39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 43: "SQUEEZE", 45: "STRIDED_SLICE", 49: "SPLIT", 53: "CAST",
    60: "PADV2", 65: "SLICE", 67: "TRANSPOSE_CONV", 70: "EXPAND_DIMS", 74: "SUM", 77: "SHAPE", 83: "PACK",
    88: "UNPACK", 97: "RESIZE_NEAREST_NEIGHBOR", 98: "LEAKY_RELU", 114: "QUANTIZE", 117: "HARD_SWISH",
    142: "VAR_HANDLE", 143: "READ_VARIABLE",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor: `constant` where its values are in the file; `scales` counts its quantisation scales."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    bytes: int
    scales: int
    static: bool


@dataclass(frozen=True)
class Operator:
    """One operator with its version, inputs and outputs."""

    name: str
    version: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Graph:
    """The network: operators in order, all tensors, and those that go in and out."""

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_graph(flatbuffer: bytes) -> Graph:
    """The first subgraph of a TFLite flatbuffer.

    Raises:
        ModelError: these bytes are none.
    """
    if flatbuffer[4:8] != b"TFL3":
        raise ModelError("not a TFLite flatbuffer (no TFL3 mark): make the model again")
    try:
        model = _Table.root(flatbuffer)
        sizes = [len(buffer.vector(0)) for buffer in model.tables(4)]
        codes = [_code(code) for code in model.tables(1)]
        subgraph = next(model.tables(2))
        tensors = tuple(_tensor(t, sizes) for t in subgraph.tables(0))
        operators = tuple(_operator(o, codes, tensors) for o in subgraph.tables(3))
        return Graph(
            operators,
            tensors,
            tuple(tensors[i] for i in subgraph.integers(1)),
            tuple(tensors[i] for i in subgraph.integers(2)),
        )
    except (IndexError, StopIteration, ValueError, TypeError) as error:
        raise ModelError(f"the TFLite flatbuffer cannot be read ({error}): make the model again") from error


class _Table:
    """A flatbuffer table whose fields are asked for by number."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._table = table.Table(data, position)

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))

    def _at(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def scalar(self, field: int, flags: Any, default: int) -> int:
        at = self._at(field)
        return int(self._table.Get(flags, self._table.Pos + at)) if at else default

    def text(self, field: int) -> str:
        at = self._at(field)
        return self._table.String(self._table.Pos + at).decode(errors="replace") if at else ""

    def child(self, field: int) -> _Table | None:
        at = self._at(field)
        return _Table(self._data, self._table.Indirect(self._table.Pos + at)) if at else None

    def tables(self, field: int) -> Iterator[_Table]:
        at = self._at(field)
        if at:
            start = self._table.Vector(at)
            for index in range(self._table.VectorLen(at)):
                yield _Table(self._data, self._table.Indirect(start + 4 * index))

    def vector(self, field: int) -> bytes:
        """Bytes of a vector of bytes."""
        at = self._at(field)
        if not at:
            return b""
        start = self._table.Vector(at)
        return self._data[start : start + self._table.VectorLen(at)]

    def integers(self, field: int) -> list[int]:
        """A vector of int32."""
        at = self._at(field)
        if not at:
            return []
        start, count = self._table.Vector(at), self._table.VectorLen(at)
        return [int(n) for n in np.frombuffer(self._data, "<i4", count, start)]

    def length(self, field: int) -> int:
        at = self._at(field)
        return int(self._table.VectorLen(at)) if at else 0


def _code(code: _Table) -> tuple[str, int]:
    number = max(code.scalar(0, number_types.Int8Flags, 0), code.scalar(3, number_types.Int32Flags, 0))
    name = code.text(1) or _OPERATORS.get(number, f"OPERATOR_{number}")
    return name, code.scalar(2, number_types.Int32Flags, 1)


def _tensor(tensor: _Table, sizes: list[int]) -> Tensor:
    size = sizes[tensor.scalar(2, number_types.Uint32Flags, 0)]
    kind = tensor.scalar(1, number_types.Int8Flags, 0)
    quantisation = tensor.child(4)
    return Tensor(
        tensor.text(3),
        tuple(tensor.integers(0)),
        _TYPES.get(kind, f"type {kind}"),
        size > 0,
        size,
        quantisation.length(2) if quantisation else 0,
        all(n >= 0 for n in tensor.integers(7)),
    )


def _operator(operator: _Table, codes: list[tuple[str, int]], tensors: tuple[Tensor, ...]) -> Operator:
    name, version = codes[operator.scalar(0, number_types.Uint32Flags, 0)]
    return Operator(
        name,
        version,
        tuple(tensors[i] for i in operator.integers(1) if i >= 0),
        tuple(tensors[i] for i in operator.integers(2) if i >= 0),
    )
