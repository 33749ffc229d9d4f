"""The Edge TPU's published rules: one network breaking each, and sizes that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner
from edge_seg.cli.inspect import inspect
from edge_seg.inspection.edge_tpu_rules import NEWEST_VERSIONS, OVERHEAD_BYTES, SRAM_BYTES, predict_edge_tpu
from edge_seg.inspection.flatbuffer import Graph, Operator, Tensor, read_graph
from edge_seg.model_file import ModelFile


def tensor(*shape, dtype="int8", constant=0, scales=1, static=True):
    return Tensor("t", shape, dtype, constant > 0, constant, scales, static)


PICTURE = tensor(1, 32, 32, 8)
WEIGHTS, BIAS = tensor(16, 3, 3, 8, constant=1152, scales=16), tensor(16, dtype="int32", constant=64, scales=16)
SHAPE = tensor(4, dtype="int32", constant=16, scales=0)


def convolution(**changed):
    return replace(Operator("CONV_2D", 3, (PICTURE, WEIGHTS, BIAS), (tensor(1, 32, 32, 16),)), **changed)


def predicted(*operators):
    everything = tuple(t for o in operators for t in (*o.inputs, *o.outputs))
    films = tuple(t for t in operators[0].inputs if not t.constant)
    return predict_edge_tpu(Graph(operators, everything, films, operators[-1].outputs))


def test_one_convolution_obeys_and_its_bytes_are_those_counted_by_hand():
    found = predicted(convolution())
    assert (found.mapped, found.reasons, found.doubts) == (True, (), ())
    # 1152 of weights, 64 of biases and 16 multipliers of 4 make exactly five granules of 256.
    assert found.parameter_bytes == 1152 + 64 + 64 == 5 * 256
    assert found.sram_share == round(1280 / SRAM_BYTES, 4)
    assert found.largest_activation_bytes == 32 * 32 * 16
    assert found.streamed_bytes == 0


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        (convolution(name="GELU"), "GELU is not an operator of the Edge TPU"),
        (convolution(version=6), "CONV_2D version 6 is newer than 5"),
        (convolution(outputs=(tensor(1, 32, 32, 16, dtype="float32"),)), "float32, not 8-bit"),
        (convolution(outputs=(tensor(1, 32, 32, 16, static=False),)), "no static shape"),
        (convolution(outputs=(tensor(2, 32, 32, 16),)), "more than three dimensions"),
        (Operator("MAX_POOL_2D", 2, (PICTURE,), (PICTURE,), activation=True), "MAX_POOL_2D has an activation fused"),
        (Operator("CONCATENATION", 2, (PICTURE, PICTURE), (PICTURE,), activation=True), "has an activation fused"),
        (Operator("CONCATENATION", 2, (PICTURE, PICTURE, WEIGHTS), (PICTURE,)), "joins a constant"),
        (Operator("TRANSPOSE_CONV", 3, (SHAPE, WEIGHTS, PICTURE, BIAS), (PICTURE,)), "TRANSPOSE_CONV has a bias"),
        (Operator("TRANSPOSE_CONV", 4, (SHAPE, WEIGHTS, PICTURE), (PICTURE,)), "TRANSPOSE_CONV version 4 is newer"),
        (Operator("RESIZE_BILINEAR", 2, (PICTURE, SHAPE), (tensor(1, 512, 512, 8),)), "RESIZE_BILINEAR to 512 x 512"),
        (Operator("MEAN", 2, (PICTURE, SHAPE), (tensor(1, 32, 32),)), "MEAN works along another dimension"),
        (Operator("FULLY_CONNECTED", 4, (PICTURE, WEIGHTS), (tensor(4, 16),)), "more than one dimension"),
        (Operator("SOFTMAX", 2, (tensor(1, 20_000),), (tensor(1, 20_000),)), "at most 16,000"),
    ],
)
def test_each_breach_is_the_only_one_named(operator, said):
    found = predicted(operator)
    assert not found.mapped
    assert len(found.reasons) == 1
    assert said in found.reasons[0]


@pytest.mark.parametrize(
    "operator",
    [
        Operator("MAX_POOL_2D", 2, (PICTURE,), (PICTURE,)),
        Operator("TRANSPOSE_CONV", 2, (SHAPE, WEIGHTS, PICTURE), (PICTURE,)),
        Operator("RESIZE_BILINEAR", 2, (PICTURE, SHAPE), (tensor(1, 128, 128, 8),)),
        Operator("MEAN", 2, (PICTURE, SHAPE), (tensor(1, 8),)),
    ],
)
def test_the_same_operators_within_their_limits(operator):
    found = predicted(operator)
    assert (found.reasons, found.doubts) == ((), ())


def test_what_is_not_published_is_a_doubt_and_no_breach():
    found = predicted(Operator("RESIZE_BILINEAR", 3, (PICTURE, SHAPE), (tensor(1, 224, 224, 8),)))
    assert found.mapped
    assert any("limit is not published" in doubt for doubt in found.doubts)
    assert any("needs compiler 16.0" in doubt for doubt in found.doubts)


def test_a_breach_in_many_places_is_one_line():
    assert predicted(*[convolution(version=6)] * 3).reasons[0].endswith("(3 times)")


def test_parameters_beyond_the_chip_are_streamed():
    heavy = tensor(2048, 3, 3, 512, constant=2048 * 9 * 512, scales=2048)
    found = predicted(convolution(inputs=(PICTURE, heavy)))
    assert found.sram_share > 1
    over = found.parameter_bytes + OVERHEAD_BYTES + found.largest_activation_bytes - SRAM_BYTES
    assert found.streamed_bytes == over > 0
    wide = predicted(convolution(outputs=(tensor(1, 4096, 4096, 16),)))
    assert wide.streamed_bytes == wide.parameter_bytes
    assert any("larger than the memory" in doubt for doubt in wide.doubts)


def test_every_operator_after_the_first_one_on_the_cpu_stays_there_too():
    relu = Operator("HARD_SWISH", 1, (PICTURE,), (PICTURE,))
    forecast = predicted(convolution(), relu, convolution()).operators
    assert [one.mapped for one in forecast] == [True, False, False]
    assert [one.name for one in forecast] == ["CONV_2D", "HARD_SWISH", "CONV_2D"]
    assert forecast[0].reason == ""
    assert "not an operator of the Edge TPU" in forecast[1].reason
    assert "follows one" in forecast[2].reason
    assert forecast[0].shape == (1, 32, 32, 16)


def test_inspect_tells_operator_by_operator(lungs: ModelFile):
    said = CliRunner().invoke(inspect, ["lungs", "--operators"], catch_exceptions=False).output
    mapped = [line for line in said.splitlines() if " mapped" in line]
    assert len(mapped) == len(read_graph(lungs.flatbuffer).operators)
    assert sum("CONV_2D" in line for line in mapped) > 10


def test_the_fused_activation_is_read_from_the_file():
    import flatbuffers

    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    for name, options in (
        ("MAX_POOL_2D", schema.Pool2DOptionsT()),
        ("CONCATENATION", schema.ConcatenationOptionsT()),
        ("TRANSPOSE_CONV", schema.TransposeConvOptionsT()),
    ):
        for activation in (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU):
            code, step, graph, model = (
                schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT(),
            )  # fmt: skip
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
            options.fusedActivationFunction = activation
            step.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            step.builtinOptions, step.opcodeIndex, step.inputs, step.outputs = options, 0, [], []
            graph.operators, graph.tensors, graph.inputs, graph.outputs = [step], [], [], []
            model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], []
            builder = flatbuffers.Builder(256)
            builder.Finish(model.Pack(builder), b"TFL3")
            (operator,) = read_graph(bytes(builder.Output())).operators
            assert (operator.name, operator.activation) == (name, activation > 0)


def test_the_shipped_model_obeys(lungs: ModelFile):
    found = predict_edge_tpu(read_graph(lungs.flatbuffer))
    assert found.mapped
    assert found.streamed_bytes == 0
    assert len(lungs.flatbuffer) * 0.9 < found.parameter_bytes < len(lungs.flatbuffer)
    assert set(NEWEST_VERSIONS) >= {operator.name for operator in read_graph(lungs.flatbuffer).operators}
