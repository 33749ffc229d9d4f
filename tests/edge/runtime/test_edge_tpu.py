"""The Edge TPU by a stand-in: a delegate library compiled here that works, finds no device, crashes or hangs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from edge_seg import DeviceError, ModelError, Segmenter, UsageError
from edge_seg.model_file import COMPILED_NAME, ModelFile
from edge_seg.outputs.folder import OutputFolder
from edge_seg.runtime import edge_tpu as module
from edge_seg.runtime.edge_tpu import EdgeTpuRuntime, open_runtime, try_elsewhere


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)


def film() -> np.ndarray:
    pixels = np.zeros((80, 70), np.uint8)
    pixels[20:60, 20:50] = 250
    return pixels


def test_the_delegate_runs_the_compiled_network(
    compiled_model: ModelFile, stub_delegate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "work")
    monkeypatch.setenv("STUB_DELEGATE_LOG", str(tmp_path / "log"))
    runtime = open_runtime(compiled_model, "edgetpu", library=stub_delegate)
    assert isinstance(runtime, EdgeTpuRuntime)
    # Loaded once in another process, to try it.
    assert (tmp_path / "log").read_bytes() == b"x"
    result = Segmenter(compiled_model, runtime, gate=False)(film())
    assert (tmp_path / "log").read_bytes() == b"xx"
    assert result.delegate == "edgetpu"
    assert not any("Edge TPU" in warning for warning in result.warnings)


def test_auto_takes_it_where_it_is_and_the_cpu_where_it_is_not(
    compiled_model: ModelFile, stub_delegate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "work")
    assert open_runtime(compiled_model, library=stub_delegate).delegate == "edgetpu"
    absent = open_runtime(compiled_model, library="/nowhere/libedgetpu.so.1") if not _real() else None
    if absent is not None:
        assert (absent.delegate, absent.notes) == ("cpu", ())
    assert open_runtime(compiled_model, "cpu", library=stub_delegate).delegate == "cpu"


def _real() -> bool:
    import ctypes.util

    return ctypes.util.find_library("edgetpu") is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "said"), [("absent", "libstub.so"), ("crash", "SIGSEGV"), ("hang", "hung for 4 s")], ids=lambda v: str(v)
)
def test_where_it_fails_the_cpu_does_it_and_every_record_says_so(
    compiled_model: ModelFile, stub_delegate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", does)
    patience_s = 4 if does == "hang" else 300
    monkeypatch.setattr(
        module, "try_elsewhere", lambda compiled, engine, library: try_elsewhere(compiled, engine, library, patience_s)
    )
    runtime = open_runtime(compiled_model, library=stub_delegate)
    assert runtime.delegate == "cpu"
    output = OutputFolder(tmp_path)
    record = output.write(Segmenter(compiled_model, runtime, gate=False)(film()))
    output.close()
    assert record.delegate == "cpu"
    assert "not on the Edge TPU" in record.warnings[0]
    assert said in record.warnings[0]
    # The network for the CPU gives real outlines.
    assert record.areas["right_lung"].pixels > 0


@pytest.mark.slow
def test_it_is_tried_again_before_it_is_given_up(
    compiled_model: ModelFile, stub_delegate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A USB accelerator disappears for a moment after its first use."""
    tries: list[object] = []
    run = subprocess.run

    def unplugged(*words: object, **options: object) -> object:
        monkeypatch.setenv("STUB_DELEGATE", "work" if tries else "absent")
        tries.append(words)
        return run(*words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "run", unplugged)
    assert try_elsewhere(compiled_model.associated[COMPILED_NAME], None, stub_delegate) is None
    assert len(tries) == 2


@pytest.mark.slow
def test_a_library_that_is_none_and_one_that_is_no_delegate(compiled_model: ModelFile, tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(b"no library")
    for library in ("/nowhere/libedgetpu.so.1", str(broken), "libm.so.6"):
        with pytest.raises(DeviceError):
            EdgeTpuRuntime(compiled_model.associated[COMPILED_NAME], library=library)
        runtime = open_runtime(compiled_model, "edgetpu", library=library)
        assert runtime.delegate == "cpu"
        assert "not on the Edge TPU" in runtime.notes[0]


def test_a_model_that_was_not_compiled_says_how_to_compile_it(tiny_model: Path) -> None:
    result = Segmenter.load(tiny_model, delegate="edgetpu", gate=False)(film())
    assert result.delegate == "cpu"
    assert "edge-seg quantize --edgetpu" in result.warnings[0]
    assert Segmenter.load(tiny_model, gate=False)(film()).warnings == ()


def test_a_damaged_compiled_network_is_never_loaded(compiled_model: ModelFile, stub_delegate: str) -> None:
    damaged = bytearray(compiled_model.associated[COMPILED_NAME])
    damaged[100] ^= 1
    worse = ModelFile(compiled_model.manifest, compiled_model.flatbuffer, associated={COMPILED_NAME: bytes(damaged)})
    with pytest.raises(ModelError, match="damaged"):
        open_runtime(worse, "edgetpu", library=stub_delegate)


def test_no_such_delegate(compiled_model: ModelFile) -> None:
    with pytest.raises(UsageError, match="edgetpu"):
        open_runtime(compiled_model, "npu")
