"""Fixtures shared by several packages' tests: the folder of real films, the shipped model, and a tiny model."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

# Before numpy is loaded: tests run in parallel, and the threads of small matrix products wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import edge_seg.phantom
import numpy as np
import pytest
from edge_seg.model_file import COMPILED_NAME, Manifest, ModelFile, shipped_models
from edge_seg.structures import CHEST
from hypothesis import HealthCheck, settings

# The time that an example takes shows how busy the machine is, not whether the code is right.
settings.register_profile(
    "edge-seg",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("edge-seg")

# What `--fast` leaves out, and what it hides so that no test imports it by accident.
SLOW_MARKS = {"slow", "training", "device", "data"}
# JAX is not hidden: scipy checks whether it was imported, and would take the placeholder for the module.
FRAMEWORKS = ("tensorflow", "keras", "tf_keras", "tensorflow_model_optimization")

# Hundreds of tests draw the same few chests, at a tenth of a second of processor time each: they get copies.
_painted = lru_cache(maxsize=128)(edge_seg.phantom.phantom)
edge_seg.phantom.phantom = lambda *words, **options: deepcopy(_painted(*words, **options))

# The lab is not in the distribution: commands started by tests find it in the checkout.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parents[1] / "benchmarks"), os.environ.get("PYTHONPATH")])
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fast`: see `SLOW_MARKS`."""
    parser.addoption("--fast", action="store_true", help="only quick tests, without TensorFlow or real radiographs")


def pytest_configure(config: pytest.Config) -> None:
    """Hide the frameworks from a fast run: modules that need them skip themselves before loading anything."""
    if config.getoption("--fast"):
        for framework in FRAMEWORKS:
            sys.modules[framework] = None  # type: ignore[assignment]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave marked tests out of a fast run; start with the slowest files, so that none is left for the end."""
    slow = Counter(item.path for item in items if SLOW_MARKS & {mark.name for mark in item.iter_markers()})
    items.sort(key=lambda item: -slow[item.path])
    if config.getoption("--fast"):
        left_out = [item for item in items if SLOW_MARKS & {mark.name for mark in item.iter_markers()}]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def films_folder() -> Path:
    """The folder of real radiographs, or a skip with the reason."""
    named = os.environ.get("EDGE_SEG_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip("real radiographs are not here: set EDGE_SEG_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def lungs() -> ModelFile:
    """The shipped model."""
    return ModelFile.read(shipped_models()["lungs"])


@pytest.fixture(scope="session")
def make_flatbuffer() -> Callable[..., bytes]:
    """Makes a network of one 1 x 1 convolution, int8 by default; see `flatbuffer_of_one_convolution`."""
    return flatbuffer_of_one_convolution


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `make_tiny_model`."""
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def compiled_model(make_flatbuffer: Callable[..., bytes]) -> ModelFile:
    """A model with a network for the CPU and one whose only operator needs the Edge TPU's delegate."""
    compiled = make_flatbuffer(operator="CUSTOM", custom="edgetpu-custom-op")
    facts = {"sha256": hashlib.sha256(compiled).hexdigest(), "operators_mapped": 1}
    manifest = Manifest("compiled", "1", CHEST[:3], 64, 64, thresholds=(0.5, 0.5, 0.5), edge_tpu=facts)
    made = ModelFile(manifest, make_flatbuffer(), associated={COMPILED_NAME: compiled})
    return ModelFile.from_bytes(made.to_bytes())


@pytest.fixture(scope="session")
def stub_delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A stand-in for the Edge TPU's library; the variable STUB_DELEGATE sets whether it works, crashes or hangs."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make the stand-in with")
    made = tmp_path_factory.mktemp("native") / "libstub.so"
    source = Path(__file__).parent / "edge" / "native" / "stub_delegate.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source)], check=True)
    return str(made)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run([*words, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return cert, key


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """Run training steps eagerly: tracing and compiling a step costs as much as a hundred small steps.

    For runs of a few steps in tests that are not about the steps. Other tests compile theirs.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def make_tiny_model(folder: Path) -> Path:
    """Write a model file of 64 x 64 pixels that outlines bright pixels as each structure of the chest."""
    manifest = Manifest("tiny", "1", CHEST[:3], 64, 64, quantisation="int8-ptq", thresholds=(0.5, 0.5, 0.5))
    path = folder / "tiny.tflite"
    path.write_bytes(ModelFile(manifest, flatbuffer_of_one_convolution(), "# Card", "Licence").to_bytes())
    return path


def flatbuffer_of_one_convolution(
    *,
    dtype: str = "int8",
    batch: int = 1,
    per_channel: bool = True,
    moving: bool = False,
    operator: str = "CONV_2D",
    custom: str = "",
) -> bytes:
    """A TFLite flatbuffer, written with LiteRT's schema: `(batch, 64, 64, 1)` to three logits.

    Args:
        dtype: of input and output, `int8` or `float32`.
        batch: first dimension of both.
        per_channel: whether the weights have a scale for each output channel.
        moving: whether the batch dimension is left open in the tensors' signature.
        operator: what the one operator claims to be; only CONV_2D can be run.
        custom: name of the custom operator for CUSTOM.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.description = 3, "one convolution"
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, operator)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 3 if dtype == "int8" else 1
    if custom:
        code.customCode, code.version = custom, 1
    model.operatorCodes = [code]

    quantised = dtype == "int8"
    kind = schema.TensorType.INT8 if quantised else schema.TensorType.FLOAT32
    scales = 3 if per_channel else 1
    weights = np.array([127, 100, 60], np.int8) if quantised else np.ones(3, np.float32)
    bias = np.zeros(3, np.int32 if quantised else np.float32)
    tensors = []
    for name, shape, tensor_kind, buffer, scale, zero_point in (
        ("film", (batch, 64, 64, 1), kind, 1, [1 / 127], [0]),
        ("logits", (batch, 64, 64, 3), kind, 2, [1 / 16], [0]),
        ("weights", (3, 1, 1, 1), kind, 3, [8 / 127] * scales, [0] * scales),
        ("bias", (3,), schema.TensorType.INT32 if quantised else kind, 4, [8 / 127 / 127] * scales, [0] * scales),
    ):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), tensor_kind, buffer
        if moving and shape[0] == batch and len(shape) == 4 and name in ("film", "logits"):
            tensor.shapeSignature = [-1, *shape[1:]]
        if quantised:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = scale, zero_point
        tensors.append(tensor)

    step = schema.OperatorT()
    step.opcodeIndex, step.inputs, step.outputs = 0, [0, 2, 3], [1]
    if operator == "CONV_2D":
        step.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        step.builtinOptions = schema.Conv2DOptionsT()
        step.builtinOptions.strideW = step.builtinOptions.strideH = 1
        step.builtinOptions.dilationWFactor = step.builtinOptions.dilationHFactor = 1

    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [step], [0], [1]
    model.subgraphs = [graph]
    model.buffers = []
    for data in (b"", b"", b"", weights.tobytes(), bias.tobytes()):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8) if data else None
        model.buffers.append(buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
