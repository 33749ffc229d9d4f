"""A film that kills or hangs its process fails alone; a process that cannot start fails no film."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_seg.archive.contents import Archive, PlannedFilm
from edge_seg.archive.guard import Guard
from edge_seg.errors import DeviceError, ModelError

# Speaks the real one's protocol and starts at once; the film's name says what to do with it.
FAKE = """
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / f"started-{os.getpid()}").touch()
sys.stdin.readline()
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    name = pathlib.Path(json.loads(line)["source"]).name
    if name == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if name == "exit": sys.exit(7)
    if name == "hang": time.sleep(60)
    if name == "once" and not (folder / "once").exists():
        (folder / "once").touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "down":
        print(json.dumps({"status": "failed", "error": "the store is down", "exit_code": 5, "masks": {}}), flush=True)
        continue
    print(json.dumps({"status": "done", "name": name, "masks": {}, "long": "x" * 300000}), flush=True)
"""


@pytest.fixture
def guard(archive: Archive, tmp_path: Path) -> Iterator[Guard]:
    (tmp_path / "seen").mkdir()
    with closing(Guard(archive, 1.0, [sys.executable, "-S", "-c", FAKE, str(tmp_path / "seen")])) as made:
        yield made


def film(name: str) -> PlannedFilm:
    return PlannedFilm(7, f"/films/{name}")


@pytest.mark.slow
def test_films_that_end_or_hang_their_process_fail_alone(guard: Guard, tmp_path: Path) -> None:
    assert guard.segment(film("good"))["number"] == 7
    for name, words in (
        ("kill", "ended its process (SIGKILL), 2 times"),
        ("exit", "ended its process (exit code 7), 2 times"),
        ("hang", "took longer than 1 s, 2 times"),
    ):
        row = guard.segment(film(name))
        assert row["status"] == "failed"
        assert words in row["error"]
        assert row["exit_code"] == 3
        assert row["masks"] == {}
        assert guard.segment(film("good"))["status"] == "done"
    # One at the start, one after each death.
    assert len(list((tmp_path / "seen").glob("started-*"))) == 7


def test_one_death_condemns_no_film(guard: Guard) -> None:
    assert guard.segment(film("once"))["status"] == "done"


def test_a_store_that_is_down_is_no_films_fault(guard: Guard) -> None:
    with pytest.raises(DeviceError, match="the store is down"):
        guard.segment(film("down"))
    assert guard.segment(film("good"))["status"] == "done"


def test_what_is_known_to_fail_is_not_tried(guard: Guard, tmp_path: Path) -> None:
    row = guard.segment(PlannedFilm(1, "/films/kill", problem="/films/kill: is a pipe, not a film"))
    assert (row["status"], row["error"]) == ("failed", "/films/kill: is a pipe, not a film")
    assert not list((tmp_path / "seen").iterdir())


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("raise SystemExit('no numpy here')", DeviceError, "no numpy here"),
        ("import os; os.abort()", DeviceError, "SIGABRT"),
        ('print(\'{"error": "a damaged model", "exit_code": 4}\')', ModelError, "a damaged model"),
    ],
)
def test_a_process_that_cannot_start_is_no_films_fault(
    archive: Archive, code: str, kind: type[Exception], words: str
) -> None:
    with closing(Guard(archive, 1.0, [sys.executable, "-S", "-c", code])) as guard:
        with pytest.raises(kind, match="cannot start") as caught:
            guard.segment(film("good"))
        assert words in str(caught.value)


def test_one_that_ended_before_it_was_asked_is_heard(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = started(*words, **options)
        process.wait(60)
        return process

    started = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", ended)
    code = 'print(\'{"error": "a damaged model", "exit_code": 4}\')'
    guard = Guard(archive, 1.0, [sys.executable, "-S", "-c", code])
    with closing(guard), pytest.raises(ModelError, match="a damaged model"):
        guard.segment(film("good"))


@pytest.mark.slow
def test_the_real_process_segments_and_says_why_not(archive: Archive) -> None:
    with closing(Guard(archive, 60.0)) as guard:
        first, *rest = archive.films(0)
        row = guard.segment(first)
        assert row["status"] == "done"
        height, width = row["film"]["height"], row["film"]["width"]
        for mask in row["masks"].values():
            assert (mask["height"], mask["width"], int(np.sum(mask["runs"]))) == (height, width, height * width)
        changed = PlannedFilm(first.number, first.source, first.size, 1)
        assert "has changed since" in guard.segment(changed)["error"]
        # As an administrator, or a machine without memory, might.
        assert guard._child is not None
        os.kill(guard._child.pid, signal.SIGKILL)
        assert [guard.segment(one)["status"] for one in rest] == ["done"]


KILLED = """
import os, signal, sys
from edge_seg.archive.contents import Archive
from edge_seg.archive.guard import Guard
archive = Archive(sys.argv[1])
guard = Guard(archive, 60.0)
guard.segment(archive.films(0)[0])
print(guard._child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_ends_with_its_guard(archive: Archive) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, archive.address], stdout=subprocess.PIPE) as lost:
        assert lost.stdout is not None
        child = int(lost.stdout.readline())
        assert lost.wait(30) == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
