"""How long a sender may take."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from edge_seg.sources import Limits, associations
from edge_seg.sources.upper_layer import ASSOCIATE_RQ, P_DATA


class Writer:
    """Takes what is passed on to pynetdicom."""

    def write(self, data: bytes) -> None:
        pass

    async def drain(self) -> None:
        pass


def test_a_message_that_begins_late_has_its_full_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fragment = struct.pack(">LBB", 10, 1, 1) + bytes(8)
    begun = struct.pack(">BBL", P_DATA, 0, len(fragment)) + fragment
    limits, clock = Limits(), SimpleNamespace(now=0.0)
    allowed: list[float] = []

    async def within(seconds: float, work: Awaitable[Any]) -> Any:
        allowed.append(seconds)
        clock.now += limits.silence_s - 1
        return await work

    async def receive() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(begun)
        reader.feed_eof()
        relay: Any = associations._Relay(
            SimpleNamespace(reader=reader),  # type: ignore[arg-type]
            SimpleNamespace(idle_since=None),  # type: ignore[arg-type]
            limits,
            SimpleNamespace(),  # type: ignore[arg-type]
        )
        await relay._requests(struct.pack(">BBL", ASSOCIATE_RQ, 0, 0), Writer())

    monkeypatch.setattr(associations, "within", within)
    monkeypatch.setattr(associations, "time", SimpleNamespace(monotonic=lambda: clock.now))
    asyncio.run(receive())
    assert len(allowed) == 2
    assert min(allowed) >= limits.silence_s
