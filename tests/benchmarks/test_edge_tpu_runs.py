"""The accelerator as one more engine of the benchmark, by the stand-in library of the tests of the runtime."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from edge_seg import DeviceError
from edge_seg.accelerator import open_runtime
from edge_seg.model_file import COMPILED_NAME, Manifest, ModelFile
from edge_seg.structures import CHEST
from edge_seg_benchmarks import peers
from edge_seg_benchmarks.benchmark import Settings, run_benchmark

SOURCE = Path(__file__).parents[1] / "edge" / "native" / "stub_delegate.c"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make the stand-in with")
    made = tmp_path / "libstub.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE)], check=True)
    monkeypatch.setattr(peers, "open_runtime", partial(open_runtime, library=str(made)))
    return made


@pytest.fixture
def models(make_flatbuffer: Callable[..., bytes]) -> list[ModelFile]:
    """One for the CPU alone, and one with a compiled network."""
    compiled = make_flatbuffer(operator="CUSTOM", custom="edgetpu-custom-op")
    facts = {"sha256": hashlib.sha256(compiled).hexdigest(), "operators_mapped": 1}
    plain = Manifest("plain", "1", CHEST, 64, 64, thresholds=(0.5, 0.5, 0.5))
    coral = Manifest("coral", "1", CHEST, 64, 64, thresholds=(0.5, 0.5, 0.5), edge_tpu=facts)
    return [
        ModelFile.from_bytes(ModelFile(plain, make_flatbuffer()).to_bytes()),
        ModelFile.from_bytes(ModelFile(coral, make_flatbuffer(), associated={COMPILED_NAME: compiled}).to_bytes()),
    ]


def test_what_was_compiled_is_timed_on_the_accelerator(
    models: list[ModelFile], library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "work")
    settings = Settings(engines=("litert", "edgetpu"), threads=(1, 2), repeats=1, peak=False)
    report = run_benchmark(models, [], settings)
    on_it = [run for run in report["runs"] if run["engine"] == "edgetpu"]
    assert [run["label"].split()[0] for run in on_it] == ["coral"]
    assert on_it[0]["share_of_peak"] is None
    assert len(report["runs"]) == 3


def test_an_accelerator_that_does_not_work_is_no_silent_cpu(
    models: list[ModelFile], library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "absent")
    with pytest.raises(DeviceError, match="Edge TPU"):
        peers.open_engine("edgetpu", models[1], 1)
