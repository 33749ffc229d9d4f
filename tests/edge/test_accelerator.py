"""The Edge TPU by a stand-in: a delegate library compiled here, that works, finds nothing, crashes or hangs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edge_seg import DeviceError, ModelError, Segmenter, UsageError
from edge_seg import accelerator as module
from edge_seg.accelerator import EdgeTpuRuntime, open_runtime, try_elsewhere
from edge_seg.model_file import COMPILED_NAME, Manifest, ModelFile
from edge_seg.outputs.folder import OutputFolder
from edge_seg.structures import CHEST

Make = Callable[..., bytes]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make the stand-in with")
    made = tmp_path_factory.mktemp("native") / "libstub.so"
    source = Path(__file__).parent / "native" / "stub_delegate.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source)], check=True)
    return str(made)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)


@pytest.fixture
def model(make_flatbuffer: Make) -> ModelFile:
    """A model with a network for the CPU and one whose one operator the delegate alone knows."""
    compiled = make_flatbuffer(operator="CUSTOM", custom="edgetpu-custom-op")
    facts = {"sha256": hashlib.sha256(compiled).hexdigest(), "operators_mapped": 1}
    manifest = Manifest("tiny", "1", CHEST, 64, 64, thresholds=(0.5, 0.5, 0.5), edge_tpu=facts)
    made = ModelFile(manifest, make_flatbuffer(), associated={COMPILED_NAME: compiled})
    return ModelFile.from_bytes(made.to_bytes())


def film() -> np.ndarray:
    pixels = np.zeros((80, 70), np.uint8)
    pixels[20:60, 20:50] = 250
    return pixels


def test_the_delegate_runs_the_compiled_network(
    model: ModelFile, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "work")
    monkeypatch.setenv("STUB_DELEGATE_LOG", str(tmp_path / "log"))
    runtime = open_runtime(model, "edgetpu", library=library)
    assert isinstance(runtime, EdgeTpuRuntime)
    # Once elsewhere, to try it.
    assert (tmp_path / "log").read_bytes() == b"x"
    result = Segmenter(model, runtime, gate=False)(film())
    assert (tmp_path / "log").read_bytes() == b"xx"
    assert result.delegate == "edgetpu"
    assert not any("Edge TPU" in warning for warning in result.warnings)


def test_auto_takes_it_where_it_is_and_the_cpu_where_it_is_not(
    model: ModelFile, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "work")
    assert open_runtime(model, library=library).delegate == "edgetpu"
    absent = open_runtime(model, library="/nowhere/libedgetpu.so.1") if not _real() else None
    if absent is not None:
        assert (absent.delegate, absent.notes) == ("cpu", ())
    assert open_runtime(model, "cpu", library=library).delegate == "cpu"


def _real() -> bool:
    import ctypes.util

    return ctypes.util.find_library("edgetpu") is not None


@pytest.mark.parametrize(
    ("does", "said"), [("absent", "libstub.so"), ("crash", "SIGSEGV"), ("hang", "hung for 4 s")], ids=lambda v: str(v)
)
def test_where_it_fails_the_cpu_does_it_and_every_record_says_so(
    model: ModelFile, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", does)
    monkeypatch.setattr(
        module, "try_elsewhere", lambda compiled, engine, library: try_elsewhere(compiled, engine, library, 4)
    )
    start = time.monotonic()
    runtime = open_runtime(model, library=library)
    assert time.monotonic() - start < 60
    assert runtime.delegate == "cpu"
    output = OutputFolder(tmp_path)
    record = output.write(Segmenter(model, runtime, gate=False)(film()))
    output.close()
    assert record["delegate"] == "cpu"
    assert "not on the Edge TPU" in record["warnings"][0]
    assert said in record["warnings"][0]
    # The network for the CPU gives real outlines.
    assert record["areas"]["right_lung"]["pixels"] > 0


def test_it_is_tried_again_before_it_is_given_up(
    model: ModelFile, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A USB accelerator is away for a moment after its first use."""
    tries: list[object] = []
    run = subprocess.run

    def unplugged(*words: object, **options: object) -> object:
        monkeypatch.setenv("STUB_DELEGATE", "work" if tries else "absent")
        tries.append(words)
        return run(*words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "run", unplugged)
    assert try_elsewhere(model.associated[COMPILED_NAME], None, library) is None
    assert len(tries) == 2


def test_a_library_that_is_none_and_one_that_is_no_delegate(model: ModelFile, tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(b"no library")
    for library in ("/nowhere/libedgetpu.so.1", str(broken), "libm.so.6"):
        with pytest.raises(DeviceError):
            EdgeTpuRuntime(model.associated[COMPILED_NAME], library=library)
        runtime = open_runtime(model, "edgetpu", library=library)
        assert runtime.delegate == "cpu"
        assert "not on the Edge TPU" in runtime.notes[0]


def test_a_model_that_was_not_compiled_says_how_to_compile_it(tiny_model: Path) -> None:
    result = Segmenter.load(tiny_model, delegate="edgetpu", gate=False)(film())
    assert result.delegate == "cpu"
    assert "edge-seg quantize --edgetpu" in result.warnings[0]
    assert Segmenter.load(tiny_model, gate=False)(film()).warnings == ()


def test_a_damaged_compiled_network_is_never_loaded(model: ModelFile, library: str) -> None:
    damaged = bytearray(model.associated[COMPILED_NAME])
    damaged[100] ^= 1
    worse = ModelFile(model.manifest, model.flatbuffer, associated={COMPILED_NAME: bytes(damaged)})
    with pytest.raises(ModelError, match="damaged"):
        open_runtime(worse, "edgetpu", library=library)


def test_no_such_delegate(model: ModelFile) -> None:
    with pytest.raises(UsageError, match="edgetpu"):
        open_runtime(model, "npu")
