"""This machine's peak, and the share of it that a network uses (the roofline model)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from edge_seg.errors import UsageError
from edge_seg.hardware import usable_cores
from edge_seg.typed_json import read_fields

from edge_seg_benchmarks.peak.candidates import BYTES, CANDIDATES, FP32, INT8, Message

_SLOWEST_SECONDS = 120
"""More than the candidates take on any machine that can run the networks."""

_THREADS_OF_LIBRARIES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Variables that set the number of threads of the libraries behind numpy, which read them once, when they load."""

_MULTIPLIED = {"float32": FP32, "float16": FP32, "dynamic": INT8, "int8-ptq": INT8, "int8-qat": INT8}
"""What a processor multiplies, by `Manifest.quantisation`: float16 weights become float32 before the first film; the
activations of dynamic-range networks become int8 at each operator."""


@dataclass(frozen=True)
class PeakSources:
    """What reached each peak.

    Attributes:
        fp32_macs_per_s, int8_macs_per_s, bytes_per_s: the work that did, in words; `None` if no candidate ran.
        rates: of all candidates.
        failed: why candidates did not run.
        seconds: duration of the whole measurement.
    """

    fp32_macs_per_s: str | None
    int8_macs_per_s: str | None
    bytes_per_s: str | None
    rates: dict[str, float]
    failed: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class Peak:
    """The machine's peak with a number of threads; a rate is `None` if nothing could measure it.

    Attributes:
        threads: number used.
        fp32_macs_per_s, int8_macs_per_s: multiply-accumulates.
        bytes_per_s: read and written.
        how: what reached each.
    """

    threads: int
    fp32_macs_per_s: float | None
    int8_macs_per_s: float | None
    bytes_per_s: float | None
    how: PeakSources

    def rate(self, resource: str) -> float | None:
        """The peak of one of `FP32`, `INT8` and `BYTES`."""
        return {FP32: self.fp32_macs_per_s, INT8: self.int8_macs_per_s, BYTES: self.bytes_per_s}[resource]


@dataclass(frozen=True)
class PeakShare:
    """How much of the machine's peak a network uses; `None` if the peak was not measured.

    Attributes:
        compute, bandwidth: shares of the peak. A bandwidth above 1 means that tensors stayed in the caches.
        bound: `compute` or `memory`, whichever takes longer at its peak.
        limit_ms: the least time that the roofline model allows.
    """

    compute: float | None
    bandwidth: float | None
    bound: str | None
    limit_ms: float | None


def measure_peak(threads: int) -> Peak:
    """The most that this machine's own libraries reach now: multiply-accumulates, and bytes to and from memory.

    The best repetition of several candidates: convolutions by LiteRT (or tflite-runtime), matrix products and copies by
    numpy. They run in their own processes, in a few seconds. Candidates that need more memory than is free are skipped.
    One thread reaches its peak on a busy machine too; several threads rarely run at once there, and their peak is too
    low.

    A network that the same engine runs cannot be faster than the engine's best kernel on ideal work. For float32 that
    is the processor's limit too. For int8 it is the limit of exact sums: without dot-product instructions, engines that
    let 16-bit sums saturate are faster.

    Args:
        threads: for all candidates; limited to the cores that this process may use.
    """
    threads = max(1, min(threads, usable_cores()))
    start = time.perf_counter()
    best, failed = _run_all(threads)
    winners = {resource: _winner(best, resource) for resource in (FP32, INT8, BYTES)}
    rates = {resource: winner.rate if winner else None for resource, winner in winners.items()}
    words = {resource: winner.how if winner else None for resource, winner in winners.items()}
    reached = {name: message.rate for name, message in best.items()}
    how = PeakSources(**words, rates=reached, failed=failed, seconds=time.perf_counter() - start)
    return Peak(threads, **rates, how=how)


def _run_all(threads: int) -> tuple[dict[str, Message], dict[str, str]]:
    """The best message of each candidate that ran, and why the others failed.

    A candidate whose process dies fails; the remaining ones get a new process.
    """
    best: dict[str, Message] = {}
    failed: dict[str, str] = {}
    pending = list(CANDIDATES)
    while pending:
        messages, end = run_candidates(threads, pending)
        for message in messages:
            if message.failed:
                failed[message.candidate] = message.failed
            elif message.rate > (best[message.candidate].rate if message.candidate in best else 0):
                best[message.candidate] = message
        if end:
            failed |= dict.fromkeys([messages[-1].candidate] if messages else pending, end)
        pending = [name for name in pending if name not in best and name not in failed]
    return best, {name: reason for name, reason in failed.items() if name not in best}


def _winner(best: dict[str, Message], resource: str) -> Message | None:
    rivals: Iterable[Message] = (message for name, message in best.items() if CANDIDATES[name][0] == resource)
    return max(rivals, key=lambda message: message.rate, default=None)


def share_of_peak(macs: int, bytes_moved: int, milliseconds: float, quantisation: str, peak: Peak) -> PeakShare:
    """How much of the machine's peak a network uses, and what bounds it.

    The roofline model (Williams, Waterman & Patterson 2009, doi:10.1145/1498765.1498785): a network takes at least its
    multiply-accumulates at the processor's peak, and at least its traffic at the memory's. The longer time bounds it.

    Args:
        macs, bytes_moved: of one film.
        milliseconds: that it took.
        quantisation: the manifest's.
        peak: with as many threads as the network had.

    Raises:
        UsageError: the quantisation is unknown, or the time is not positive.
    """
    if quantisation not in _MULTIPLIED:
        raise UsageError(f"no peak is known for {quantisation} networks: choose from {', '.join(_MULTIPLIED)}")
    if milliseconds <= 0:
        raise UsageError(f"a network cannot take {milliseconds} ms: give the measured time")
    compute_ms = _milliseconds(macs, peak.rate(_MULTIPLIED[quantisation]))
    memory_ms = _milliseconds(bytes_moved, peak.bytes_per_s)
    bound = limit_ms = None
    if compute_ms is not None and memory_ms is not None:
        bound = "compute" if compute_ms >= memory_ms else "memory"
        limit_ms = max(compute_ms, memory_ms)
    return PeakShare(
        None if compute_ms is None else compute_ms / milliseconds,
        None if memory_ms is None else memory_ms / milliseconds,
        bound,
        limit_ms,
    )


def _milliseconds(amount: int, per_second: float | None) -> float | None:
    return 1000 * amount / per_second if per_second else None


def run_candidates(threads: int, names: list[str]) -> tuple[list[Message], str]:
    """Run some of `CANDIDATES` in a new process, whose libraries use that many threads.

    Returns:
        The process's messages in order, and why it ended early; empty if it did not.
    """
    command = [sys.executable, "-m", "edge_seg_benchmarks.peak.candidates", str(threads), *names]
    environment = {**os.environ, **dict.fromkeys(_THREADS_OF_LIBRARIES, str(threads))}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=_SLOWEST_SECONDS)
        output, end = done.stdout, _reason(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as late:
        output, end = late.stdout or b"", f"took more than {_SLOWEST_SECONDS} s"
    except OSError as error:
        output, end = b"", f"no process could be started ({error.strerror})"
    # A killed process may leave half a line.
    lines = [line for line in output.decode(errors="replace").split("\n")[:-1] if line.startswith("{")]
    return [read_fields(Message, json.loads(line)) for line in lines], end


def _reason(code: int, errors: bytes) -> str:
    if code == 0:
        return ""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    said = errors.decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"ended with exit code {code}"
