"""The other engines: the same network gives the same masks, on the requested number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_seg import Segmenter
from edge_seg.errors import DeviceError, ModelError
from edge_seg.film import Film
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.phantom import phantom
from edge_seg.runtime import Runtime, TFLiteRuntime
from edge_seg.sources import read_film

pytestmark = pytest.mark.slow

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from edge_seg_benchmarks.peers import ENGINES, OperatorKind, by_kind, open_engine, operator_profile
from edge_seg_benchmarks.peers.profile import ProfiledOperator

PEERS = {"onnxruntime": ("onnxruntime", "onnx"), "openvino": ("openvino",)}
"""Modules that each needs."""

# Measured on eight phantoms of the three shipped models: onnxruntime at most 0.06 % of a mask's pixels, 6 % of the
# logits, by at most 12 of 255; openvino on a processor without VNNI, where its sums saturate, at most 0.5 %, 10 %, 128.
MASK_PIXELS = {"onnxruntime": 0.002, "openvino": 0.01}
LOGITS = {"onnxruntime": 0.12, "openvino": 0.2}
LOGIT_STEPS = {"onnxruntime": 24}
FLOAT_CLOSE = 1e-5  # of the largest logit; measured 1e-6
FLOAT_MASK_PIXELS = 1e-4


@pytest.fixture(params=PEERS)
def engine(request: pytest.FixtureRequest) -> str:
    """Name of an engine that is installed."""
    for package in PEERS[request.param]:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'edge-seg[peers]'")
    return str(request.param)


class Recorder:
    """Passes everything on to a runtime and keeps the last output tensor."""

    def __init__(self, runtime: Runtime) -> None:
        self.name, self.delegate, self.threads, self.notes = (
            runtime.name, runtime.delegate, runtime.threads, runtime.notes,
        )  # fmt: skip
        self.input, self.output, self._runtime = runtime.input, runtime.output, runtime
        self.last = np.zeros(0)

    def run(self, tensor: np.ndarray) -> np.ndarray:
        self.last = self._runtime.run(tensor).copy()
        return self.last


def compare(engine: str, model: ModelFile, films: list[Film]) -> tuple[float, float, float]:
    """Against LiteRT: largest share of a mask's pixels and share of logits that differ, and the largest difference."""
    runtimes = [Recorder(open_engine(name, model, 1)) for name in ("litert", engine)]
    segmenters = [Segmenter(model, runtime, gate=False) for runtime in runtimes]
    pixels, share, most = 0.0, 0.0, 0.0
    for film in films:
        known, other = (segmenter(film) for segmenter in segmenters)
        assert all(mask.any() for mask in known.masks.values())
        pixels = max(pixels, *(float(np.mean(mask != other.masks[name])) for name, mask in known.masks.items()))
        difference = np.abs(runtimes[0].last.astype(float) - runtimes[1].last)
        share, most = max(share, float(np.mean(difference > 0))), max(most, float(difference.max()))
    return pixels, share, most


def real_valued(model: ModelFile, weights: str = "float32") -> ModelFile:
    """An int8 model of convolutions, additions and upsampling, converted back to float32.

    Args:
        model: the model to convert.
        weights: `float32`; `float16`, each converted to float32 by an operator; or `int8`, as in dynamic-range
            quantisation.
    """
    network = schema.ModelT.InitFromPackedBuf(model.flatbuffer)
    graph = network.subgraphs[0]
    widened = []
    for index, tensor in enumerate(graph.tensors):
        scale = tensor.quantization.scale if tensor.quantization else None
        if scale is None:
            continue
        stored = network.buffers[tensor.buffer].data
        if stored is not None and weights == "int8" and tensor.type == schema.TensorType.INT8:
            continue
        if stored is not None:
            kind = np.int8 if tensor.type == schema.TensorType.INT8 else np.int32
            along = [1] * len(tensor.shape)
            if len(scale) > 1:
                along[tensor.quantization.quantizedDimension] = -1
            values = np.frombuffer(stored.tobytes(), kind).reshape(tensor.shape) * np.reshape(scale, along)
            half = weights == "float16"
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.astype(np.float16 if half else np.float32).tobytes(), np.uint8)
            network.buffers.append(buffer)
            tensor.buffer = len(network.buffers) - 1
            widened += [index] * half
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    steps = []
    for index in widened:
        small, code, step = schema.TensorT(), schema.OperatorCodeT(), schema.OperatorT()
        tensor = graph.tensors[index]
        small.name, small.shape, small.type = f"half {index}", tensor.shape, schema.TensorType.FLOAT16
        small.buffer, tensor.buffer = tensor.buffer, 0
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
        code.version = 3
        graph.tensors.append(small)
        network.operatorCodes.append(code)
        step.opcodeIndex, step.inputs, step.outputs = len(network.operatorCodes) - 1, [len(graph.tensors) - 1], [index]
        steps.append(step)
    graph.operators = steps + graph.operators
    builder = flatbuffers.Builder(1024)
    builder.Finish(network.Pack(builder), b"TFL3")
    return ModelFile(model.manifest, bytes(builder.Output()))


def test_names_of_engines() -> None:
    assert ENGINES == ("litert", "tflite", "onnxruntime", "openvino", "edgetpu")
    with pytest.raises(DeviceError, match="no engine is called tensorrt: choose from litert, tflite, onnxruntime"):
        open_engine("tensorrt", ModelFile.read("lungs-nano"), 1)


def test_litert_is_the_one_of_the_device() -> None:
    runtime = open_engine("litert", ModelFile.read("lungs-nano"), 1)
    assert isinstance(runtime, TFLiteRuntime)
    assert runtime.name.startswith("litert ")


@pytest.mark.parametrize("name", shipped_models())
def test_int8_masks_are_those_of_litert(engine: str, name: str) -> None:
    films = [phantom(512, 480, seed=seed, bits=16 if seed % 2 else 8).film for seed in range(4)]
    pixels, share, most = compare(engine, ModelFile.read(name), films)
    assert pixels <= MASK_PIXELS[engine]
    assert share <= LOGITS[engine]
    assert most <= LOGIT_STEPS.get(engine, 255)


@pytest.mark.parametrize("weights", ["float32", "float16"])
def test_float_masks_are_those_of_litert(engine: str, weights: str) -> None:
    model = real_valued(ModelFile.read("lungs-nano"), weights)
    films = [phantom(512, 480, seed=seed).film for seed in range(3)]
    pixels, _, most = compare(engine, model, films)
    recorder = Recorder(open_engine("litert", model, 1))
    Segmenter(model, recorder, gate=False)(films[0])
    assert recorder.last.dtype == np.float32
    assert pixels <= FLOAT_MASK_PIXELS
    assert most <= FLOAT_CLOSE * np.abs(recorder.last).max()


def test_weights_alone_in_int8_are_computed_with_as_float32_and_it_says_so(engine: str) -> None:
    whole = ModelFile.read("lungs-nano")
    model = real_valued(whole, "int8")
    runtime = open_engine(engine, model, 1)
    assert runtime.notes == (f"{engine} computes with the int8 weights as float32",)
    tensor = np.random.default_rng(0).standard_normal(runtime.input.shape).astype(np.float32)
    widened = open_engine(engine, real_valued(whole), 1)
    assert widened.notes == ()
    expected = widened.run(tensor)
    assert np.abs(runtime.run(tensor) - expected).max() <= FLOAT_CLOSE * np.abs(expected).max()


@pytest.mark.data
def test_masks_of_real_films_are_those_of_litert(engine: str, lungs: ModelFile, films_folder: Path) -> None:
    paths = sorted((films_folder / "adult" / "images").iterdir())[:6]
    pixels, _, _ = compare(engine, lungs, [read_film(path) for path in paths])
    assert pixels <= MASK_PIXELS[engine]


@pytest.mark.parametrize("name", shipped_models())
def test_tensors_are_those_of_the_flatbuffer(engine: str, name: str) -> None:
    model = ModelFile.read(name)
    known, other = open_engine("litert", model, 1), open_engine(engine, model, 1)
    assert (other.input, other.output) == (known.input, known.output)
    tensor = np.random.default_rng(0).integers(-128, 128, known.input.shape).astype(np.int8)
    first = other.run(tensor)
    assert (first.dtype, first.shape) == (np.int8, known.output.shape)
    kept = first.copy()
    other.run(-1 - tensor)
    np.testing.assert_array_equal(first, kept)  # the next result does not overwrite it


def test_name_and_delegate_stand_on_the_result(engine: str) -> None:
    model = ModelFile.read("lungs-nano")
    result = Segmenter(model, open_engine(engine, model, 1), gate=False)(phantom(256, 256, seed=0).film)
    name, version = result.runtime.split(" ")
    assert name == engine
    assert all(part.isdigit() for part in version.split(".")[:2])
    assert (result.delegate, result.threads) == ("cpu", 1)


# Ticks of each thread, before and after: idle threads of the engine do not count. If other work holds the second
# core, the first thread takes over the waiting work: so it runs until the second has more ticks than any idle thread.
WORKING_THREADS = """
import json, os, sys
from pathlib import Path
import numpy as np
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.peers import open_engine

def ticks():
    lines = ((task.name, (task / "stat").read_text()) for task in Path("/proc/self/task").iterdir())
    return {name: sum(map(int, line.rsplit(")", 1)[1].split()[11:13])) for name, line in lines}

runtime = open_engine(sys.argv[1], ModelFile.read("lungs-large"), int(sys.argv[2]))
tensor = np.zeros(runtime.input.shape, np.int8)
runtime.run(tensor)
before = ticks()

def used():
    return sorted((n - before.get(name, 0) for name, n in ticks().items()), reverse=True)

while sum(now := used()) < 100 or (runtime.threads > 1 and now[1] < 10 and sum(now) < 3000):
    runtime.run(tensor)
print(json.dumps({"threads": runtime.threads, "used": used(), "tensorflow": "tensorflow" in sys.modules}))
"""


def working_threads(engine: str, threads: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", WORKING_THREADS, engine, str(threads)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_one_thread_is_one_thread_and_tensorflow_stays_out(engine: str) -> None:
    found = working_threads(engine, 1)
    assert found["threads"] == 1
    assert sum(found["used"][1:]) <= 0.05 * sum(found["used"])
    assert not found["tensorflow"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_two_threads_share_the_work(engine: str) -> None:
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this process may use one core alone")
    found = working_threads(engine, 2)
    assert found["threads"] == 2
    assert found["used"][1] >= 10
    assert sum(found["used"][2:]) <= 0.05 * sum(found["used"])


def test_more_threads_than_cores_are_not_used(engine: str) -> None:
    model = ModelFile.read("lungs-nano")
    assert open_engine(engine, model, 10_000).threads == open_engine("litert", model, 10_000).threads


@pytest.mark.parametrize(("engine", "package"), [(name, package) for name, needs in PEERS.items() for package in needs])
def test_a_package_that_is_missing_is_named(engine: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in PEERS[engine]:
        if other != package:
            pytest.importorskip(other, reason=f"{other} is not installed: pip install 'edge-seg[peers]'")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DeviceError, match=rf"^{package} cannot be imported .*pip install .*\[peers\]'$"):
        open_engine(engine, ModelFile.read("lungs-nano"), 1)


def test_a_network_that_an_engine_refuses_is_a_model_error_of_one_line(engine: str, make_flatbuffer: Any) -> None:
    manifest = ModelFile.read("lungs-nano").manifest
    flatbuffer = make_flatbuffer(operator="CUSTOM", custom="edgetpu-custom-op")
    with pytest.raises(ModelError) as caught:
        open_engine(engine, ModelFile(manifest, flatbuffer), 1)
    assert "\n" not in str(caught.value)
    assert "edgetpu-custom-op" in str(caught.value)


def test_a_profile_tells_where_the_time_goes(engine: str) -> None:
    runtime = open_engine(engine, ModelFile.read("lungs-nano"), 1)
    tensor = np.zeros(runtime.input.shape, np.int8)
    rows = operator_profile(runtime, tensor, runs=5)
    assert rows is not None
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert len({row.name for row in rows}) > 20
    kinds = by_kind(rows)
    assert [entry.ms for entry in kinds] == sorted((entry.ms for entry in kinds), reverse=True)
    assert sum(entry.count for entry in kinds) == len(rows)
    assert sum(entry.ms for entry in kinds) == pytest.approx(sum(row.ms for row in rows))
    # The network has 18 convolutions; none is left out, or counted once per run.
    assert sum(entry.count for entry in kinds if "Conv" in entry.kind) == 18


def test_a_profile_counts_the_runs_asked_for(engine: str) -> None:
    runtime: Any = open_engine(engine, ModelFile.read("lungs-nano"), 1)
    found = runtime.operator_times(np.zeros(runtime.input.shape, np.int8), 4)
    assert {len(times.milliseconds) for times in found} == {4}


def test_litert_tells_nothing_of_its_operators() -> None:
    runtime = open_engine("litert", ModelFile.read("lungs-nano"), 1)
    assert operator_profile(runtime, np.zeros(runtime.input.shape, np.int8), runs=1) is None


def test_kinds_are_summed() -> None:
    operators = [
        ProfiledOperator("Add", "a", 1.0, 0.1),
        ProfiledOperator("Conv", "b", 6.0, 0.6),
        ProfiledOperator("Add", "c", 3.0, 0.3),
    ]
    conv, add = by_kind(operators)
    assert conv == OperatorKind("Conv", 1, 6.0, 0.6)
    assert (add.kind, add.count, add.ms, add.share) == ("Add", 2, 4.0, pytest.approx(0.4))
