"""Tests that take hours: `make image-nightly`. Each test prints its counts for the report."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from .conftest import Films, image_of
from .data_partition import copy_out, extent, results_of
from .judge import faults, settled
from .machine import make_card, running, write_settings
from .power import Write, read_log, replay, sure_after
from .test_device import SETTINGS

pytestmark = [
    pytest.mark.image,
    pytest.mark.slow,
    pytest.mark.timeout(6 * 3600),
    pytest.mark.skipif("EDGE_SEG_NIGHTLY" not in os.environ, reason="takes hours: make image-nightly"),
]

CRASH_POINTS = int(os.environ.get("EDGE_SEG_CRASH_POINTS", "300"))
MACHINE_CUTS = int(os.environ.get("EDGE_SEG_MACHINE_CUTS", "10"))
FILMS = 12


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_boot_to_the_first_film(tmp_path: Path, films: Films, architecture: str) -> None:
    card = tmp_path / "card.img"
    make_card(image_of(architecture), card, SETTINGS)
    start = time.monotonic()
    with running(architecture, card, tmp_path) as machine:
        ready = time.monotonic() - start
        assert machine.send(films.make(0))
        state = machine.wait_for(1)
        print(f"{architecture}: ready after {ready:.0f} s, first film after {time.monotonic() - start:.0f} s")
        machine.picture(tmp_path / "console.png")
    assert state["films"]["done"] == 1


def _moved(writes: list[Write], start: int, length: int) -> list[Write]:
    """Requests as the partition sees them; those outside it count as flushes only."""
    found = []
    for write in writes:
        inside = start <= write.start and write.start + write.length <= start + length
        place = (write.start - start, write.length) if inside else (0, 0)
        found.append(Write(*place, write.at, write.flushes, write.lasting, write.discards))
    return found


def test_crash_points_of_a_session(tmp_path: Path, films: Films) -> None:
    card, log = tmp_path / "card.img", tmp_path / "log"
    make_card(image_of("amd64"), card, SETTINGS)
    # Before the first boot, which grows the data partition but moves none of its content.
    base = tmp_path / "base.ext4"
    copy_out(card, base)
    known: list[tuple[int, dict[str, str]]] = []
    with running("amd64", card, tmp_path, log) as machine:
        for seed in range(FILMS):
            path = films.make(seed)
            assert machine.send(path)
            films.acknowledge(path)
            known.append((len(read_log(log)), dict(films.acknowledged)))
        machine.wait_for(FILMS)
    writes = _moved(read_log(log), *extent(card))
    os.truncate(base, extent(card)[1])
    chance = random.Random(21)
    done = 0
    for number, point in enumerate(sorted(chance.randint(1, len(writes)) for _ in range(CRASH_POINTS))):
        # The flushed part is replayed once, and each cut starts from there.
        sure = sure_after(writes, point)
        replay(log, writes, base, sure, chance, since=done)
        done = sure
        cut, folder = tmp_path / "cut.ext4", tmp_path / f"cut-{number}"
        subprocess.run(["cp", "--sparse=always", base, cut], check=True)
        replay(log, writes, cut, point, chance, since=sure)
        acknowledged = next((one for at, one in reversed(known) if at <= point), {})
        assert faults(results_of(cut, folder), acknowledged, films.sent) == [], f"request {point} of {len(writes)}"
        shutil.rmtree(folder)
    print(f"{CRASH_POINTS} crash points among {len(writes)} requests: 0 lost, 0 doubled, 0 torn, 0 set aside")


def test_machine_cuts_in_a_row(tmp_path: Path, films: Films) -> None:
    card, log, before = tmp_path / "card.img", tmp_path / "log", tmp_path / "before.img"
    make_card(image_of("amd64"), card, SETTINGS)
    chance = random.Random(21)
    for number in range(MACHINE_CUTS):
        subprocess.run(["cp", "--sparse=always", card, before], check=True)
        with running("amd64", card, tmp_path, log) as machine:
            for seed in range(number * 3, number * 3 + 3):
                path = films.make(seed)
                assert machine.send(path)
                films.acknowledge(path)
            point = len(read_log(log))
            time.sleep(chance.uniform(0, 5))
        writes = read_log(log)
        replay(log, writes, before, chance.randint(point, len(writes)), chance)
        shutil.move(before, card)
    with running("amd64", card, tmp_path) as machine:
        while machine.state()["sources"][0]["waiting"]:
            time.sleep(1)
    copy_out(card, tmp_path / "data.ext4")
    results = results_of(tmp_path / "data.ext4", tmp_path / "after")
    assert faults(results, films.acknowledged, films.sent) == []
    assert sorted(settled(results).values()) == [1] * len(films.sent)
    print(f"{MACHINE_CUTS} machine cuts, {len(films.sent)} films: 0 lost, 0 doubled, 0 torn, 0 set aside")


def test_a_data_partition_that_is_full_and_one_that_is_unplugged(tmp_path: Path, films: Films) -> None:
    card = tmp_path / "card.img"
    make_card(image_of("amd64"), card, SETTINGS)
    # The partition is on a separate disk, which can be pulled; nothing is left on the card that could be repaired.
    disk = tmp_path / "disk.img"
    copy_out(card, disk)
    start, length = extent(card)
    with card.open("r+b") as file:
        file.seek(start)
        file.write(bytes(length))
    drive = {"driver": "raw", "node-name": "pulled", "file": {"driver": "file", "filename": str(disk)}}
    with running("amd64", card, tmp_path, None, "-device", "qemu-xhci,id=usb", listens=False) as machine:

        def misses_it() -> bool:
            problems = machine.state()["problems"]
            print(problems)
            return any("partition" in line or "/data" in line for line in problems)

        assert misses_it()
        machine.tell("blockdev-add", **drive)
        for _ in range(2):
            machine.tell("device_add", driver="usb-storage", drive="pulled", id="disk", bus="usb.0")
            _wait(lambda: machine.echo())
            # 128 MB less than free_gb asks for: the oldest films are removed, and the newest are still taken.
            for seed in range(20):
                film = films.make(seed + 100)
                # The station may read its state again when the partition appears; a sender tries again.
                _wait(partial(machine.send, film))
            _wait(lambda: not misses_it() and not machine.state()["sources"][0]["waiting"])
            machine.tell("device_del", id="disk")
            _wait(misses_it)


def test_a_torn_superblock_is_mended_without_anybody(tmp_path: Path, films: Films) -> None:
    card = tmp_path / "card.img"
    make_card(image_of("amd64"), card, SETTINGS)
    with running("amd64", card, tmp_path) as machine:
        path = films.make(0)
        assert machine.send(path)
        films.acknowledge(path)
        machine.wait_for(1)
    start, _ = extent(card)
    with card.open("r+b") as file:
        # Its second half: a cut tears a write at a sector boundary.
        file.seek(start + 1024 + 512)
        file.write(bytes(512))
    with running("amd64", card, tmp_path) as machine:
        assert machine.send(films.make(1))
        state = machine.wait_for(1)
        assert not [line for line in state["problems"] if "partition" in line], state["problems"]
    copy_out(card, tmp_path / "data.ext4")
    assert faults(results_of(tmp_path / "data.ext4", tmp_path / "after"), films.acknowledged, films.sent) == []


def _wait(until: object, seconds: float = 600) -> None:
    assert callable(until)
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it does not come"
        time.sleep(2)


def test_clock_jumps(tmp_path: Path, films: Films) -> None:
    card = tmp_path / "card.img"
    make_card(image_of("amd64"), card, SETTINGS)
    for number, date in enumerate(["2030-01-01T00:00:00", "2026-12-01T00:00:00", "1970-01-01T00:00:00"]):
        with running("amd64", card, tmp_path, None, "-rtc", f"base={date}") as machine:
            path = films.make(number)
            assert machine.send(path)
            films.acknowledge(path)
            machine.wait_for(1)
    write_settings(card, SETTINGS)
    copy_out(card, tmp_path / "data.ext4")
    assert faults(results_of(tmp_path / "data.ext4", tmp_path / "after"), films.acknowledged, films.sent) == []
