"""Translates a TFLite network to ONNX: the same operators, channels first, int8 in QDQ form.

Every int8 operator is written as DequantizeLinear, the operator on real numbers, then QuantizeLinear, with the scales
and zero points of the .tflite. ONNX Runtime fuses the three into one int8 kernel
(onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Dimensions are reordered only at the network's
input and output.

tf2onnx 1.17 was tried instead (x86-64, onnxruntime 1.32, one thread, the shipped models). It gives the same masks,
but imports TensorFlow, which a device does not have; ONNX Runtime refuses its optimised int8 graph at the usual level
("Attempt to replace the existing tensor"); and its unoptimised int8 graph, which does run, takes 24 ms for `lungs`
(this one 15 ms) and 5.3 ms for `lungs-nano` (this one 2.3 ms).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge_seg.errors import ModelError

from edge_seg_benchmarks.peers.graph import GraphWriter
from edge_seg_benchmarks.peers.network import Network
from edge_seg_benchmarks.peers.operators import TRANSLATIONS


def to_onnx(network: Network, metadata: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The network as a serialised ONNX model, with the same input and output.

    Weights stored as float16, or as int8 beside float32 activations, become float32.

    Args:
        network: to translate.
        metadata: texts to store in the model, by name (`metadata_props`).

    Raises:
        DeviceError: `onnx` is not installed.
        ModelError: an operator, or one of its options, cannot be translated.
    """
    writer = GraphWriter()
    writer.begin(network.input)
    for step in network.steps:
        if step.kind not in TRANSLATIONS:
            raise ModelError(f"operator {step.kind} cannot be translated to ONNX: build the network without it")
        TRANSLATIONS[step.kind](writer, step)
    return writer.finish(network.input, network.output, metadata)
