"""The engines: which one is chosen, the message when none works, and the same bytes from the same tensor."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edge_seg import DeviceError, ModelError
from edge_seg.model_file import ModelFile
from edge_seg.runtime import ENGINES, TFLiteRuntime, load_engine

TENSOR = np.random.default_rng(0).integers(-128, 128, (1, 64, 64, 1)).astype(np.int8)


@pytest.fixture
def tflite_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tflite-runtime that imports, as the real one does with any numpy."""
    package, facts = tmp_path / "tflite_runtime", tmp_path / "tflite_runtime-2.14.0.dist-info"
    package.mkdir()
    facts.mkdir()
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text("class Interpreter:\n    pass\n")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: tflite-runtime\nVersion: 2.14.0\n")
    for name in ("tflite_runtime", "tflite_runtime.interpreter"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)


def remove(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Make the import of an engine fail, as if it were not installed."""
    module = ENGINES[engine][0]
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)


def test_litert_is_preferred_and_named_with_its_version(tflite_installed: None) -> None:
    assert load_engine()[1] == f"litert {importlib.metadata.version('ai-edge-litert')}"


def test_tflite_runtime_serves_where_litert_is_absent(tflite_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    remove(monkeypatch, "litert")
    monkeypatch.setattr(np, "__version__", "1.26.4")
    assert load_engine()[1] == "tflite 2.14.0"


@pytest.mark.skipif(np.__version__.startswith("1."), reason="numpy 1 is what tflite-runtime wants")
def test_tflite_runtime_beside_numpy_2_is_refused_with_the_fix(tflite_installed: None) -> None:
    with pytest.raises(DeviceError, match=r"pip install 'numpy<2'") as caught:
        load_engine("tflite")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "package"), [(None, "ai-edge-litert"), ("litert", "ai-edge-litert"), ("tflite", "tflite-runtime")]
)
def test_no_engine_says_what_to_install(engine: str | None, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ENGINES:
        remove(monkeypatch, key)
    with pytest.raises(DeviceError, match=f"pip install {package}") as caught:
        load_engine(engine)
    assert "\n" not in str(caught.value)


def test_an_unknown_engine_is_named_with_those_there_are() -> None:
    with pytest.raises(DeviceError, match=r"warp.*litert, tflite"):
        load_engine("warp")


@pytest.mark.parametrize("asked", [None, -3, 0, 1, 999])
def test_threads_are_between_one_and_the_cores_there_are(make_flatbuffer: Callable[..., bytes], asked: int) -> None:
    runtime = TFLiteRuntime(make_flatbuffer(), threads=asked)
    assert 1 <= runtime.threads <= (os.cpu_count() or 1)
    assert asked != 1 or runtime.threads == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away on this system")
def test_threads_are_clamped_to_the_cores_this_process_may_use(make_flatbuffer: Callable[..., bytes]) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert TFLiteRuntime(make_flatbuffer(), threads=8).threads == 1
    finally:
        os.sched_setaffinity(0, cores)


def test_tensors_are_described_as_they_are(make_flatbuffer: Callable[..., bytes]) -> None:
    quantised, real = TFLiteRuntime(make_flatbuffer()), TFLiteRuntime(make_flatbuffer(dtype="float32"))
    assert quantised.input.shape == real.input.shape == (1, 64, 64, 1)
    assert quantised.output.shape == (1, 64, 64, 3)
    assert quantised.input.dtype == quantised.output.dtype == "int8"
    assert quantised.input.scale == pytest.approx(1 / 127)
    assert (real.input.dtype, real.input.scale, real.output.scale) == ("float32", None, None)


def test_the_same_tensor_gives_the_same_bytes_in_any_number_of_threads(make_flatbuffer: Callable[..., bytes]) -> None:
    outputs = {TFLiteRuntime(make_flatbuffer(), threads=n).run(TENSOR).tobytes() for n in (1, 2, 1, 2)}
    assert len(outputs) == 1


def test_a_result_is_the_callers_own(make_flatbuffer: Callable[..., bytes]) -> None:
    runtime = TFLiteRuntime(make_flatbuffer())
    first = runtime.run(TENSOR)
    kept = first.copy()
    second = runtime.run(np.zeros_like(TENSOR))
    np.testing.assert_array_equal(first, kept)
    assert (first != second).any()


def test_the_shipped_model_gives_the_same_bytes_in_any_number_of_threads(lungs: ModelFile) -> None:
    runtimes = [TFLiteRuntime(lungs.flatbuffer, threads=n) for n in (1, 2)]
    tensor = np.random.default_rng(1).integers(-128, 128, runtimes[0].input.shape).astype(np.int8)
    outputs = {runtime.run(tensor).tobytes() for runtime in runtimes for _ in range(2)}
    assert len(outputs) == 1


@pytest.mark.parametrize("rubbish", [b"", b"TFL3", b"TFL3 but nothing else" * 10, bytes(4096)])
def test_what_is_no_network_is_refused_in_one_line(rubbish: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        TFLiteRuntime(rubbish)
    assert "\n" not in str(caught.value)
