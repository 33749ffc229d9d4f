"""The flatbuffer reader against LiteRT and TensorFlow, and the int8 gate against models that break each rule."""

from __future__ import annotations

import random

import numpy as np
import pytest
from edge_seg import ModelError
from edge_seg.inspection import inspect_model, purity_violations
from edge_seg.inspection.edge_tpu_rules import NEWEST_VERSIONS
from edge_seg.inspection.flatbuffer import _OPERATORS, read_graph
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.runtime import TFLiteRuntime
from edge_seg.structures import CHEST


def test_operator_names_are_those_of_the_schema():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    for number, name in enumerate(_OPERATORS):
        assert getattr(schema.BuiltinOperator, name) == number
    assert set(_OPERATORS) >= set(NEWEST_VERSIONS)


def test_one_convolution(make_flatbuffer):
    graph = read_graph(make_flatbuffer())
    (operator,) = graph.operators
    assert (operator.name, operator.version) == ("CONV_2D", 3)
    assert [t.name for t in graph.inputs] == ["film"]
    assert [t.name for t in graph.outputs] == ["logits"]
    film, weights, bias = operator.inputs
    assert (film.shape, film.dtype, film.constant) == ((1, 64, 64, 1), "int8", False)
    assert (weights.shape, weights.bytes, weights.scales, weights.constant) == ((3, 1, 1, 1), 3, 3, True)
    assert (bias.dtype, bias.bytes) == ("int32", 12)


def test_facts(tiny_model):
    facts = inspect_model(ModelFile.read(tiny_model))
    assert facts.macs == 64 * 64 * 3
    assert (facts.parameters, facts.weight_bytes) == (6, 15)
    assert facts.violations == ()
    assert facts.edge_tpu.mapped
    assert facts.file_bytes == tiny_model.stat().st_size > facts.flatbuffer_bytes


def test_weights_that_come_through_dequantize_are_counted_as_they_stand_in_the_file(make_flatbuffer):
    real = make_flatbuffer(dtype="float32")
    half = with_weights_in_float16(real)
    facts = [inspect_model(ModelFile(Manifest("m", "1", CHEST[:3], 64, 64), one)) for one in (real, half)]
    assert [(one.macs, one.parameters) for one in facts] == [(64 * 64 * 3, 6)] * 2
    assert [one.weight_bytes for one in facts] == [24, 12]
    assert "2 DEQUANTIZE" in purity_violations(half)
    film = np.random.default_rng(0).random((1, 64, 64, 1), np.float32)
    np.testing.assert_array_equal(TFLiteRuntime(half).run(film), TFLiteRuntime(real).run(film))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"dtype": "float32"}, ["float tensors", "input is float32", "output is float32"]),
        ({"batch": 2}, ["batch of the input is (2,), not 1", "batch of the output"]),
        ({"per_channel": False}, ["per tensor"]),
        ({"moving": True}, ["2 tensors without a static shape"]),
        ({"operator": "DEQUANTIZE"}, ["1 DEQUANTIZE"]),
        ({"operator": "STRIDED_SLICE"}, ["1 STRIDED_SLICE"]),
        ({"operator": "PACK"}, ["1 PACK"]),
        ({"operator": "SHAPE"}, ["1 SHAPE"]),
        ({"operator": "LEAKY_RELU"}, ["1 LEAKY_RELU, which the Edge TPU does not map"]),
        ({"operator": "GELU"}, ["1 GELU"]),
    ],
)
def test_each_breach_is_named(make_flatbuffer, broken, said):
    found = purity_violations(make_flatbuffer(**broken))
    for words in said:
        assert any(words in violation for violation in found), found
    assert len(found) == len(said)


def test_the_pure_one_is_pure(make_flatbuffer):
    assert purity_violations(make_flatbuffer()) == []


def test_quantize_may_change_the_scale_and_not_the_type(make_flatbuffer):
    assert purity_violations(make_flatbuffer(operator="QUANTIZE")) == []
    assert any(
        "float" in violation for violation in purity_violations(make_flatbuffer(operator="QUANTIZE", dtype="float32"))
    )


def test_damage_is_a_model_error_and_nothing_else(make_flatbuffer):
    whole = make_flatbuffer()
    chance = random.Random(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(8, len(damaged))] = chance.randrange(256)
        try:
            read_graph(bytes(damaged))
        except ModelError:
            refused += 1
    assert refused > 0
    for cut in (0, 5, 20, len(whole) // 2):
        with pytest.raises(ModelError):
            read_graph(whole[:cut])


@pytest.mark.training
def test_what_tensorflow_converts():
    keras = pytest.importorskip("keras")
    convert = pytest.importorskip("edge_seg_quantize.convert")
    layers = keras.layers
    film = keras.Input((32, 32, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(film)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    logits = layers.Conv2DTranspose(3, 2, strides=2, use_bias=False)(x)
    model = keras.Model(film, logits)
    rng = np.random.default_rng(0)
    # All-zero biases would be one constant in float, but one per layer in int8.
    for layer in model.layers:
        layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    films = rng.random((4, 32, 32, 1), np.float32)

    real = convert.to_float32(model)
    assert any("float" in violation for violation in purity_violations(real))

    whole = convert.to_int8_after_training(model, films)
    assert purity_violations(whole) == []
    facts = inspect_model(ModelFile(Manifest("m", "1", CHEST[:3], 32, 32), whole))
    macs = {kind.name: kind.macs for kind in facts.operators}
    assert macs["CONV_2D"] == 16 * 16 * 4 * 9
    assert macs["DEPTHWISE_CONV_2D"] == 16 * 16 * 4 * 9
    assert macs["TRANSPOSE_CONV"] == 16 * 16 * 4 * 3 * 4

    plain = inspect_model(ModelFile(Manifest("m", "1", CHEST[:3], 32, 32), real))
    half = inspect_model(ModelFile(Manifest("m", "1", CHEST[:3], 32, 32), convert.to_float16(model)))
    dynamic = inspect_model(ModelFile(Manifest("m", "1", CHEST[:3], 32, 32), convert.to_dynamic_range(model)))
    for other in (plain, half, dynamic):
        assert (other.macs, other.parameters) == (facts.macs, facts.parameters)
    assert half.weight_bytes * 2 == plain.weight_bytes

    # By default a converter keeps float inputs and outputs around the int8 network.
    ends = convert._converter(model)
    import tensorflow as tf

    ends.optimizations = [tf.lite.Optimize.DEFAULT]
    ends.representative_dataset = lambda: ([one[None]] for one in films)
    found = purity_violations(ends.convert())
    assert any("float tensors" in violation for violation in found)
    assert "1 DEQUANTIZE" in found


def with_weights_in_float16(flatbuffer: bytes) -> bytes:
    """The network of one float32 convolution with its weights and bias in float16, each through a DEQUANTIZE."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3
    model.operatorCodes.append(code)
    for index in (2, 3):
        real, half, step = graph.tensors[index], schema.TensorT(), schema.OperatorT()
        half.name, half.type = f"half {index}", schema.TensorType.FLOAT16
        half.shape, half.buffer = real.shape, real.buffer
        values = np.asarray(model.buffers[real.buffer].data, np.uint8).view(np.float32).astype(np.float16)
        model.buffers[real.buffer].data = values.view(np.uint8)
        real.buffer = 0
        step.opcodeIndex, step.inputs, step.outputs = 1, [len(graph.tensors)], [index]
        graph.tensors.append(half)
        graph.operators.insert(0, step)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
