"""The translation to ONNX, operator by operator: one-operator networks give LiteRT's results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from edge_seg.errors import ModelError
from edge_seg.runtime import TFLiteRuntime
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'edge-seg[peers]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'edge-seg[peers]'")
schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="ai-edge-litert is not installed")

import flatbuffers
from edge_seg_benchmarks.peers.convert import to_onnx
from edge_seg_benchmarks.peers.network import read_network
from edge_seg_benchmarks.peers.onnx import OnnxRuntime
from edge_seg_benchmarks.peers.openvino import OpenVinoRuntime

CLOSE = 1e-5  # of the largest value: sums of up to a few hundred float32 in another order
RANDOM = np.random.default_rng(0)
sizes = st.integers(3, 17)
channels = st.integers(1, 5)
paddings = st.sampled_from(("SAME", "VALID"))
activations = st.sampled_from(("NONE", "RELU", "RELU6", "RELU_N1_TO_1"))
few = settings(max_examples=25)


def options(kind: str, **values: Any) -> Any:
    """Options of an operator, with paddings and activations by name instead of number."""
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in values.items():
        assert hasattr(made, name)
        enum = {"padding": "Padding", "fusedActivationFunction": "ActivationFunctionType"}.get(name)
        setattr(made, name, getattr(getattr(schema, enum), value) if enum else value)
    return made


def network_of(
    kind: str,
    made: Any,
    tensors: Sequence[tuple[Any, ...]],
    inputs: Sequence[int],
    version: int = 1,
) -> bytes:
    """A flatbuffer of one operator.

    Args:
        kind: kind of the operator.
        made: its options, or `None`.
        tensors: `(shape, dtype, values or None, scales, zero point, axis)`, the last three of quantised ones; the
            network's input is the first, its output the second.
        inputs: of the operator.
        version: of the operator.
    """
    model, graph, code, step = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
    step.opcodeIndex, step.inputs, step.outputs = 0, list(inputs), [1]
    if made is not None:
        step.builtinOptions = made
        step.builtinOptionsType = getattr(schema.BuiltinOptions, type(made).__name__.removesuffix("T"))
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [step], [0], [1]
    for index, (shape, dtype, values, *quantisation) in enumerate(tensors):
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape, tensor.buffer = f"layer:{index};fused", list(shape), len(model.buffers)
        tensor.type = getattr(schema.TensorType, dtype.upper())
        if values is not None:
            buffer.data = np.frombuffer(np.asarray(values, dtype).tobytes(), np.uint8)
        if quantisation:
            tensor.quantization = found = schema.QuantizationParametersT()
            scales, zero_point, axis = quantisation
            found.scale, found.zeroPoint, found.quantizedDimension = scales, [zero_point] * len(scales), axis
        graph.tensors.append(tensor)
        model.buffers.append(buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def results(flatbuffer: bytes) -> tuple[np.ndarray, np.ndarray]:
    """LiteRT's and ONNX Runtime's results, as float64, for the same random input."""
    known, other = TFLiteRuntime(flatbuffer, 1, "litert"), OnnxRuntime(flatbuffer, 1)
    assert (other.input, other.output) == (known.input, known.output)
    if known.input.dtype == "int8":
        tensor = RANDOM.integers(-128, 128, known.input.shape).astype(np.int8)
    else:
        tensor = (4 * RANDOM.standard_normal(known.input.shape)).astype(np.float32)
    found = known.run(tensor), other.run(tensor)
    assert found[0].dtype == found[1].dtype
    assert found[0].shape == found[1].shape
    return found[0].astype(float), found[1].astype(float)


def same(flatbuffer: bytes) -> bool:
    """Whether the float32 results are the same."""
    known, other = results(flatbuffer)
    return bool(np.abs(known - other).max() <= CLOSE * max(1.0, np.abs(known).max()))


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def out(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Length of a convolution's output (tensorflow.org, `tf.nn.convolution`)."""
    return -(-size // stride) if padding == "SAME" else -(-(size - (kernel - 1) * dilation) // stride)


@few
@given(sizes, sizes, channels, channels, st.integers(1, 3), st.integers(1, 2), paddings, activations)
def test_convolution(
    height: int, width: int, source: int, made: int, kernel: int, stride: int, padding: str, act: str
) -> None:
    settings_of = options(
        "Conv2D", strideH=stride, strideW=stride, padding=padding, dilationHFactor=1, dilationWFactor=1,
        fusedActivationFunction=act,
    )  # fmt: skip
    rows, columns = (out(n, kernel, stride, padding) for n in (height, width))
    tensors = [
        ((1, height, width, source), "float32", None),
        ((1, rows, columns, made), "float32", None),
        ((made, kernel, kernel, source), "float32", normal(made, kernel, kernel, source)),
        ((made,), "float32", normal(made)),
    ]
    assert same(network_of("CONV_2D", settings_of, tensors, [0, 2, 3]))


@few
@given(
    sizes, sizes, channels, st.integers(1, 2), st.integers(1, 3), st.sampled_from(((1, 1), (2, 1), (1, 2))), paddings
)
def test_depthwise_convolution(
    height: int, width: int, source: int, multiplier: int, kernel: int, step: tuple[int, int], padding: str
) -> None:
    stride, dilation = step
    if padding == "VALID" and min(height, width) <= (kernel - 1) * dilation:
        padding = "SAME"
    settings_of = options(
        "DepthwiseConv2D", strideH=stride, strideW=stride, padding=padding, depthMultiplier=multiplier,
        dilationHFactor=dilation, dilationWFactor=dilation, fusedActivationFunction="RELU6",
    )  # fmt: skip
    rows, columns = (out(n, kernel, stride, padding, dilation) for n in (height, width))
    made = source * multiplier
    tensors = [
        ((1, height, width, source), "float32", None),
        ((1, rows, columns, made), "float32", None),
        ((1, kernel, kernel, made), "float32", normal(1, kernel, kernel, made)),
        ((made,), "float32", normal(made)),
    ]
    assert same(network_of("DEPTHWISE_CONV_2D", settings_of, tensors, [0, 2, 3], version=2))


@few
@given(sizes, sizes, channels, channels, st.integers(1, 4), st.integers(1, 3), paddings, st.booleans())
def test_transposed_convolution(
    height: int, width: int, source: int, made: int, kernel: int, stride: int, padding: str, bias: bool
) -> None:
    rows, columns = (n * stride if padding == "SAME" else n * stride + max(kernel - stride, 0) for n in (height, width))
    settings_of = options("TransposeConv", strideH=stride, strideW=stride, padding=padding)
    tensors = [
        ((1, height, width, source), "float32", None),
        ((1, rows, columns, made), "float32", None),
        ((4,), "int32", (1, rows, columns, made)),
        ((made, kernel, kernel, source), "float32", normal(made, kernel, kernel, source)),
        ((made,), "float32", normal(made)),
    ]
    assert same(network_of("TRANSPOSE_CONV", settings_of, tensors, [2, 3, 0, 4] if bias else [2, 3, 0], version=3))


@few
@given(sizes, sizes, channels, st.integers(2, 3), st.integers(1, 3), paddings, activations)
def test_max_pool(height: int, width: int, source: int, kernel: int, stride: int, padding: str, act: str) -> None:
    settings_of = options(
        "Pool2D", strideH=stride, strideW=stride, padding=padding, filterHeight=kernel, filterWidth=kernel,
        fusedActivationFunction=act,
    )  # fmt: skip
    rows, columns = (out(n, kernel, stride, padding) for n in (height, width))
    tensors = [((1, height, width, source), "float32", None), ((1, rows, columns, source), "float32", None)]
    assert same(network_of("MAX_POOL_2D", settings_of, tensors, [0]))


@few
@given(
    sizes, sizes, sizes, sizes, channels, st.sampled_from(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")),
    st.sampled_from(((False, False), (True, False), (False, True))),
)  # fmt: skip
def test_resize(
    height: int, width: int, rows: int, columns: int, source: int, kind: str, places: tuple[bool, bool]
) -> None:
    names = {"RESIZE_BILINEAR": "ResizeBilinear", "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor"}
    align, half = places
    if kind == "RESIZE_NEAREST_NEIGHBOR" and places == (False, False):
        # At other sizes the last bit of a product decides which neighbour is nearest.
        rows, columns = 2 * height, 3 * width
    tensors = [
        ((1, height, width, source), "float32", None),
        ((1, rows, columns, source), "float32", None),
        ((2,), "int32", (rows, columns)),
    ]
    made = options(names[kind], alignCorners=align, halfPixelCenters=half)
    assert same(network_of(kind, made, tensors, [0, 2], version=3))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenation(axis: int) -> None:
    joined, other = [1, 4, 6, 3], [1, 4, 6, 3]
    other[axis] = 2
    joined[axis] += 2
    tensors = [((1, 4, 6, 3), "float32", None), (joined, "float32", None), (other, "float32", normal(*other))]
    assert same(network_of("CONCATENATION", options("Concatenation", axis=axis), tensors, [0, 2]))


@pytest.mark.parametrize("shape", [(1, 4, 6, 3), (3,), (1,)])
def test_addition_of_what_stands_in_the_file(shape: tuple[int, ...]) -> None:
    tensors = [
        ((1, 4, 6, 3), "float32", None),
        ((1, 4, 6, 3), "float32", None),
        (shape, "float32", normal(*shape)),
    ]
    assert same(network_of("ADD", options("Add", fusedActivationFunction="RELU"), tensors, [0, 2]))


def test_padding() -> None:
    amounts = ((0, 0), (1, 2), (3, 0), (0, 1))
    tensors = [((1, 4, 6, 3), "float32", None), ((1, 7, 9, 4), "float32", None), ((4, 2), "int32", amounts)]
    assert same(network_of("PAD", options("Pad"), tensors, [0, 2]))


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("RELU", None),
        ("RELU6", None),
        ("LOGISTIC", None),
        ("SOFTMAX", options("Softmax", beta=1.0)),
        ("SOFTMAX", options("Softmax", beta=0.5)),
    ],
)
def test_what_is_done_to_each_pixel(kind: str, made: Any) -> None:
    tensors = [((1, 5, 7, 3), "float32", None), ((1, 5, 7, 3), "float32", None)]
    assert same(network_of(kind, made, tensors, [0]))


def int8_convolution(act: str, zero_point: int, *, largest: int = 127, depthwise: bool = False) -> bytes:
    """3 x 3 over four channels, weights up to int8's largest value, one scale per channel."""
    scales = np.array([0.01, 0.02, 0.005, 0.03], np.float32)
    shape, axis = ((1, 3, 3, 4), 3) if depthwise else ((4, 3, 3, 4), 0)
    kind, version = ("DEPTHWISE_CONV_2D", 3) if depthwise else ("CONV_2D", 3)
    more = {"depthMultiplier": 1} if depthwise else {}
    settings_of = options(
        "DepthwiseConv2D" if depthwise else "Conv2D", strideH=1, strideW=1, padding="SAME", dilationHFactor=1,
        dilationWFactor=1, fusedActivationFunction=act, **more,
    )  # fmt: skip
    weights = np.random.default_rng(1).integers(-largest, largest + 1, shape)
    tensors = [
        ((1, 32, 32, 4), "int8", None, [0.05], -3, 0),
        ((1, 32, 32, 4), "int8", None, [0.1], zero_point, 0),
        (shape, "int8", weights, list(scales), 0, axis),
        ((4,), "int32", (5, -2000, 700, 0), list(0.05 * scales), 0, 0),
    ]
    return network_of(kind, settings_of, tensors, [0, 2, 3], version)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("act", "zero_point"), [("NONE", 0), ("NONE", -128), ("RELU", -128), ("RELU", -7), ("RELU6", -7), ("RELU6", -128)]
)
def test_int8_convolutions_differ_in_no_bit_but_halves(act: str, zero_point: int, depthwise: bool) -> None:
    known, other = results(int8_convolution(act, zero_point, depthwise=depthwise))
    assert np.abs(known - other).max() <= 1
    assert np.mean(known != other) <= 0.001
    assert len(np.unique(known)) > 20  # not all of it clipped


@pytest.mark.parametrize("act", ["NONE", "RELU"])
def test_openvino_differs_by_one_at_most_or_says_why(act: str) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'edge-seg[peers]'")
    for largest in (63, 127):  # sums of products with weights up to 63 cannot saturate
        flatbuffer = int8_convolution(act, -7, largest=largest)
        known, other = TFLiteRuntime(flatbuffer, 1, "litert"), OpenVinoRuntime(flatbuffer, 1)
        tensor = np.random.default_rng(2).integers(-128, 128, known.input.shape).astype(np.int8)
        difference = np.abs(known.run(tensor).astype(int) - other.run(tensor))
        assert difference.max() <= 1 or (largest > 63 and "saturate" in other.notes[0])


def test_int8_convolutions_run_in_int8_with_what_is_fused_into_them() -> None:
    kinds = {
        times.kind: times.name
        for times in OnnxRuntime(int8_convolution("RELU", -7), 1).operator_times(
            np.zeros((1, 32, 32, 4), np.int8), runs=1
        )
    }
    assert "QLinearConv" in kinds
    assert not {"Conv", "FusedConv"} & kinds.keys()
    assert kinds["QLinearConv"] == "layer_1"


@pytest.mark.parametrize(("kind", "scale"), [("QUANTIZE", 0.07), ("RESIZE_BILINEAR", 0.05), ("LOGISTIC", 1 / 256)])
def test_int8_operators_differ_by_one_at_most(kind: str, scale: float) -> None:
    rows, version = (16, 3) if kind == "RESIZE_BILINEAR" else (8, 2)
    zero_point = -128 if kind == "LOGISTIC" else 4
    tensors = [
        ((1, 8, 8, 3), "int8", None, [0.05], 4, 0),
        ((1, rows, rows, 3), "int8", None, [scale], zero_point, 0),
        ((2,), "int32", (16, 16)),
    ]
    made = options("ResizeBilinear", halfPixelCenters=True) if kind == "RESIZE_BILINEAR" else None
    known, other = results(network_of(kind, made, tensors, [0, 2] if made else [0], version))
    assert np.abs(known - other).max() <= 1
    assert len(np.unique(known)) > 20


def test_float_to_int8_and_back() -> None:
    real, stored = ((1, 8, 8, 3), "float32", None), ((1, 8, 8, 3), "int8", None, [0.1], -5, 0)
    known, other = results(network_of("QUANTIZE", None, [real, stored], [0]))
    assert np.mean(known != other) <= 0.01
    assert same(network_of("DEQUANTIZE", None, [stored, real], [0], version=2))


def test_an_unknown_operator_is_named(make_flatbuffer: Callable[..., bytes]) -> None:
    with pytest.raises(ModelError, match="operator HARD_SWISH cannot be translated"):
        OnnxRuntime(make_flatbuffer(operator="HARD_SWISH"), 1)
    with pytest.raises(ModelError, match="operator edgetpu-custom-op cannot be translated"):
        OnnxRuntime(make_flatbuffer(operator="CUSTOM", custom="edgetpu-custom-op"), 1)


def test_what_an_operator_asks_for_and_cannot_have_is_named() -> None:
    image = ((1, 8, 8, 3), "float32", None)
    with pytest.raises(ModelError, match="activation 4 of ADD cannot be translated"):
        to_onnx(read_network(network_of("ADD", options("Add", fusedActivationFunction="TANH"), [image] * 2, [0, 0])))
    with pytest.raises(ModelError, match="layer_0 has 2 dimensions"):
        to_onnx(read_network(network_of("RELU", None, [((1, 8), "float32", None)] * 2, [0])))
    with pytest.raises(ModelError, match="layer_1 is uint8"):
        to_onnx(read_network(network_of("QUANTIZE", None, [image, ((1, 8, 8, 3), "uint8", None, [0.1], 3, 0)], [0])))
    with pytest.raises(ModelError, match="lacks its input 1"):
        to_onnx(read_network(network_of("ADD", options("Add"), [image] * 2, [0])))


def test_bytes_that_are_no_network_are_refused() -> None:
    whole = int8_convolution("NONE", 0)
    with pytest.raises(ModelError, match="not a TFLite flatbuffer"):
        read_network(b"\0" * 64)
    with pytest.raises(ModelError, match="cannot be read"):
        read_network(whole[:100])
    for length in range(8, len(whole), 41):
        with suppress(ModelError):  # and no other error
            read_network(whole[:length])


def test_the_translation_holds_to_the_rules_of_onnx(lungs: Any) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(to_onnx(read_network(lungs.flatbuffer)))
    onnx.checker.check_model(model, full_check=True)
    # Dimensions are reordered only at the two ends.
    assert [node.op_type for node in model.graph.node].count("Transpose") == 2
