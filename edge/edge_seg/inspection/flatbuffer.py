"""A read-only view of a TFLite flatbuffer: operators and tensors, without an interpreter.

Field numbers are those of TensorFlow Lite's schema.fbs, version 3.
"""

from __future__ import annotations

import struct
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
_OPERATOR_NAMES = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX
    SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD
    UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE
    UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE
    BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL
    LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT
    RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
    UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR
    LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK
    ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4
    NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
    PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS
    HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE
    READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL
    GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
    UNSORTED_SEGMENT_MIN SIGN
"""
_OPERATORS = tuple(_OPERATOR_NAMES.split())
"""Names of the built-in operators by number (enum BuiltinOperator of the schema)."""

_ACTIVATION_FIELDS = {"AVERAGE_POOL_2D": 5, "CONCATENATION": 1, "MAX_POOL_2D": 5, "TRANSPOSE_CONV": 3}
"""Field of the options that names the fused activation function, by operator."""
_FUSED_FIELDS = {"ADD": 0, "CONV_2D": 3}


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    `constant` means that its values are in the file; `scales` counts its quantisation scales, and `scale` and
    `zero_point` are the first. `place` and `scales_place` are the byte offsets of values and scales in the file; 0 if
    there are none. `index` is its index in interpreters.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    bytes: int
    scales: int
    static: bool
    scale: float = 0.0
    zero_point: int = 0
    index: int = -1
    place: int = 0
    scales_place: int = 0


@dataclass(frozen=True)
class Operator:
    """One operator with its version, inputs and outputs.

    `activation` shows whether an activation function is fused into it; it is read only for pools, concatenations and
    transposed convolutions. `stride` is the larger stride of a convolution, `same` shows whether it is padded;
    `half_pixel` whether a bilinear resize uses half-pixel centres; `fused` is the activation function of a convolution
    or sum: 0 none, 1 ReLU, 3 ReLU6, others by their number in the schema.
    """

    name: str
    version: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    activation: bool = False
    stride: int = 1
    same: bool = True
    half_pixel: bool = False
    fused: int = 0


@dataclass(frozen=True)
class Graph:
    """The network: operators in order, all tensors, and its inputs and outputs."""

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_graph(flatbuffer: bytes) -> Graph:
    """The first subgraph of a TFLite flatbuffer.

    Raises:
        ModelError: the bytes are not a TFLite flatbuffer.
    """
    if flatbuffer[4:8] != b"TFL3":
        raise ModelError("not a TFLite flatbuffer (no TFL3 mark): make the model again")
    try:
        model = _Table.root(flatbuffer)
        buffers = [(len(buffer.vector(0)), buffer.start(0)) for buffer in model.tables(4)]
        codes = [_code(code) for code in model.tables(1)]
        subgraph = next(model.tables(2))
        tensors = tuple(_tensor(t, index, buffers) for index, t in enumerate(subgraph.tables(0)))
        operators = tuple(_operator(o, codes, tensors) for o in subgraph.tables(3))
        return Graph(
            operators,
            tensors,
            tuple(tensors[i] for i in subgraph.integers(1)),
            tuple(tensors[i] for i in subgraph.integers(2)),
        )
    except (IndexError, StopIteration, ValueError, TypeError, struct.error) as error:
        raise ModelError(f"the TFLite flatbuffer cannot be read ({error}): make the model again") from error


class _Table:
    """A flatbuffer table with access to fields by number."""

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

    def first(self, field: int, dtype: str) -> float:
        """The first number of a vector, 0 if there is none."""
        at = self._at(field)
        if not at or not self._table.VectorLen(at):
            return 0
        return np.frombuffer(self._data, dtype, 1, self._table.Vector(at))[0].item()

    def start(self, field: int) -> int:
        """Byte offset of the first number of a vector in the file; 0 if there is none."""
        at = self._at(field)
        return int(self._table.Vector(at)) if at and self._table.VectorLen(at) else 0

    def length(self, field: int) -> int:
        at = self._at(field)
        return int(self._table.VectorLen(at)) if at else 0


def _code(code: _Table) -> tuple[str, int]:
    number = max(code.scalar(0, number_types.Int8Flags, 0), code.scalar(3, number_types.Int32Flags, 0))
    known = _OPERATORS[number] if 0 <= number < len(_OPERATORS) else f"OPERATOR_{number}"
    name = code.text(1) or known
    return name, code.scalar(2, number_types.Int32Flags, 1)


def _tensor(tensor: _Table, index: int, buffers: list[tuple[int, int]]) -> Tensor:
    size, place = buffers[tensor.scalar(2, number_types.Uint32Flags, 0)]
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
        float(quantisation.first(2, "<f4")) if quantisation else 0.0,
        int(quantisation.first(3, "<i8")) if quantisation else 0,
        index,
        place,
        quantisation.start(2) if quantisation else 0,
    )


def _operator(operator: _Table, codes: list[tuple[str, int]], tensors: tuple[Tensor, ...]) -> Operator:
    name, version = codes[operator.scalar(0, number_types.Uint32Flags, 0)]
    field, options = _ACTIVATION_FIELDS.get(name), operator.child(4)
    convolves = name == "CONV_2D"
    strides = [options.scalar(field, number_types.Int32Flags, 0) for field in (1, 2)] if convolves and options else [1]
    return Operator(
        name,
        version,
        tuple(tensors[i] for i in operator.integers(1) if i >= 0),
        tuple(tensors[i] for i in operator.integers(2) if i >= 0),
        field is not None and _number(options, field) != 0,
        max(strides),
        not convolves or _number(options, 0) == 0,
        name == "RESIZE_BILINEAR" and _number(options, 3) != 0,
        _number(options, _FUSED_FIELDS[name]) if name in _FUSED_FIELDS else 0,
    )


def _number(options: _Table | None, field: int) -> int:
    """A one-byte option, 0 if there are no options."""
    return options.scalar(field, number_types.Int8Flags, 0) if options is not None else 0
