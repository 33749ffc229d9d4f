"""Work that may reach the machine's peak, run in a new process: `python -m edge_seg_benchmarks.peak.candidates`.

Takes the number of threads and the names of candidates. Prints the rate of each as a line of JSON (`Message`) as soon
as it is known, so that no rate is lost if a later candidate runs out of memory.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from edge_seg.errors import DeviceError, EdgeSegError, first_line
from edge_seg.runtime import load_engine

from edge_seg_benchmarks.peak.convolution import write_convolution
from edge_seg_benchmarks.peak.memory import available_memory

FP32, INT8, BYTES = "fp32_macs_per_s", "int8_macs_per_s", "bytes_per_s"

_ROUNDS, _SECONDS_PER_TURN = 6, 0.035
"""Turns of each candidate: a disturbance of a second spoils a turn of each, not all turns of one."""

_CONVOLUTIONS = ((16, 2048, 128), (16, 512, 512), (32, 256, 256), (32, 512, 512))
"""Side of the square input, channels in and out: weights that fit into small caches, sums long enough to outweigh the
rounding after them, and a larger one for many threads."""

_MATRICES = (384, 768)
_CACHES_COPIED, _FEWEST_CACHES_COPIED = 8, 2
"""Length of the copied array in last-level caches. STREAM asks for four (McCalpin 1995); some C libraries switch to
stores that bypass the caches at eight."""

_SMALLEST_COPY, _LARGEST_COPY = 2**26, 2**29
"""Bytes of that array, if memory allows."""

_SMALLEST_PIECE = 2**20
"""Bytes copied at once: short enough that some copies are not interrupted, and long relative to the clock."""

_USUAL_CACHE = 2**23
"""Assumed bytes of the last-level cache if the processor does not report it: more than single-board computers have."""

_CACHES = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Work:
    """Work to repeat: `amount` multiply-accumulates or bytes each time, and a description."""

    run: Callable[[], object]
    amount: int
    how: str


@dataclass(frozen=True)
class Message:
    """A line of output: a candidate begins (neither `rate` nor `failed`), reached a rate, or failed.

    Attributes:
        candidate: its name.
        rate: amount per second.
        how: the work, in words.
        failed: why it did not run.
    """

    candidate: str
    rate: float = 0.0
    how: str = ""
    failed: str = ""


def convolution(threads: int, dtype: str, side: int, channels: int, outputs: int) -> Work:
    """A 1 x 1 convolution run by the device's engine.

    Raises:
        DeviceError: no engine is installed.
    """
    interpreter_class, engine = load_engine()
    rng = np.random.default_rng(0)
    interpreter = interpreter_class(
        model_content=write_convolution(_random(rng, (outputs, channels), dtype), side), num_threads=threads
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], _random(rng, (1, side, side, channels), dtype))
    how = f"{engine}, {dtype} convolution, {side} x {side} pixels, {channels} to {outputs} channels"
    return Work(interpreter.invoke, side * side * channels * outputs, how)


def matrix_product(threads: int, side: int) -> Work:
    """A product of square float32 matrices by numpy's linear algebra library."""
    rng = np.random.default_rng(0)
    a, b = (_random(rng, (side, side), "float32") for _ in range(2))
    return Work(partial(np.matmul, a, b, out=np.empty_like(a)), side**3, f"numpy, float32 matrices {side} x {side}")


def copy(threads: int, whole: bool) -> Work:
    """A copy between arrays much larger than the caches, `whole` or in pieces.

    Counts bytes read and written, as STREAM does, not what a cache fetches before overwriting it.

    Raises:
        DeviceError: too little memory is free for arrays larger than the caches.
    """
    source, target = _arrays(threads)
    piece = threads * max(_SMALLEST_PIECE, last_level_cache(threads) // 4)
    size = source.size if whole else min(piece, source.size)
    starts = itertools.cycle(range(0, source.size - size + 1, size))
    pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def run() -> None:
        start = next(starts)
        here = slice(start, start + size)
        if pool is None:
            np.copyto(target[here], source[here])
        else:
            list(pool.map(np.copyto, np.array_split(target[here], threads), np.array_split(source[here], threads)))

    how = f"numpy, copy of {source.size >> 20} MiB" + ("" if whole else f" by {size >> 20} MiB")
    return Work(run, 2 * size, how)


CANDIDATES: dict[str, tuple[str, Callable[[int], Work]]] = {
    f"{dtype} convolution {side} x {side} x {channels} to {outputs}": (
        resource,
        partial(convolution, dtype=dtype, side=side, channels=channels, outputs=outputs),
    )
    for resource, dtype in ((INT8, "int8"), (FP32, "float32"))
    for side, channels, outputs in _CONVOLUTIONS
}
CANDIDATES |= {f"matrix product {n} x {n}": (FP32, partial(matrix_product, side=n)) for n in _MATRICES}
CANDIDATES |= {"copy": (BYTES, partial(copy, whole=True)), "copy by pieces": (BYTES, partial(copy, whole=False))}
"""The resource that each candidate measures, and a function that makes its work for a number of threads. The candidates
that need the most memory come last."""


def last_level_cache(threads: int) -> int:
    """Bytes of the largest cache, summed over the instances that the threads may use."""
    found: dict[str, int] = {}
    for folder in _CACHES.glob("cpu[0-9]*/cache/index*"):
        # Processors without these files, or with unusual ones, are measured with the usual size.
        with contextlib.suppress(OSError, ValueError):
            cores = f"{(folder / 'level').read_text()} {(folder / 'shared_cpu_list').read_text()}"
            found[cores] = int((folder / "size").read_text().strip().removesuffix("K")) * 1024
    largest = max(found.values(), default=_USUAL_CACHE)
    return largest * max(1, min(threads, sum(size == largest for size in found.values())))


def reached(work: Work, seconds: float) -> float:
    """The best rate (amount per second) of at least one repetition, over some seconds."""
    best, start = float("inf"), time.perf_counter()
    while True:
        before = time.perf_counter()
        work.run()
        after = time.perf_counter()
        best = min(best, after - before)
        if after - start >= seconds:
            return work.amount / best


def main(threads: int, names: list[str]) -> None:
    """For each candidate and turn, print that it begins, then its rate or why it failed."""
    # If memory runs out, the kernel should kill this process, not the benchmark that waits for it.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    made: dict[str, Work] = {}
    for _ in range(_ROUNDS):
        for name in names:
            _say(Message(name))
            try:
                if name not in made:
                    made[name] = CANDIDATES[name][1](threads)
                    made[name].run()  # warms up
                _say(Message(name, reached(made[name], _SECONDS_PER_TURN), made[name].how))
            except (EdgeSegError, MemoryError, OSError, RuntimeError, ValueError) as error:
                _say(Message(name, failed=first_line(error)))


@cache
def _arrays(threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 arrays to copy between, together at most 1/8 of the available memory."""
    caches = last_level_cache(threads)
    size = min(max(_CACHES_COPIED * caches, _SMALLEST_COPY), available_memory() // 16, _LARGEST_COPY)
    if size < _FEWEST_CACHES_COPIED * caches:
        raise DeviceError(
            f"{size / 2**20:.1f} MiB to copy may stay in caches of {caches / 2**20:.1f} MiB: free some memory"
        )
    # Filled, since the kernel allocates pages on the first write.
    return np.full(size, 1, np.uint8), np.full(size, 2, np.uint8)


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return rng.integers(-127, 128, shape, np.int8)
    return rng.standard_normal(shape, np.float32)


def _say(message: Message) -> None:
    print(json.dumps(asdict(message)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
