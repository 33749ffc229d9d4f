"""Connections from peers: deadlines for work on them."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from contextlib import closing

import pytest
from edge_seg.connections import Connection, ConnectionServer, within


def test_a_cancellation_that_comes_as_the_work_ends_is_not_lost():
    async def serve(answer: asyncio.Future[None]) -> None:
        await within(60, answer)
        await asyncio.sleep(60)

    async def main() -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(answer))
        await asyncio.sleep(0.01)
        answer.set_result(None)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, 5)

    asyncio.run(main())


def test_what_fails_as_its_cancellation_comes_is_not_printed(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(within(60, answer))
        await asyncio.sleep(0.01)
        answer.set_exception(EOFError())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    gc.collect()
    assert not caplog.records


def test_work_that_takes_too_long_is_ended():
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await within(0.01, work())

    asyncio.run(main())
    assert ended == [True]


def test_what_the_work_gives_or_raises_comes_through():
    async def fail() -> None:
        raise ValueError("no")

    async def main() -> str:
        with pytest.raises(ValueError, match="no"):
            await within(1, fail())
        return await within(1, asyncio.sleep(0, "yes"))

    assert asyncio.run(main()) == "yes"


def test_a_connection_that_fails_is_logged_without_the_text_of_its_error(caplog: pytest.LogCaptureFixture):
    async def serve(connection: Connection) -> None:
        raise ValueError("DOE^John")

    caplog.set_level(logging.DEBUG, "edge_seg")
    with (
        closing(ConnectionServer("127.0.0.1", 0, serve, "test")) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as peer,
    ):
        # It is closed once it has failed.
        assert peer.recv(1) == b""
    assert "the connection failed (ValueError in " in caplog.text
    assert "DOE" not in caplog.text
