"""The trusted clock: whatever the date says, nothing is older than the machine can tell."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from edge_seg import clock as clock_module
from edge_seg.clock import Clock

DAY = 86_400.0
START = 1_800_000_000.0


class Machine:
    """A machine whose clock can be set, and which can be restarted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.wall, self.up, self.boot, self.synchronised = START, 100.0, "one", False
        self._path = path
        monkeypatch.setattr(clock_module, "LOOK_EVERY_S", 0.0)
        monkeypatch.setattr(clock_module, "boot_id", lambda: self.boot)
        monkeypatch.setattr(clock_module, "uptime_s", lambda: self.up)
        monkeypatch.setattr(clock_module, "clock_is_synchronised", lambda: self.synchronised)
        monkeypatch.setattr(clock_module.time, "time", lambda: self.wall)

    def start(self, boot: str | None = None, wall: float | None = None, synchronised: bool = False) -> Clock:
        if boot is not None:
            self.boot, self.up = boot, 5.0
        self.wall = self.wall if wall is None else wall
        self.synchronised = synchronised
        return Clock(self._path)

    def run(self, clock: Clock, seconds: float) -> None:
        self.wall += seconds
        self.up += seconds
        clock.now()

    def recorded(self, clock: Clock) -> tuple[datetime, float | None]:
        return datetime.fromtimestamp(self.wall, timezone.utc), clock.offset_s


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path / "state" / "clock.json")


def test_time_passes_as_the_clock_says_while_it_does_not_jump(machine: Machine) -> None:
    clock = machine.start()
    early = machine.recorded(clock)
    machine.run(clock, 31 * DAY)
    assert clock.age_s(*early) == pytest.approx(31 * DAY)
    assert early[1] is None
    assert clock.trouble is None


def test_a_first_start_believes_the_records_that_are_there(machine: Machine) -> None:
    clock = machine.start()
    assert clock.age_s(datetime.fromtimestamp(START - 40 * DAY, timezone.utc), None) == pytest.approx(40 * DAY)


@pytest.mark.parametrize("boot", ["two", None], ids=["another boot", "the same boot"])
@pytest.mark.parametrize("days", [40, -40])
def test_a_clock_that_jumps_makes_nothing_older(machine: Machine, boot: str | None, days: float) -> None:
    clock = machine.start()
    before = machine.recorded(clock)
    machine.run(clock, DAY)
    clock.close()
    clock = machine.start(boot, machine.wall + days * DAY)
    assert clock.trouble is not None
    assert f"{abs(days):.1f} days" in clock.trouble
    machine.run(clock, 3600)
    during = machine.recorded(clock)
    assert clock.age_s(*before) < 2 * DAY
    machine.run(clock, 3600)
    assert clock.age_s(*during) == pytest.approx(3600, abs=1)
    clock.close()
    # Right again in a third boot.
    clock = machine.start("three", START + 2 * DAY)
    for recorded in (before, during):
        assert -1 <= clock.age_s(*recorded) < 2 * DAY
    machine.run(clock, 40 * DAY)
    assert clock.age_s(*before) > 40 * DAY
    assert clock.age_s(*during) > 39 * DAY


def test_time_between_boots_counts_where_the_clock_is_synchronised_on_both_sides(machine: Machine) -> None:
    clock = machine.start(synchronised=True)
    before = machine.recorded(clock)
    clock.close()
    # Starts with the old date, as a board without a battery does, and gets the time a minute later.
    clock = machine.start("two", machine.wall + 1)
    machine.run(clock, 30)
    unsure = machine.recorded(clock)
    machine.run(clock, 30)
    machine.wall, machine.synchronised = machine.wall + 40 * DAY, True
    assert clock.age_s(*before) == pytest.approx(40 * DAY + 61, abs=1)
    assert clock.age_s(*unsure) <= 31
    after = machine.recorded(clock)
    machine.run(clock, 10 * DAY)
    assert clock.age_s(*after) == pytest.approx(10 * DAY, abs=1)
    assert clock.age_s(*unsure) == pytest.approx(10 * DAY + 30, abs=1)


def test_films_between_two_synchronised_boots_age_by_the_time_the_machine_was_off(machine: Machine) -> None:
    clock = machine.start(synchronised=True)
    machine.run(clock, 3600)
    clock.close()
    clock = machine.start("two", machine.wall + 20 * DAY, synchronised=True)
    assert clock.age_s(datetime.fromtimestamp(START, timezone.utc), None) == pytest.approx(20 * DAY + 3600, abs=1)


@pytest.mark.parametrize("harm", [b"", b"{", b"\0\0", b'{"boot": 3}', b"[1]"])
def test_a_damaged_file_begins_the_count_anew(machine: Machine, tmp_path: Path, harm: bytes) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "clock.json").write_bytes(harm)
    clock = machine.start()
    assert clock.now() == START
