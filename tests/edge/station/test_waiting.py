"""A service whose disk is missing: it waits, its page says so, and it starts when the disk appears."""

from __future__ import annotations

import os
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from edge_seg import OutputError, Station, StationConfig
from edge_seg.station.config import ListenerConfig, ModelConfig, ResultsConfig, ViewConfig
from edge_seg_lab.ports import free_port


def config_of(tmp_path: Path, model: Path, told: Path | None = None) -> StationConfig:
    return StationConfig(
        listener=ListenerConfig("0"),
        model=ModelConfig(str(model), gate=False),
        results=ResultsConfig(tmp_path / "disk" / "results"),
        view=ViewConfig(str(free_port()), problems=told),
    )


def plain_page(config: StationConfig, expected: str) -> str:
    """The page once it has the expected text."""
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{config.view.address}/plain", timeout=10) as answer:
                text = answer.read().decode()
            if expected in text:
                return text
        except OSError:
            pass
        time.sleep(0.05)


def test_it_waits_for_the_disk_and_says_so(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In place of an unmounted partition: a file, below which not even root can make a folder.
    (tmp_path / "disk").write_text("")
    told = tmp_path / "problems.txt"
    told.write_text("edge-seg.toml: view.tokn: there is no such key\n")
    config = config_of(tmp_path, tiny_model, told)
    with pytest.raises(OutputError):
        Station(config)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(f"\0edge-seg-waiting-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@edge-seg-waiting-{os.getpid()}")
    made: list[Station] = []
    thread = threading.Thread(target=lambda: made.append(Station(config)), daemon=True)
    thread.start()
    page = plain_page(config, "no films are taken")
    assert "view.tokn" in page
    assert not made
    heard = [listener.recv(4096).decode() for _ in range(2)]
    assert heard[0].startswith("READY=1")
    assert "results" in heard[1]
    (tmp_path / "disk").unlink()
    (tmp_path / "disk").mkdir()
    thread.join(60)
    with made[0]:
        told.unlink()
        page = plain_page(config, "<html")
        assert "no films are taken" not in page
        assert "view.tokn" not in page
    listener.close()
