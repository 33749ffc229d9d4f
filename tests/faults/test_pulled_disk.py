"""A disk that disappears while no film arrives: the page says so, and why."""

from __future__ import annotations

import logging
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_seg import Station, StationConfig
from edge_seg.station import disk as watch
from edge_seg.station.config import InputsConfig, ModelConfig, ResultsConfig, ViewConfig
from edge_seg.station.disk import DiskWatch

from .disks import disk, pull, remount


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.0)


def test_the_page_says_that_the_disk_was_pulled(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "inbox").mkdir()
    with disk(tmp_path / "disk.img", tmp_path / "disk", 16) as place:
        config = StationConfig(
            inputs=InputsConfig(watch=(tmp_path / "inbox",)),
            model=ModelConfig(str(tiny_model), gate=False),
            results=ResultsConfig(place / "results"),
            view=ViewConfig("0"),
        )
        with Station(config) as station:
            assert station.page is not None
            address = f"{station.page.url}plain"
            thread = threading.Thread(target=station.run)
            thread.start()
            assert "nothing can be written" not in _page(address)
            pull(place)
            _until(lambda: "results: nothing can be written (Input/output error)" in _page(address))
            station.stop()
            thread.join(60)


def test_one_that_turns_read_only_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge_seg")
    with disk(tmp_path / "disk.img", tmp_path / "disk", 16) as place:
        watched = DiskWatch(place)
        watched.tick()
        assert watched.trouble is None
        remount(place, "ro", time.monotonic() + 60)
        for _ in range(3):
            watched.tick()
        assert watched.trouble == (
            f"{place}: nothing can be written (Read-only file system): see whether its disk is in and whole"
        )
        remount(place, "rw", time.monotonic() + 60)
        watched.tick()
        assert watched.trouble is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_one_that_is_gone_leaves_another(tmp_path: Path) -> None:
    with disk(tmp_path / "disk.img", tmp_path / "disk", 16) as place:
        watched = DiskWatch(place)
    watched.tick()
    assert watched.trouble == f"{place}: it lies on another disk than at the start: start edge-seg again"
    place.rmdir()
    watched.tick()
    assert watched.trouble is not None
    assert "nothing can be written (No such file or directory)" in watched.trouble


def test_one_that_is_gone_at_the_start_is_told_and_taken_when_it_comes(tmp_path: Path) -> None:
    watched = DiskWatch(tmp_path / "results")
    watched.tick()
    assert watched.trouble is not None
    assert "nothing can be written (No such file or directory)" in watched.trouble
    (tmp_path / "results").mkdir()
    watched.tick()
    assert watched.trouble is None


def test_it_looks_twice_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 30.0)
    now = 1000.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    folder = tmp_path / "results"
    folder.mkdir()
    watched = DiskWatch(folder)
    watched.tick()
    folder.rmdir()
    now += 29
    watched.tick()
    assert watched.trouble is None
    now += 1
    watched.tick()
    assert watched.trouble is not None


def _page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
