"""The accelerator as another engine of the benchmark, using the runtime tests' stand-in library."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from edge_seg import DeviceError
from edge_seg.model_file import ModelFile
from edge_seg.runtime.edge_tpu import open_runtime
from edge_seg_benchmarks import peers
from edge_seg_benchmarks.benchmark import Settings, run_benchmark


@pytest.fixture(autouse=True)
def _accelerator(stub_delegate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "open_runtime", partial(open_runtime, library=stub_delegate))


@pytest.mark.slow
def test_what_was_compiled_is_timed_on_the_accelerator(
    tiny_model: Path, compiled_model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "work")
    settings = Settings(engines=("litert", "edgetpu"), threads=(1, 2), repeats=1, peak=False)
    report = run_benchmark([ModelFile.read(tiny_model), compiled_model], [], settings)
    tiny, compiled = report.models
    assert [(one.engine, one.threads) for one in tiny.configurations] == [("litert", 2)]
    assert [one.engine for one in compiled.configurations] == ["litert", "edgetpu"]
    assert compiled.configurations[1].share_of_peak is None


@pytest.mark.slow
def test_an_accelerator_that_does_not_work_is_no_silent_cpu(
    compiled_model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_DELEGATE", "absent")
    with pytest.raises(DeviceError, match="Edge TPU"):
        peers.open_engine("edgetpu", compiled_model, 1)
