"""Dask as an engine: each shard is a task that any machine may run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice
from typing import Any

from distributed import Client, Future, KilledWorker, LocalCluster, Semaphore, as_completed

from edge_seg.archive.contents import Archive
from edge_seg.archive.dicomweb import Downloads
from edge_seg.archive.guard import Guard
from edge_seg.archive.shards import Counts, run_shards
from edge_seg.errors import DeviceError, EdgeSegError, first_line

LOCAL = "local"
"""Stands in for a scheduler's address: a cluster on this machine, reachable only from here, for this run."""

_WAITING = 3
"""Shards submitted per worker thread: the scheduler need not track millions at once."""

_CONNECT_S = 30


def run_on_dask(
    archive: Archive, todo: list[int], workers: int, timeout_s: float, requests: int, scheduler: str
) -> Iterator[tuple[int, Counts]]:
    """Segment shards on Dask workers; a shard whose workers keep getting lost is left undone.

    Args:
        archive: that the workers can reach too.
        todo: shards to segment.
        workers: of a local cluster; any other has its own.
        timeout_s: seconds for one film.
        requests: simultaneous requests to DICOMweb services, over all workers of the scheduler.
        scheduler: its address, or `LOCAL`.

    Raises:
        DeviceError: no scheduler answers, or it is lost.
        EdgeSegError: what a worker raises.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_client(stack, scheduler, workers))
        address = archive.address if "://" in archive.address else archive.store.root

        def submit(shard: int) -> Future:
            # Not pure: the result of an earlier run says nothing about which parts exist now.
            return client.submit(segment_shard, address, shard, timeout_s, requests, pure=False)

        rest = iter(todo)
        threads = max(1, sum(client.nthreads().values()))
        running: Any = as_completed([submit(shard) for shard in islice(rest, _WAITING * threads)])
        for future in running:
            if (made := _result(future, scheduler)) is not None:
                yield made
            for shard in islice(rest, 1):
                running.add(submit(shard))


def _client(stack: ExitStack, scheduler: str, workers: int) -> Client:
    # We report a lost scheduler in one line; Dask would print a traceback.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    if scheduler != LOCAL:
        try:
            return Client(scheduler, timeout=_CONNECT_S)
        except (OSError, ValueError) as error:
            raise DeviceError(
                f"--dask {scheduler}: no scheduler answers there ({first_line(error)}): start `dask scheduler`"
            ) from error
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
    return Client(stack.enter_context(cluster))


def _result(future: Future, scheduler: str) -> tuple[int, Counts] | None:
    try:
        made: tuple[int, Counts] | None = future.result()
    except KilledWorker:
        return None
    except EdgeSegError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise DeviceError(f"--dask {scheduler}: it gave up ({type(error).__name__}): run it again") from error
    return made


_held = threading.local()


def segment_shard(address: str, shard: int, timeout_s: float, requests: int) -> tuple[int, Counts] | None:
    """Segment a shard on a worker; one guard serves all shards of its thread.

    Returns:
        The shard and the outcome of its films; `None` if its part already existed.
    """
    archive = Archive(address)
    archive.check()
    facts = (archive.settings, timeout_s)
    guard: Guard | None = getattr(_held, "guard", None)
    if guard is None or _held.facts != facts:
        if guard is not None:
            guard.close()
        guard = Guard(archive, timeout_s)
        _held.guard, _held.facts = guard, facts
    limit = partial(Semaphore, max_leases=requests, name=f"edge-seg {address} {requests}")
    with closing(Downloads(limit, timeout_s)) as downloads:
        return next(run_shards(archive, [shard], [guard], downloads), None)
