"""Work that may reach the machine's peak, run in a process of its own: `python -m edge_seg_benchmarks.peak.candidates`.

Takes the number of threads and the names of candidates; prints what each reaches as a line of JSON as soon as it is
known, so that nothing is lost where a later one finds too little memory.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from edge_seg.errors import DeviceError, EdgeSegError, first_line
from edge_seg.runtime import load_engine

from edge_seg_benchmarks.peak.convolution import write_convolution
from edge_seg_benchmarks.peak.memory import available_memory

FP32, INT8, BYTES = "fp32_macs_per_s", "int8_macs_per_s", "bytes_per_s"

_ROUNDS, _SECONDS_PER_TURN = 6, 0.035
"""Candidates take so many turns: what disturbs the machine for a second spoils a turn of each, not all turns of one."""

_CONVOLUTIONS = ((16, 2048, 128), (16, 512, 512), (32, 256, 256), (32, 512, 512))
"""Side of the square input, channels in and out: weights that fit into small caches, sums long enough to pay for the
rounding after them, and a larger one for many threads."""

_MATRICES = (384, 768)
_CACHES_COPIED, _FEWEST_CACHES_COPIED = 8, 2
"""Length of an array that is copied, in last-level caches. STREAM asks for four (McCalpin 1995); some C libraries turn
to stores that pass by the caches at eight."""

_SMALLEST_COPY, _LARGEST_COPY = 2**26, 2**29
"""Bytes of such an array, where memory allows."""

_SMALLEST_PIECE = 2**20
"""A piece that is copied at once: short, so that some are not interrupted, and long against the clock."""

_USUAL_CACHE = 2**23
"""Bytes of the last-level cache of a processor that does not tell: more than those of single-board computers."""

_CACHES = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Work:
    """Something to repeat: `amount` of multiply-accumulates or bytes each time, and what it is in words."""

    run: Callable[[], object]
    amount: int
    how: str


def convolution(threads: int, dtype: str, side: int, channels: int, outputs: int) -> Work:
    """A 1 x 1 convolution by the engine that runs networks here.

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
    """A product of square float32 matrices by numpy's library of linear algebra."""
    rng = np.random.default_rng(0)
    a, b = (_random(rng, (side, side), "float32") for _ in range(2))
    return Work(partial(np.matmul, a, b, out=np.empty_like(a)), side**3, f"numpy, float32 matrices {side} x {side}")


def copy(threads: int, whole: bool) -> Work:
    """A copy from array to array, as a `whole` or piece after piece; each array is well beyond the caches.

    Bytes read and written count, as in STREAM; what a cache fetches before it is overwritten does not.

    Raises:
        DeviceError: memory is too short to be sure of leaving the caches.
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
"""What each candidate measures, and how its work is made for a number of threads; what needs most memory is last."""


def last_level_cache(threads: int) -> int:
    """Bytes of the largest cache, of all its instances that so many threads may use."""
    found: dict[str, int] = {}
    for folder in _CACHES.glob("cpu[0-9]*/cache/index*"):
        # Processors without such a file, or with an odd one, are measured with the usual size.
        with contextlib.suppress(OSError, ValueError):
            cores = f"{(folder / 'level').read_text()} {(folder / 'shared_cpu_list').read_text()}"
            found[cores] = int((folder / "size").read_text().strip().removesuffix("K")) * 1024
    largest = max(found.values(), default=_USUAL_CACHE)
    return largest * max(1, min(threads, sum(size == largest for size in found.values())))


def reached(work: Work, seconds: float) -> float:
    """The best rate of repetitions over so many seconds, one at least; amount per second."""
    best, start = float("inf"), time.perf_counter()
    while True:
        before = time.perf_counter()
        work.run()
        after = time.perf_counter()
        best = min(best, after - before)
        if after - start >= seconds:
            return work.amount / best


def main(threads: int, names: list[str]) -> None:
    """Print for each candidate, in each of its turns, that it begins, then its rate or why it has none."""
    # Where memory runs out, this process is to be ended, not the benchmark that waits for it.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    made: dict[str, Work] = {}
    for _ in range(_ROUNDS):
        for name in names:
            _say(begins=name)
            try:
                if name not in made:
                    made[name] = CANDIDATES[name][1](threads)
                    made[name].run()  # warms up
                _say(candidate=name, rate=reached(made[name], _SECONDS_PER_TURN), how=made[name].how)
            except (EdgeSegError, MemoryError, OSError, RuntimeError, ValueError) as error:
                _say(candidate=name, failed=first_line(error))


@cache
def _arrays(threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of uint8 to copy between, both in at most 1/8 of the available memory."""
    caches = last_level_cache(threads)
    size = min(max(_CACHES_COPIED * caches, _SMALLEST_COPY), available_memory() // 16, _LARGEST_COPY)
    if size < _FEWEST_CACHES_COPIED * caches:
        raise DeviceError(
            f"{size / 2**20:.1f} MiB to copy may stay in caches of {caches / 2**20:.1f} MiB: free some memory"
        )
    # Filled, since pages are given out when they are first written.
    return np.full(size, 1, np.uint8), np.full(size, 2, np.uint8)


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "int8":
        return rng.integers(-127, 128, shape, np.int8)
    return rng.standard_normal(shape, np.float32)


def _say(**fact: str | float) -> None:
    print(json.dumps(fact), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
