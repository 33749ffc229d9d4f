"""A station, and what happens to it in a week."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import click
from edge_seg.outputs.journal import RECORDS_NAME, REMOVED_NAME

from edge_seg_lab.device_week.board import AS_A_BOARD, DAY_S, Board, partition
from edge_seg_lab.device_week.outcome import DAYS, MEMORY_MB, Load, Outcome, Sample, grown
from edge_seg_lab.device_week.sender import Ledger, Scanner
from edge_seg_lab.image_program import load_program
from edge_seg_lab.ports import free_port
from edge_seg_lab.station_process import StationProcess, control_group

_PROJECT = Path(__file__).parents[3]
_WAITING = 40
"""Most films that wait for a result; a sender that does not wait would only lengthen the queue."""
_AGAIN_EVERY = 100
"""One film in this many is sent twice."""
_SAMPLES_A_DAY = 24
_PATIENCE_S = 1200.0
_TOKEN = "a long word for a week"


def measure(load: Load, work: Path, *, limited: bool = True) -> Outcome:
    """Run a week.

    Args:
        load: load of the week.
        work: folder for everything.
        limited: whether the station is held to its unit's memory limit.

    Raises:
        OSError: no partition or control group can be made here.
        RuntimeError: the station ended, or films were not done in time.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(partition(work, load.disk_mb))
        group = stack.enter_context(control_group(memory_of_unit()) if limited else nullcontext())
        week = Week(load, work, disk, group)
        stack.callback(week.end)
        week.pass_by()
        week.outcome.group_mb = None if group is None else round(group.peak_mb, 1)
        return week.outcome


class Week:
    """A station and what happens to it.

    Args:
        load: load of the week.
        work: folder for everything.
        disk: mounted partition.
        group: control group of the station, `None` without one.
    """

    def __init__(self, load: Load, work: Path, disk: Path, group: Any) -> None:
        self.load, self._work, self._disk, self._group = load, work, disk, group
        self.out, self._log = disk / "results", work / "log"
        self._board = Board(work / "board")
        self._dicom, self._page = free_port(), free_port()
        self._words = ["--config", str(self._settings())]
        self._words += ["--model", load.model] if load.model else []
        self._words += ["--save", load.save] if load.save else []
        self._ledger = Ledger(self.out)
        self._scanner = Scanner(self._dicom, load, work)
        self._station = self._start()
        self._filler = disk / "filler"
        self._full_days, self._jumps = list(load.full_days), list(load.jumps)
        self._wrong_days = 0.0
        self._sampled = -1.0
        self.outcome = Outcome(load)

    def _settings(self) -> Path:
        """The settings that the image's program makes from the card, with free ports, a token and any given free_gb."""
        card = self._work / "card"
        card.mkdir()
        text = (_PROJECT / "image" / "edge-seg.toml").read_text()
        text = text.replace("[listener]", f'[listener]\naddress = "127.0.0.1:{self._dicom}"')
        text = text.replace("[view]", f'[view]\naddress = "127.0.0.1:{self._page}"\ntoken = "{_TOKEN}"')
        if self.load.free_gb is not None:
            text = re.sub("(?m)^free_gb = .*$", f"free_gb = {self.load.free_gb}", text)
        (card / "edge-seg.toml").write_text(text)
        program = load_program("settings")
        places = program.Places(card, self._disk, self._work / "run")
        problems = program.apply(places)
        if problems:
            raise click.ClickException("; ".join(problems))
        path: Path = places.run / "station.toml"
        return path

    def _start(self) -> StationProcess:
        before = ["unshare", "--mount", "sh", "-c", AS_A_BOARD, "sh", str(self._board.folder)]
        station = StationProcess(self.out, self._words, self._group, self._log, before)
        station.wait_for_port(self._dicom)
        station.wait_for_port(self._page)
        return station

    def pass_by(self) -> None:
        """Send all films, each at its time, with the events in between."""
        begun = time.monotonic()
        for number in range(self.load.films):
            self._board.go_on(number * DAYS * DAY_S / self.load.films, self._wrong_days)
            self._happen()
            self._deliver(number)
            if number % _AGAIN_EVERY == 0:
                # As from a sender that missed the answer.
                self.outcome.again += 1
                self._deliver(number)
            self._wait_for_results(number + 1 - _WAITING)
        self._wait_for_results(self.load.films)
        self._scanner.hang_up()
        self._sample()
        self.outcome.processor_s = round(self._station.processor_s, 1)
        self._cut_power()
        self.outcome.seconds = round(time.monotonic() - begun, 1)
        self._judge()

    def _happen(self) -> None:
        day = self._board.day
        if day >= self.load.synchronised:
            self._board.synchronise()
        if self._jumps and day >= self._jumps[0][0]:
            self._wrong_days = self._jumps.pop(0)[1]
        if self._full_days and day >= self._full_days[0]:
            self._full_days.pop(0)
            self._fill()
        if day - self._sampled >= 1 / _SAMPLES_A_DAY:
            self._sampled = day
            self._sample()

    def _fill(self) -> None:
        """Leave no room for films; the first film refused frees the disk again, ten attempts later."""
        with self._filler.open("wb") as file:
            size = 1 << 28
            while size >= 1 << 12:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError:
                    size //= 2
        self._refusals_left = 10

    def _deliver(self, number: int) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not self._scanner.send(number):
            self.outcome.refused += 1
            if self._filler.exists():
                self._refusals_left -= 1
                if self._refusals_left <= 0:
                    self._note_problems()
                    self._filler.unlink()
            if time.monotonic() > end or not self._station.is_alive:
                raise RuntimeError(f"film {number} is not taken: {self._log.read_text()[-1000:]}")
            self._ledger.follow()
            time.sleep(0.2)
        self.outcome.acknowledged = number + 1

    def _wait_for_results(self, count: int) -> None:
        end = time.monotonic() + _PATIENCE_S
        while self._ledger.follow() < count:
            if time.monotonic() > end or not self._station.is_alive:
                raise RuntimeError(f"{count} films are not done: {self._log.read_text()[-1000:]}")
            if self._filler.exists():
                # The station waits for space with a film in hand; no further refusal is needed.
                self._note_problems()
                self._filler.unlink()
            time.sleep(0.02)

    def _sample(self) -> None:
        space = os.statvfs(self._disk)
        filler = self._filler.stat().st_blocks * 512 if self._filler.exists() else 0
        station = self._station
        records, removed = (
            path.stat().st_size if path.exists() else 0 for path in (self.out / RECORDS_NAME, self.out / REMOVED_NAME)
        )
        self.outcome.samples.append(
            Sample(
                round(self._board.day, 3),
                round(station.now_mb, 2),
                station.threads,
                station.descriptors,
                round(((space.f_blocks - space.f_bfree) * space.f_frsize - filler) / 2**20, 1),
                space.f_files - space.f_ffree,
                records,
                removed,
                self._log.stat().st_size,
            )
        )
        self._note_problems()

    def _note_problems(self) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self._page}/state")
        request.add_header("Authorization", f"Bearer {_TOKEN}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            for line in json.load(answer)["problems"]:
                plain = re.sub(r"[\d.]+", "N", line).replace(str(self._work), "")
                if plain not in self.outcome.problems:
                    self.outcome.problems.append(plain)

    def _cut_power(self) -> None:
        """Kill it with films in hand and start it in another boot: it repeats nothing and takes the next film."""
        count = self.load.films
        for number in range(count, count + 5):
            self._deliver(number)
        self._scanner.hang_up()
        self._station.kill()
        self._ledger.follow()
        self._board.boot()
        begun = time.monotonic()
        self._station = self._start()
        self.outcome.restart_s = round(time.monotonic() - begun, 1)
        self._deliver(count + 5)
        self._wait_for_results(count + 6)
        if self._station.now_mb > self.outcome.samples[-1].memory_mb + MEMORY_MB:
            self.outcome.faults.append(f"memory after the restart: {self._station.now_mb:.1f} MiB")
        self._station.stop()
        self._ledger.follow()

    def _judge(self) -> None:
        outcome, settled = self.outcome, self._ledger.settled
        sent = {f"dicom {self._scanner.uid(number)}" for number in range(outcome.acknowledged)}
        with suppress(FileNotFoundError):
            buried = {json.loads(line)["source"] for line in (self.out / REMOVED_NAME).read_text().splitlines()}
            outcome.removed = len(buried)
        outcome.lost = len(sent - settled.keys())
        outcome.doubled = sum(settled.values()) - len(settled.keys() & sent)
        outcome.failed = len(self._ledger.failed)
        outcome.faults += [f"{outcome.lost} films lost"] if outcome.lost else []
        outcome.faults += [f"{outcome.doubled} records too many"] if outcome.doubled else []
        outcome.faults += [f"{outcome.failed} good films failed"] if outcome.failed else []
        left = list((self.out / "inbox" / "received").iterdir())
        outcome.faults += [f"{len(left)} films still wait"] if left else []
        outcome.faults += grown(self.load, outcome.samples)

    def end(self) -> None:
        """Kill the station."""
        self._station.kill()


def memory_of_unit() -> int:
    """Memory limit of the service in MiB, from its unit."""
    found = re.search(r"(?m)^MemoryMax=(\d+)M$", (_PROJECT / "deploy" / "edge-seg.service").read_text())
    assert found is not None
    return int(found[1])
