"""Power cuts: what a disk may hold when the power fails, from the log of QEMU's `blklogwrites`.

The log is that of Linux's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst): a header sector, then
for each request a sector with its place, length and flags, followed by its data. Everything before a flush is on the
disk; of what came later any part may be, and a request may be torn between sectors.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD = 1, 2, 4
_HEAD, _ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
_SECTOR = 512


@dataclass(frozen=True)
class Write:
    """A request to the disk.

    Attributes:
        start: byte on the disk.
        length: bytes; 0 for only a flush.
        at: byte in the log where its data begin.
        flushes: whether everything before it is on the disk from here on.
        lasting: whether it is itself on the disk when it is done.
        discards: whether it discards data, and so has none.
    """

    start: int
    length: int
    at: int
    flushes: bool
    lasting: bool
    discards: bool


def read_log(log: Path) -> list[Write]:
    """The requests of a log, oldest first, without one that is cut off at the end.

    Raises:
        ValueError: this is not a log of writes.
    """
    found = []
    with log.open("rb") as file:
        magic, version, _, sector = _HEAD.unpack(file.read(_HEAD.size))
        if (magic, version, sector) != (_MAGIC, 1, _SECTOR):
            raise ValueError(f"{log}: no log of writes in sectors of {_SECTOR} bytes")
        size, at = log.stat().st_size, _SECTOR
        while at + _SECTOR <= size:
            file.seek(at)
            start, sectors, flags, _ = _ENTRY.unpack(file.read(_ENTRY.size))
            length, discards = sectors * _SECTOR, bool(flags & _DISCARD)
            end = at + _SECTOR + (0 if discards else length)
            if end > size:
                break
            write = Write(start * _SECTOR, length, at + _SECTOR, bool(flags & _FLUSH), bool(flags & _FUA), discards)
            found.append(write)
            at = end
    return found


def sure_after(writes: list[Write], point: int) -> int:
    """How many of the first `point` requests are followed by a flush among them."""
    return next((number for number in range(point, 0, -1) if writes[number - 1].flushes), 0)


def pieces(write: Write, chance: random.Random) -> Iterator[tuple[int, int]]:
    """What is left of a request that was not flushed: nothing, all, or some of its sectors, as offset and length."""
    fate = chance.random()
    if fate < 1 / 3:
        return
    if fate < 2 / 3:
        yield 0, write.length
        return
    for offset in range(0, write.length, _SECTOR):
        if chance.random() < 0.5:
            yield offset, _SECTOR


def replay(log: Path, writes: list[Write], disk: Path, point: int, chance: random.Random, since: int = 0) -> None:
    """Bring a disk to a state in which a power cut after the first `point` requests may have left it.

    Args:
        log: has the data of the requests.
        writes: requests of the log.
        disk: as it was after the first `since` requests, all of them flushed.
        point: number of requests before the power cut.
        chance: decides what is left of requests that were not flushed.
        since: number of requests that the disk already holds.
    """
    sure = sure_after(writes, point)
    with log.open("rb") as file, disk.open("r+b") as out:
        for number, write in enumerate(writes[since:point], since):
            if write.discards or not write.length:
                continue
            whole = number < sure or write.lasting
            for offset, length in [(0, write.length)] if whole else pieces(write, chance):
                file.seek(write.at + offset)
                out.seek(write.start + offset)
                out.write(file.read(length))
