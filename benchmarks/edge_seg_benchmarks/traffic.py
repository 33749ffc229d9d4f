"""Memory traffic: the bytes that a network's operators read and write for one film."""

from __future__ import annotations

from math import prod

from edge_seg.errors import ModelError
from edge_seg.inspection.flatbuffer import Graph, Operator, Tensor

_BITS = {
    "bool": 8, "int4": 4, "int8": 8, "uint8": 8, "int16": 16, "float16": 16, "int32": 32, "float32": 32, "int64": 64,
    "float64": 64,
}  # fmt: skip


def bytes_moved(graph: Graph) -> int:
    """Bytes read and written for one film when each operator reads its inputs and writes its output once.

    An operator that reads an input several times moves more; tensors that stay in the caches from one operator to the
    next move less.

    Args:
        graph: the network; shapes are those of one run (batch included).

    Returns:
        The sum over operators of the bytes of their inputs, weights and outputs. A tensor that an operator takes twice
        counts once. Weights stored in another type (float16) count in the type they are converted to, since engines
        convert them once, before the first film.

    Raises:
        ModelError: a tensor's type has no fixed size (strings).
    """
    return sum(_bytes_moved(operator) for operator in graph.operators if not _done_before_the_first_film(operator))


def _bytes_moved(operator: Operator) -> int:
    distinct = {id(tensor): tensor for tensor in (*operator.inputs, *operator.outputs)}
    return sum(_size(tensor) for tensor in distinct.values())


def _done_before_the_first_film(operator: Operator) -> bool:
    return operator.name == "DEQUANTIZE" and all(tensor.constant for tensor in operator.inputs)


def _size(tensor: Tensor) -> int:
    if tensor.dtype not in _BITS:
        raise ModelError(
            f"tensor {tensor.name} is of type {tensor.dtype}, whose size is unknown: use a numeric network"
        )
    return -(-prod(tensor.shape) * _BITS[tensor.dtype] // 8)
