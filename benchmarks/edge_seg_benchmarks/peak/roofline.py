"""What this machine can do at most, and how near to it a network comes (the roofline)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from edge_seg.errors import UsageError
from edge_seg.hardware import usable_cores

from edge_seg_benchmarks.peak.candidates import BYTES, CANDIDATES, FP32, INT8

_SLOWEST_SECONDS = 120
"""No machine that runs the networks takes so long for the candidates."""

_THREADS_OF_LIBRARIES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""What tells the libraries behind numpy how many threads to use; they look once, when they are loaded."""

_MULTIPLIED = {"float32": FP32, "float16": FP32, "dynamic": INT8, "int8-ptq": INT8, "int8-qat": INT8}
"""By `Manifest.quantisation`, what a processor multiplies: float16 weights become float32 before the first film, inputs
of dynamic-range networks become int8 for each."""


def measure_peak(threads: int) -> dict[str, Any]:
    """The most that this machine's own libraries reach now: multiply-accumulates, and bytes to and from memory.

    The best repetition of several candidates: convolutions by LiteRT (or tflite-runtime), matrix products and copies by
    numpy. They run in processes of their own, in a few seconds. Where memory is short, what needs more is left out. One
    thread reaches its peak on a busy machine too; several rarely run at once there, and their peak is too low.

    A network that the same engine runs cannot be faster than its own best kernel on ideal work. For float32 that is the
    processor's limit too. For int8 it is the limit of exact sums: without instructions for dot products, engines that
    let sums of 16 bits saturate are faster.

    Args:
        threads: for all of them; at most as many as this process may use.

    Returns:
        `threads` that were used; `fp32_macs_per_s`, `int8_macs_per_s` and `bytes_per_s` (read and written), each `None`
        where nothing could measure it; `how`: what reached each, `rates` of all candidates, why others `failed`, and
        the `seconds` it took.
    """
    cores = usable_cores()
    threads = max(1, min(threads, cores))
    start = time.perf_counter()
    best: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    pending = list(CANDIDATES)
    while pending:
        facts, end = run_candidates(threads, pending)
        for fact in facts:
            name = fact.get("candidate")
            if name and "failed" in fact:
                failed[name] = fact["failed"]
            elif name and fact["rate"] > best.get(name, {"rate": 0})["rate"]:
                best[name] = fact
        if end:
            last = facts[-1].get("begins") if facts else None
            failed |= dict.fromkeys([last] if last else pending, end)
        pending = [name for name in pending if name not in best and name not in failed]
    failed = {name: reason for name, reason in failed.items() if name not in best}
    peak: dict[str, Any] = {"threads": threads}
    how: dict[str, Any] = {}
    for resource in (FP32, INT8, BYTES):
        rivals = [fact for name, fact in best.items() if CANDIDATES[name][0] == resource]
        winner = max(rivals, key=lambda fact: fact["rate"], default=None)
        peak[resource] = winner["rate"] if winner else None
        how[resource] = winner["how"] if winner else None
    rates = {name: fact["rate"] for name, fact in best.items()}
    return {**peak, "how": {**how, "rates": rates, "failed": failed, "seconds": time.perf_counter() - start}}


def share_of_peak(
    macs: int, bytes_moved: int, milliseconds: float, quantisation: str, peak: dict[str, Any]
) -> dict[str, Any]:
    """How much of the machine's peak a network uses, and what bounds it.

    The roofline model (Williams, Waterman & Patterson 2009, doi:10.1145/1498765.1498785): no network is faster than its
    multiply-accumulates at the processor's peak, nor than its traffic at the memory's. The greater time bounds it.

    Args:
        macs, bytes_moved: of one film.
        milliseconds: that it took.
        quantisation: the manifest's.
        peak: from `measure_peak`, with as many threads as the network had.

    Returns:
        `compute` and `bandwidth`, shares of the peak; `bound`: `compute` or `memory`, whichever is nearer to its peak;
        `limit_ms`, the least time that the model allows. `None` where the peak was not measured. `bandwidth` above 1
        means that tensors stayed in the caches.

    Raises:
        UsageError: the quantisation is not known, or the time is not positive.
    """
    if quantisation not in _MULTIPLIED:
        raise UsageError(f"no peak is known for {quantisation} networks: choose from {', '.join(_MULTIPLIED)}")
    if milliseconds <= 0:
        raise UsageError(f"a network cannot take {milliseconds} ms: give the time that was measured")
    compute_ms = _milliseconds(macs, peak[_MULTIPLIED[quantisation]])
    memory_ms = _milliseconds(bytes_moved, peak[BYTES])
    share: dict[str, Any] = {
        "compute": None if compute_ms is None else compute_ms / milliseconds,
        "bandwidth": None if memory_ms is None else memory_ms / milliseconds,
        "bound": None,
        "limit_ms": None,
    }
    if compute_ms is not None and memory_ms is not None:
        share["bound"] = "compute" if compute_ms >= memory_ms else "memory"
        share["limit_ms"] = max(compute_ms, memory_ms)
    return share


def _milliseconds(amount: int, per_second: float | None) -> float | None:
    return 1000 * amount / per_second if per_second else None


def run_candidates(threads: int, names: list[str]) -> tuple[list[dict[str, Any]], str]:
    """Run some of `CANDIDATES` in a process of their own, whose libraries use so many threads.

    Returns:
        What they said, in order (see `peak.candidates.main`), and why the process ended early; empty where it did not.
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
    # A process that is killed may leave half a line.
    lines = [line for line in output.decode(errors="replace").split("\n")[:-1] if line.startswith("{")]
    return [json.loads(line) for line in lines], end


def _reason(code: int, errors: bytes) -> str:
    if code == 0:
        return ""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    said = errors.decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"ended with exit code {code}"
