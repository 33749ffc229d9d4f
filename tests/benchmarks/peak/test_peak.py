"""The machine's peak and a network's memory traffic: hand-counted cases, and what every measurement must satisfy."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest
from edge_seg.errors import ModelError, UsageError
from edge_seg.inspection import inspect_model, operator_macs
from edge_seg.inspection.flatbuffer import Graph, Operator, Tensor, read_graph
from edge_seg.model_file import ModelFile
from edge_seg.runtime import TFLiteRuntime
from edge_seg.typed_json import read_fields
from edge_seg_benchmarks.peak.candidates import CANDIDATES, Message, Work, last_level_cache, reached
from edge_seg_benchmarks.peak.convolution import INPUT_SCALE, WEIGHT_SCALE, output_scale, write_convolution
from edge_seg_benchmarks.peak.memory import available_memory
from edge_seg_benchmarks.peak.roofline import Peak, PeakShare, PeakSources, measure_peak, run_candidates, share_of_peak
from edge_seg_benchmarks.traffic import bytes_moved
from hypothesis import given
from hypothesis import strategies as st

RESOURCES = ("fp32_macs_per_s", "int8_macs_per_s", "bytes_per_s")
PEAK = Peak(1, 1e9, 4e9, 2e9, PeakSources(None, None, None, {}, {}, 0.0))


def tensor(name: str, shape: tuple[int, ...], dtype: str, *, constant: bool = False) -> Tensor:
    return Tensor(name, shape, dtype, constant, 0, 0, True)


def graph(*operators: Operator) -> Graph:
    return Graph(operators, (), (), ())


def test_each_operator_reads_its_inputs_and_writes_its_output_once() -> None:
    film = tensor("film", (1, 8, 8, 1), "int8")
    weights, bias = tensor("w", (4, 3, 3, 1), "int8", constant=True), tensor("b", (4,), "int32", constant=True)
    features = tensor("features", (1, 8, 8, 4), "int8")
    square = tensor("square", (1, 8, 8, 4), "int8")
    convolution = Operator("CONV_2D", 3, (film, weights, bias), (features,))
    # A tensor used twice is read once.
    product = Operator("MUL", 2, (features, features), (square,))
    assert bytes_moved(graph(convolution)) == 64 + 36 + 16 + 256
    assert bytes_moved(graph(convolution, product)) == 64 + 36 + 16 + 256 + 256 + 256
    assert bytes_moved(graph()) == 0


def test_two_tensors_that_look_alike_are_two() -> None:
    left, right = tensor("", (1, 4), "float32"), tensor("", (1, 4), "float32")
    assert bytes_moved(graph(Operator("ADD", 1, (left, right), (tensor("sum", (1, 4), "float32"),)))) == 48


def test_weights_that_are_converted_once_count_as_what_they_become() -> None:
    stored = tensor("half", (2, 3), "float16", constant=True)
    weights = tensor("w", (2, 3), "float32")
    film, result = tensor("film", (1, 3), "float32"), tensor("result", (1, 2), "float32")
    converted = Operator("DEQUANTIZE", 1, (stored,), (weights,))
    assert bytes_moved(graph(converted, Operator("FULLY_CONNECTED", 1, (film, weights), (result,)))) == 12 + 24 + 8
    # A tensor that depends on the film is converted for each film.
    assert bytes_moved(graph(Operator("DEQUANTIZE", 1, (tensor("film", (1, 3), "int8"),), (film,)))) == 3 + 12


def test_half_bytes_are_whole_together_and_text_has_no_size() -> None:
    assert bytes_moved(graph(Operator("ABS", 1, (tensor("a", (5,), "int4"),), (tensor("b", (), "bool"),)))) == 3 + 1
    with pytest.raises(ModelError, match="type string"):
        bytes_moved(graph(Operator("ABS", 1, (tensor("a", (5,), "string"),), ())))


def test_a_flatbuffer_is_counted_like_a_graph_made_by_hand() -> None:
    read = read_graph(write_convolution(np.ones((8, 16), np.int8), 4))
    assert bytes_moved(read) == 4 * 4 * 16 + 8 * 16 + 8 * 4 + 4 * 4 * 8
    assert sum(operator_macs(operator) for operator in read.operators) == 4 * 4 * 16 * 8
    assert bytes_moved(read_graph(write_convolution(np.ones((8, 16), np.float32), 4))) == 4 * (256 + 128 + 8 + 128)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("side", "channels", "outputs"), [(3, 5, 7), (8, 64, 32)])
def test_the_network_that_is_measured_does_the_work(dtype: str, side: int, channels: int, outputs: int) -> None:
    rng = np.random.default_rng(0)
    film = rng.integers(-128, 128, (1, side, side, channels)).astype(dtype)
    weights = rng.integers(-127, 128, (outputs, channels)).astype(dtype)
    runtime = TFLiteRuntime(write_convolution(weights, side), 1)
    assert (runtime.input.shape, runtime.output.shape) == (film.shape, (1, side, side, outputs))
    expected = film.astype(float) @ weights.astype(float).T
    if dtype == "int8":
        expected = np.clip(expected * INPUT_SCALE * WEIGHT_SCALE / output_scale(channels), -128, 127)
        assert np.abs(runtime.run(film) - expected).max() <= 1
    else:
        np.testing.assert_allclose(runtime.run(film), expected, rtol=1e-4)


def test_shares_of_a_case_that_can_be_reckoned() -> None:
    # 1 ms of multiply-accumulates at 1e9 per second, 0.5 ms of traffic at 2e9, in 2 ms.
    share = share_of_peak(1_000_000, 1_000_000, 2.0, "float32", PEAK)
    assert share == PeakShare(compute=0.5, bandwidth=0.25, bound="compute", limit_ms=1.0)
    assert share_of_peak(1_000_000, 1_000_000, 2.0, "float16", PEAK) == share
    share = share_of_peak(1_000_000, 1_000_000, 2.0, "int8-qat", PEAK)
    assert share == PeakShare(compute=0.125, bandwidth=0.25, bound="memory", limit_ms=0.5)
    assert share_of_peak(1_000_000, 1_000_000, 2.0, "int8-ptq", PEAK) == share
    assert share_of_peak(1_000_000, 1_000_000, 2.0, "dynamic", PEAK) == share


amounts = st.integers(1, 10**12)


@pytest.mark.slow
@given(amounts, amounts, st.floats(1e-3, 1e6), st.sampled_from(["float32", "int8-qat"]))
def test_the_roofline_holds(macs: int, moved: int, milliseconds: float, quantisation: str) -> None:
    share = share_of_peak(macs, moved, milliseconds, quantisation, PEAK)
    assert share.compute is not None
    assert share.bandwidth is not None
    nearest = max(share.compute, share.bandwidth)
    assert share.limit_ms == pytest.approx(nearest * milliseconds)
    intensity, ridge = macs / moved, (1e9 if quantisation == "float32" else 4e9) / 2e9
    if intensity != pytest.approx(ridge):
        assert share.bound == ("compute" if intensity > ridge else "memory")
    slower = share_of_peak(macs, moved, 2 * milliseconds, quantisation, PEAK)
    assert slower.compute == pytest.approx(share.compute / 2)
    assert slower.limit_ms == share.limit_ms


@pytest.mark.parametrize(("missing", "left"), [("fp32_macs_per_s", "bandwidth"), ("bytes_per_s", "compute")])
def test_what_was_not_measured_bounds_nothing(missing: str, left: str) -> None:
    share = share_of_peak(10**6, 10**6, 2.0, "float32", read_fields(Peak, {**asdict(PEAK), missing: None}))
    assert {name for name, value in asdict(share).items() if value is not None} == {left}


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no peak is known for int4 networks"):
        share_of_peak(1, 1, 1.0, "int4", PEAK)
    with pytest.raises(UsageError, match="cannot take 0"):
        share_of_peak(1, 1, 0.0, "float32", PEAK)


def test_the_best_repetition_counts() -> None:
    pauses = iter([0.05, 0.01, 0.03])
    rate = reached(Work(lambda: time.sleep(next(pauses)), 1000, "sleep"), seconds=0.08)
    assert 0 < rate <= 1000 / 0.01


def test_memory_and_caches_are_told_within_reason() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total
    assert 2**14 <= last_level_cache(1) <= last_level_cache(64)


@pytest.fixture(scope="module")
def two_peaks() -> list[Peak]:
    """Two consecutive measurements."""
    return [measure_peak(1) for _ in range(2)]


@pytest.mark.slow
def test_a_peak_is_plain_data_and_says_what_reached_it(two_peaks: list[Peak]) -> None:
    for peak in two_peaks:
        assert read_fields(Peak, json.loads(json.dumps(asdict(peak)))) == peak
        assert peak.threads == 1
        assert peak.how.rates.keys() | peak.how.failed.keys() == CANDIDATES.keys()
        assert not any("convolution" in name or "matrix" in name for name in peak.how.failed)
        for resource_name in RESOURCES[:2]:
            rates = [rate for name, rate in peak.how.rates.items() if CANDIDATES[name][0] == resource_name]
            assert peak.rate(resource_name) == max(rates) > 0
            assert getattr(peak.how, resource_name)


@pytest.mark.slow
def test_two_measurements_agree_within_a_factor_of_two(two_peaks: list[Peak]) -> None:
    for resource_name in RESOURCES:
        first, second = (peak.rate(resource_name) for peak in two_peaks)
        if first is None or second is None:
            pytest.skip("too little memory to measure its bandwidth")
        assert 0.5 <= first / second <= 2, resource_name


@pytest.mark.slow
def test_no_network_is_faster_than_the_peak(two_peaks: list[Peak], lungs: ModelFile) -> None:
    runtime = TFLiteRuntime(lungs.flatbuffer, 1)
    film = np.random.default_rng(0).integers(-128, 128, runtime.input.shape).astype(np.int8)
    macs, moved = inspect_model(lungs).macs, bytes_moved(read_graph(lungs.flatbuffer))
    fastest = 1000 * macs / reached(Work(lambda: runtime.run(film), macs, "lungs"), seconds=0.5)
    share = share_of_peak(macs, moved, fastest, lungs.manifest.quantisation, two_peaks[0])
    assert share.compute is not None
    assert 0 < share.compute <= 1.1


@pytest.mark.slow
def test_so_many_threads_as_were_asked_for_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    names = [name for name in CANDIDATES if name.startswith("matrix product")]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    messages, end = run_candidates(1, names)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert end == ""
    assert {message.candidate for message in messages if message.rate} == set(names)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= 1.1 * seconds


@pytest.mark.slow
def test_more_threads_than_cores_are_not_used() -> None:
    core = {min(os.sched_getaffinity(0))}
    assert measured_with(lambda: os.sched_setaffinity(0, core), threads=4).threads == 1


def test_a_process_that_ends_early_says_why_and_keeps_what_it_had() -> None:
    first = next(iter(CANDIDATES))
    messages, end = run_candidates(1, [first, "no such candidate"])
    assert next(message for message in messages if message.rate).candidate == first
    assert messages[-1] == Message("no such candidate")
    assert "no such candidate" in end


_MEASURE = """
import json, sys
from dataclasses import asdict
from edge_seg_benchmarks.peak.roofline import measure_peak
print(json.dumps(asdict(measure_peak(int(sys.argv[1])))))
"""


def measured_with(limit: Callable[[], object], threads: int = 1) -> Peak:
    """The peak measured by a process that is limited before it starts; it must not die."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _MEASURE, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, env=environment)
    assert done.returncode == 0, done.stderr
    peak = read_fields(Peak, json.loads(done.stdout))
    assert peak.how.rates.keys() | peak.how.failed.keys() == CANDIDATES.keys()
    assert all(peak.how.failed.values())
    assert all(rate is None or rate > 0 for rate in map(peak.rate, RESOURCES))
    return peak


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [128, 256])
def test_with_little_address_space_what_can_be_is_measured(megabytes: int) -> None:
    size = megabytes * 2**20
    peak = measured_with(lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))
    if megabytes == 256:
        assert peak.int8_macs_per_s
        assert peak.fp32_macs_per_s


@pytest.fixture
def control_group() -> Iterator[Path]:
    """A control group for memory, or a skip."""
    root = Path("/sys/fs/cgroup")
    group = (root / "memory" if (root / "memory").is_dir() else root) / f"edge-seg-peak-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here ({error.strerror})")
    try:
        yield group
    finally:
        group.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [48, 256])
def test_in_a_small_control_group_what_can_be_is_measured(control_group: Path, megabytes: int) -> None:
    """In 48 MB some candidates are killed, but not the process that waits for them."""
    limit = next((n for n in ("memory.limit_in_bytes", "memory.max") if (control_group / n).exists()), None)
    if limit is None:
        pytest.skip("control groups do not limit memory here")
    (control_group / limit).write_text(str(megabytes * 2**20))
    peak = measured_with(lambda: (control_group / "cgroup.procs").write_text(str(os.getpid())))
    if megabytes == 256:
        assert peak.int8_macs_per_s
        assert peak.fp32_macs_per_s
