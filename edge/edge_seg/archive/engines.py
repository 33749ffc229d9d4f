"""Engines that segment the films of an archive. Whatever an engine reports, a shard is done when its part exists."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

from edge_seg.archive.contents import Archive
from edge_seg.archive.dicomweb import REQUESTS, Downloads
from edge_seg.archive.guard import TIMEOUT_S, Guard
from edge_seg.archive.shards import Counts, run_shards
from edge_seg.errors import DeviceError, UsageError
from edge_seg.hardware import usable_cores

Told = Callable[[int, Counts], None]
"""Called with each finished shard and the outcome of its films."""


def run(
    address: str,
    *,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    dask: str | None = None,
    timeout_s: float = TIMEOUT_S,
    requests: int = REQUESTS,
    told: Told = lambda shard, counts: None,
    model: str | None = None,
    lung: str | None = None,
    gate: bool | None = None,
) -> Counts:
    """Segment the films of an archive whose parts do not exist yet.

    Args:
        address: path or URL of the archive's folder.
        workers: processes that segment, each on one core; by default one per usable core.
        shard: `(i, n)`: this is run i, from 0 to n - 1, of n runs on any number of machines.
        dask: address of a Dask scheduler (`tcp://HOST:8786`) whose workers segment, or `local` for a private cluster
            on this machine.
        timeout_s: seconds for one film.
        requests: simultaneous requests to DICOMweb services, over all workers of this run.
        told: called for each finished shard.
        model, lung, gate: what the archive must have been planned with; `None` is not checked.

    Returns:
        The outcome of the films of this run; films whose parts already existed do not count.

    Raises:
        UsageError: no archive, one planned with something else, or an invalid request.
        DeviceError, ModelError: films cannot be segmented on this machine, or a store or service does not answer; no
            film is marked as failed for it.
        InputError, OutputError: the archive cannot be read or written.
    """
    archive = Archive(address)
    archive.check(model, lung, gate)
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers: give 1 or more")
    if requests < 1:
        raise UsageError(f"{requests} requests at once: give 1 or more")
    index, of = shard or (0, 1)
    if not 0 <= index < of:
        raise UsageError(f"--shard {index}/{of}: of {of} runs the first is 0/{of}, the last {of - 1}/{of}")
    archive.store.sweep("records")
    there = archive.parts()
    todo = [one for one in range(index, archive.settings.shards, of) if one not in there]
    engine = run_locally if dask is None else partial(_run_on_dask, scheduler=dask)
    total = Counts()
    for one, counts in engine(archive, todo, workers or usable_cores(), timeout_s, requests) if todo else ():
        total.add_counts(counts)
        told(one, counts)
    left = set(todo) - archive.parts().keys()
    if left:
        raise DeviceError(f"{address}: {len(left)} shards are not done, their workers were lost: run it again")
    return total


def run_locally(
    archive: Archive, todo: list[int], workers: int, timeout_s: float, requests: int = REQUESTS
) -> Iterator[tuple[int, Counts]]:
    """Segment shards on this machine; see `run_shards`."""
    films = sum(map(archive.settings.films_of, todo))
    limit = threading.BoundedSemaphore(requests)
    with ExitStack() as stack:
        downloads = stack.enter_context(closing(Downloads(lambda: limit, timeout_s)))
        guards = [stack.enter_context(closing(Guard(archive, timeout_s))) for _ in range(min(workers, films))]
        yield from run_shards(archive, todo, guards, downloads)


def _run_on_dask(
    archive: Archive, todo: list[int], workers: int, timeout_s: float, requests: int, scheduler: str
) -> Iterator[tuple[int, Counts]]:
    # Half a second to load, which the other engines need not wait for.
    from edge_seg.archive.on_dask import run_on_dask

    return run_on_dask(archive, todo, workers, timeout_s, requests, scheduler)
