"""Progress of an archive, from its parts alone: anyone who can read it can ask, from anywhere."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pyarrow import parquet

from edge_seg.archive.contents import Archive, Settings, part_name
from edge_seg.errors import InputError
from edge_seg.notice import RESEARCH_USE

_LATELY_S = 600.0
"""Seconds before the newest part over which films are counted for the rate."""

_READERS = 16
"""Footers read at once: each one takes a while from an object store."""


@dataclass(frozen=True)
class Status:
    """Progress of an archive.

    Attributes:
        settings: of the archive.
        shards_done: shards whose part exists.
        films_done: films in these parts, including those rejected and failed.
        rejected, failed: of these.
        films_per_second: recent rate; `None` before the second part.
        seconds_left: at that rate; `None` if it is not known.
        newest_part_s: seconds since the newest part was written; `None` without one.
        damaged: parts that cannot be read; remove them and run again.
    """

    settings: Settings
    shards_done: int
    films_done: int
    rejected: int
    failed: int
    films_per_second: float | None
    seconds_left: float | None
    newest_part_s: float | None
    damaged: tuple[str, ...] = ()
    notice: str = RESEARCH_USE


def status(address: str) -> Status:
    """Progress of an archive. Takes one small read per part.

    Args:
        address: path or URL of the archive's folder.

    Raises:
        UsageError: no archive is planned there.
        DeviceError: its store does not answer, or denies access.
        OutputError: it cannot be listed.
    """
    archive = Archive(address)
    settings, parts = archive.settings, archive.parts()
    rejected = failed = 0
    damaged = []
    with ThreadPoolExecutor(_READERS, "status") as pool:
        for shard, facts in zip(parts, pool.map(lambda one: _facts(archive, one), parts), strict=True):
            if facts is None:
                damaged.append(f"{address}/records/{part_name(shard)}")
            else:
                rejected, failed = rejected + facts[0], failed + facts[1]
    films = sum(map(settings.films_of, parts))
    times = {shard: info.mtime_ns / 1e9 for shard, info in parts.items()}
    rate = _rate(settings, times)
    return Status(
        settings=settings,
        shards_done=len(parts),
        films_done=films,
        rejected=rejected,
        failed=failed,
        films_per_second=rate,
        seconds_left=(settings.films - films) / rate if rate else None,
        newest_part_s=max(0.0, time.time() - max(times.values())) if times else None,
        damaged=tuple(damaged),
    )


def _rate(settings: Settings, times: dict[int, float]) -> float | None:
    """Films per second between the first and the last recent part."""
    newest = max(times.values(), default=0.0)
    lately = sorted((when, shard) for shard, when in times.items() if when >= newest - _LATELY_S)
    if len(lately) < 2 or newest <= lately[0][0]:
        return None
    # The first part only starts the clock; its own films were made before.
    return sum(settings.films_of(shard) for _, shard in lately[1:]) / (newest - lately[0][0])


def _facts(archive: Archive, shard: int) -> tuple[int, int] | None:
    """Numbers of rejected and failed films in a part's footer; `None` if it cannot be read."""
    try:
        with archive.store.open(f"records/{part_name(shard)}") as file:
            facts: dict[bytes, Any] = parquet.read_metadata(file).metadata
        return int(facts[b"edge_seg.rejected"]), int(facts[b"edge_seg.failed"])
    except (InputError, KeyError):
        return None
