"""The service: what systemd hears, and when."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from edge_seg import InputError, OutputError
from edge_seg.film import Failure
from edge_seg.record import record_of_failure
from edge_seg.station.service import Service
from edge_seg.station.session import Summary


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket in place of systemd's, and its name as a service gets it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = str(tmp_path / "notify") if request.param == "path" else f"@edge-seg-{os.getpid()}-{time.monotonic_ns()}"
    listener.bind("\0" + name[1:] if name.startswith("@") else name)
    listener.settimeout(60)
    yield listener, name
    listener.close()


def test_it_tells_that_it_is_up_alive_how_it_does_and_that_it_ends(
    systemd: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, name = systemd
    now = 100.0
    monkeypatch.setattr("edge_seg.station.service.time", SimpleNamespace(monotonic=lambda: now))
    service = Service({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())})

    def heard() -> list[str]:
        return listener.recv(4096).decode().splitlines()

    service.started()
    assert heard() == ["READY=1", "STATUS=waiting for films"]
    service.tick()
    assert heard() == ["WATCHDOG=1"]
    # Fed at half of 0.2 s, not with every tick.
    for _ in range(100):
        now += 0.005
        service.tick()
    listener.setblocking(False)
    fed = 0
    with contextlib.suppress(BlockingIOError):
        while heard() == ["WATCHDOG=1"]:
            fed += 1
    assert 4 <= fed <= 5
    listener.settimeout(60)
    summary = Summary()
    failure = Failure("x", "x", InputError("x: broken: send it again"))
    summary.count_in(failure, record_of_failure(failure))
    service.film(summary, failure, None)
    assert heard() == ["STATUS=0 done, 0 rejected, 1 failed"]
    service.waiting(OutputError("out/DOE_John.png: full\nREADY=1: free space"))
    assert heard() == ["STATUS=results cannot be written: see the page"]
    service.close()
    assert heard() == ["STOPPING=1"]
    service.close()


def test_without_systemd_it_says_nothing() -> None:
    service = Service({})
    service.started()
    service.tick()
    service.close()


def test_another_processes_watchdog_is_not_fed(systemd: tuple[socket.socket, str]) -> None:
    listener, name = systemd
    service = Service({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    service.tick()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(10)
    service.close()


def test_a_systemd_that_went_away_stops_nobody(tmp_path: Path) -> None:
    service = Service({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1"})
    service.started()
    service.tick()
    service.close()
