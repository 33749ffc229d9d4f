from __future__ import annotations

import socket

import pytest
from edge_seg_lab import ports


def test_no_port_is_given_twice_nor_one_that_has_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_given", set())
    with socket.create_server(("127.0.0.1", ports.free_port())) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "_FIRST", taken - 50)
        monkeypatch.setattr(ports, "_LAST", taken)
        given = [ports.free_port() for _ in range(20)]
    assert len({*given, taken}) == 21
