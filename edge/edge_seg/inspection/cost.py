"""The cost of a model, and whether it is int8 throughout."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from edge_seg.inspection.edge_tpu_rules import NEWEST_VERSIONS, EdgeTpuPrediction, predict_edge_tpu
from edge_seg.inspection.flatbuffer import Graph, Operator, Tensor, read_graph
from edge_seg.model_file import ModelFile

_CONVERTS_OR_SHAPES = frozenset({"DEQUANTIZE", "SHAPE", "PACK", "STRIDED_SLICE"})
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": -1, "TRANSPOSE_CONV": 0}
_WEIGHTED = frozenset({*_CHANNEL_AXIS, "FULLY_CONNECTED"})


@dataclass(frozen=True)
class OperatorKind:
    """All operators of one name and version: their count and multiply-accumulates."""

    name: str
    version: int
    count: int
    macs: int


@dataclass(frozen=True)
class ModelFacts:
    """What `edge-seg inspect` shows beside the manifest.

    Attributes:
        operators: by name and version.
        macs: multiply-accumulates per film.
        parameters: weights and biases.
        weight_bytes, flatbuffer_bytes, file_bytes: sizes.
        violations: why the model is not int8 throughout, one line each; empty if it is.
        edge_tpu: what the Edge TPU compiler is expected to do.
    """

    operators: tuple[OperatorKind, ...]
    macs: int
    parameters: int
    weight_bytes: int
    flatbuffer_bytes: int
    file_bytes: int
    violations: tuple[str, ...]
    edge_tpu: EdgeTpuPrediction


def inspect_model(model: ModelFile) -> ModelFacts:
    """Facts of a model; see `inspect_network`."""
    return inspect_network(model.flatbuffer, model.size)


def inspect_network(flatbuffer: bytes, file_bytes: int) -> ModelFacts:
    """Count operators, multiply-accumulates and parameters of a TFLite network.

    Raises:
        ModelError: the flatbuffer cannot be read.
    """
    graph = read_graph(flatbuffer)
    counts: Counter[tuple[str, int]] = Counter()
    macs: Counter[tuple[str, int]] = Counter()
    for operator in graph.operators:
        key = operator.name, operator.version
        counts[key] += 1
        macs[key] += operator_macs(operator)
    kinds = tuple(OperatorKind(*key, count, macs[key]) for key, count in counts.most_common())
    weights = _weights(graph)
    return ModelFacts(
        kinds,
        sum(macs.values()),
        sum(prod(t.shape) for t in weights),
        sum(t.bytes for t in weights),
        len(flatbuffer),
        file_bytes,
        tuple(_violations(graph)),
        predict_edge_tpu(graph),
    )


def operator_macs(operator: Operator) -> int:
    """Multiply-accumulates of one operator at batch 1; 0 for operators without weights.

    Weights are `(out, height, width, in)`, for depthwise convolutions `(1, height, width, out)`, for fully connected
    layers `(out, in)`.
    """
    if operator.name not in _WEIGHTED:
        return 0
    weights = prod(operator.inputs[1].shape)
    if operator.name == "TRANSPOSE_CONV":
        # Each weight is applied once per input pixel, not per output pixel.
        return prod(operator.inputs[2].shape[:-1]) * weights
    return prod(operator.outputs[0].shape[:-1]) * weights


def purity_violations(flatbuffer: bytes) -> list[str]:
    """Why a model is not int8 throughout, one line each; empty if it is.

    The rules: int8 input, output and activations, static shapes, batch 1, per-channel weights, only operators that an
    Edge TPU maps, and none that converts types or computes shapes. QUANTIZE from int8 to int8 is allowed: it brings two
    skip connections to one scale before they are joined.

    Raises:
        ModelError: the flatbuffer cannot be read.
    """
    return _violations(read_graph(flatbuffer))


def _violations(graph: Graph) -> list[str]:
    found = []
    floats = [t.name for t in graph.tensors if t.dtype.startswith("float")]
    if floats:
        found.append(f"{len(floats)} float tensors (first: {floats[0]})")
    for side, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        found += [f"{side} is {t.dtype}, not int8" for t in tensors if t.dtype != "int8"]
        found += [f"batch of the {side} is {t.shape[:1]}, not 1" for t in tensors if t.shape[:1] != (1,)]
    ends = {*graph.inputs, *graph.outputs}
    between = [
        t
        for operator in graph.operators
        for t in operator.outputs
        if t.dtype != "int8" and not t.dtype.startswith("float") and t not in ends
    ]
    if between:
        found.append(f"{len(between)} results are not int8 (first: {between[0].name}, {between[0].dtype})")
    for name, count in Counter(operator.name for operator in graph.operators).items():
        if name in _CONVERTS_OR_SHAPES:
            found.append(f"{count} {name}")
        elif name not in NEWEST_VERSIONS:
            found.append(f"{count} {name}, which the Edge TPU does not map")
    moving = [t.name for t in graph.tensors if not t.static]
    if moving:
        found.append(f"{len(moving)} tensors without a static shape (first: {moving[0]})")
    for operator in graph.operators:
        axis = _CHANNEL_AXIS.get(operator.name)
        if axis is None:
            continue
        weights = operator.inputs[1]
        if weights.dtype == "int8" and weights.scales != weights.shape[axis]:
            found.append(f"weights of {operator.outputs[0].name} are quantised per tensor, not per channel")
    return found


def _weights(graph: Graph) -> list[Tensor]:
    """Weights and biases of all operators, each once, as stored in the file.

    Float16 weights, and int8 weights of operators without a kernel for them, pass through a DEQUANTIZE.
    """
    stored = {t.name: o.inputs[0] for o in graph.operators if o.name == "DEQUANTIZE" and o.inputs for t in o.outputs}
    found = {}
    for operator in graph.operators:
        if operator.name in _WEIGHTED:
            # The first input of a transposed convolution is the shape of its output.
            skip = 1 if operator.name == "TRANSPOSE_CONV" else 0
            taken = (stored.get(t.name, t) for t in operator.inputs[skip:])
            found.update({t.name: t for t in taken if t.constant})
    return list(found.values())
