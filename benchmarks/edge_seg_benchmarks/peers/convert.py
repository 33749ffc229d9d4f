"""A TFLite network as ONNX: the same operators, channels first, int8 in QDQ form.

Every int8 operator is written as DequantizeLinear, the operator on real numbers, QuantizeLinear, with the scales and
zero points of the .tflite; ONNX Runtime joins the three to one int8 kernel
(onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Dimensions are reordered at the network's
input and output alone.
"""

from __future__ import annotations

from edge_seg.errors import ModelError

from edge_seg_benchmarks.peers.graph import GraphWriter
from edge_seg_benchmarks.peers.network import Network
from edge_seg_benchmarks.peers.operators import TRANSLATIONS


def to_onnx(network: Network) -> bytes:
    """The network as a serialised ONNX model, with the same input and output.

    Weights stored as float16, and weights stored as int8 beside float32 activations, are computed with as float32.

    Raises:
        DeviceError: `onnx` is not installed.
        ModelError: an operator, or an option of one, that has no translation here.
    """
    writer = GraphWriter()
    writer.begin(network.input)
    for step in network.steps:
        if step.kind not in TRANSLATIONS:
            raise ModelError(f"operator {step.kind} cannot be translated to ONNX: leave out the engine onnxruntime")
        TRANSLATIONS[step.kind](writer, step)
    return writer.finish(network.input, network.output)
