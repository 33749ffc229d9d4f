"""A TFLite network with its values and options, read with the schema in LiteRT's package."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from edge_seg.errors import ModelError
from edge_seg.inspection.flatbuffer import read_graph
from edge_seg.runtime import TensorSpec

from edge_seg_benchmarks.peers.packages import load_package

WEIGHTS_AS_FLOAT = "{engine} computes with the int8 weights as float32"
"""Note for an engine that, unlike LiteRT, does not quantise activations as it runs."""


@dataclass(frozen=True)
class Quantisation:
    """`real = scale * (stored - zero_point)`.

    Attributes:
        scales: float32 `(1,)`, or one for each index along `axis`.
        zero_points: int64, of the same length.
        axis: the dimension with a scale for each index; unused if there is one scale.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    axis: int

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Real values of stored ones, float32."""
        along = [1] * stored.ndim
        along[self.axis] = -1
        scales, zero_points = self.scales.reshape(along), self.zero_points.reshape(along)
        return (scales * (stored.astype(np.int64) - zero_points)).astype(np.float32)


@dataclass(frozen=True)
class NetworkTensor:
    """One tensor of a network.

    Attributes:
        index: its number in the file.
        name: in the file; converters join the names of fused layers by semicolons.
        shape: images are `(1, height, width, channels)`.
        dtype: numpy's name.
        quantisation: `None` for real values.
        values: of a constant, `None` for a computed tensor.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None
    values: np.ndarray | None

    @property
    def spec(self) -> TensorSpec:
        """The tensor as a runtime describes it."""
        quantised = np.issubdtype(np.dtype(self.dtype), np.integer)
        if not quantised or self.quantisation is None:
            return TensorSpec(self.shape, self.dtype, 0.0 if quantised else None, 0)
        return TensorSpec(
            self.shape, self.dtype, float(self.quantisation.scales[0]), int(self.quantisation.zero_points[0])
        )


@dataclass(frozen=True)
class Step:
    """One operator: its name in the schema, its tensors (`None` for an omitted one), its options."""

    kind: str
    inputs: tuple[NetworkTensor | None, ...]
    outputs: tuple[NetworkTensor, ...]
    options: Any


@dataclass(frozen=True)
class Network:
    """The operators from the input to the logits, in order; an output of pooled features is left out."""

    steps: tuple[Step, ...]
    input: NetworkTensor
    output: NetworkTensor

    @property
    def int8(self) -> bool:
        """Whether any operator's result is int8."""
        return any(tensor.dtype == "int8" for step in self.steps for tensor in step.outputs)

    @property
    def weights_alone_quantised(self) -> bool:
        """Whether int8 weights meet float32 activations (dynamic-range quantisation)."""
        kinds = ({tensor.dtype for tensor in step.inputs if tensor is not None} for step in self.steps)
        return any({"float32", "int8"} <= found for found in kinds)


def read_network(flatbuffer: bytes) -> Network:
    """The network of a TFLite flatbuffer.

    Raises:
        DeviceError: the schema is not installed.
        ModelError: these bytes are not a network, or it does not have one input and one output of logits.
    """
    schema = load_package("ai_edge_litert.schema_py_generated", "ai-edge-litert")
    kinds = [operator.name for operator in read_graph(flatbuffer).operators]
    try:
        model = schema.ModelT.InitFromPackedBuf(flatbuffer)
        graph = model.subgraphs[0]
        types = {number: name.lower() for name, number in vars(schema.TensorType).items() if name.isupper()}
        tensors = [
            _tensor(index, tensor, types[tensor.type], model.buffers) for index, tensor in enumerate(graph.tensors)
        ]
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise ModelError(f"the TFLite flatbuffer cannot be read ({error}): make the model again") from error
    outputs = [tensors[i] for i in graph.outputs]
    if len(outputs) > 1:
        outputs = [tensor for tensor in outputs if tensor.shape[:-1] != (1, 1, 1)]
    if len(graph.inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"the model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs: one of each is supported"
        )
    steps = tuple(
        Step(
            kind,
            tuple(tensors[i] if i >= 0 else None for i in operator.inputs),
            tuple(tensors[i] for i in operator.outputs),
            operator.builtinOptions,
        )
        for kind, operator in zip(kinds, graph.operators, strict=True)
    )
    return Network(_leading_to(outputs[0], steps), tensors[graph.inputs[0]], outputs[0])


def _leading_to(output: NetworkTensor, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    needed = {output.index}
    kept = []
    for step in reversed(steps):
        if needed & {tensor.index for tensor in step.outputs}:
            needed |= {tensor.index for tensor in step.inputs if tensor is not None}
            kept.append(step)
    return tuple(reversed(kept))


def _tensor(index: int, tensor: Any, dtype: str, buffers: list[Any]) -> NetworkTensor:
    shape = tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()
    stored = buffers[tensor.buffer].data
    values = None
    if stored is not None and len(stored):
        values = np.frombuffer(np.asarray(stored, np.uint8).tobytes(), dtype).reshape(shape)
    quantisation = None
    if tensor.quantization is not None and tensor.quantization.scale is not None and len(tensor.quantization.scale):
        found = tensor.quantization
        quantisation = Quantisation(
            np.asarray(found.scale, np.float32), np.asarray(found.zeroPoint, np.int64), int(found.quantizedDimension)
        )
    name = tensor.name.decode(errors="replace") if tensor.name else ""
    return NetworkTensor(index, name, shape, dtype, quantisation, values)
