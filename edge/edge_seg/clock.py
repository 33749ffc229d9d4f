"""A trustworthy clock: a board without a battery clock may boot in any year, and results must not age by that.

The rate of the machine's clock is trusted, not its date: time passes as the kernel counts it since boot. Time between
two boots counts only if the clock was synchronised before and is again. A clock that jumps therefore ages nothing; if
the clock is never synchronised, age is counted in hours of running.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from edge_seg.errors import OutputError
from edge_seg.hardware import boot_id, clock_is_synchronised, uptime_s
from edge_seg.log import room_logger
from edge_seg.storage import write_atomically
from edge_seg.typed_json import parse_object, read_fields

CLOCK_NAME = "clock.json"

_DRIFT_S = 120.0  # between wall clock and kernel; more is a jump
_TELL_BEHIND_S, _TELL_AHEAD_S = 3600.0, 7 * 86_400.0
LOOK_EVERY_S = 0.5
"""Seconds between two readings of the machine's clock."""

_SAVE_EVERY_S = 600.0
_MOST_SHIFTS = 100

_log = room_logger(__name__)


@dataclass(frozen=True)
class Shift:
    """Counted time from `start` to `end` turned out to have been `by_s` seconds later."""

    start: float
    end: float
    by_s: float


@dataclass(frozen=True)
class Seen:
    """The last reading of the clock. All times in seconds; clock times are since 1970.

    Attributes:
        boot: identifier of the machine's boot.
        uptime_s: since that boot.
        wall: time by the machine's clock.
        counted: the time that can be trusted.
        began: counted time when counting began.
        trusted: counted time when the clock was last synchronised, `None` if it never was.
        shifts: corrections of the past.
    """

    boot: str
    uptime_s: float
    wall: float
    counted: float
    began: float
    trusted: float | None = None
    shifts: tuple[Shift, ...] = ()


class Clock:
    """Counted time of an output folder.

    Attributes:
        trouble: what is wrong with the machine's clock, `None` if nothing is.

    Args:
        path: file that keeps it across boots.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trouble: str | None = None
        self._saved_at = self._looked_at = -math.inf
        self._seen = self._look(_load(path))
        self._save()

    def now(self) -> float:
        """Counted seconds since 1970."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return self._seen.counted
        self._looked_at = time.monotonic()
        self._seen = self._look(self._seen)
        if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self._save()
        return self._seen.counted

    @property
    def offset_s(self) -> float | None:
        """Seconds by which the machine's clock is behind the counted time; `None` where they agree."""
        self.now()
        offset = self._seen.counted - self._seen.wall
        return round(offset, 1) if abs(offset) > _DRIFT_S else None

    def age_s(self, recorded: datetime, offset_s: float | None) -> float:
        """Seconds since something was recorded.

        Args:
            recorded: time by the machine's clock when it was recorded.
            offset_s: `offset_s` at that time.
        """
        now, at = self.now(), recorded.timestamp() + (offset_s or 0.0)
        for shift in self._seen.shifts:
            if shift.start < at <= shift.end:
                at += shift.by_s
        return now - at

    def close(self) -> None:
        """Save the counted time."""
        self._seen = self._look(self._seen)
        self._save()

    def _look(self, last: Seen | None) -> Seen:
        boot, uptime, wall = boot_id(), uptime_s(), time.time()
        if last is None:
            return Seen(boot, uptime, wall, wall, wall, wall if clock_is_synchronised() else None)
        passed = max(0.0, uptime - last.uptime_s) if boot == last.boot else 0.0
        counted, shifts, trusted = last.counted + passed, last.shifts, last.trusted
        if clock_is_synchronised():
            if wall - counted > _DRIFT_S:
                # Records made since the clock was last right keep their counted age.
                start = last.began if trusted is None else trusted
                shifts, counted = (*shifts, Shift(start, counted, wall - counted))[-_MOST_SHIFTS:], wall
            trusted = counted if abs(wall - counted) <= _DRIFT_S else trusted
        if abs(wall - counted) <= _DRIFT_S:
            counted, self.trouble = max(counted, wall), None
        else:
            self._tell(wall - last.wall - passed, same_boot=boot == last.boot)
        return Seen(boot, uptime, wall, counted, last.began, trusted, shifts)

    def _tell(self, jump_s: float, same_boot: bool) -> None:
        """Report a clock jump; time that passed while the machine was off is not one."""
        if jump_s > -_TELL_BEHIND_S and jump_s < (_TELL_BEHIND_S if same_boot else _TELL_AHEAD_S):
            return
        way = "ahead" if jump_s > 0 else "back"
        self.trouble = (
            f"the clock has jumped {way} by {abs(jump_s) / 86_400:.1f} days: results keep the age that was counted; "
            "set the clock, or connect a network that does"
        )
        _log.warning("%s", self.trouble)

    def _save(self) -> None:
        # If the disk refuses writes, writing the results reports it.
        self._saved_at = time.monotonic()
        try:
            self._path.parent.mkdir(exist_ok=True)
            write_atomically(self._path, json.dumps(asdict(self._seen)).encode(), lasting=False)
        except (OSError, OutputError):
            return


def _load(path: Path) -> Seen | None:
    try:
        return read_fields(Seen, parse_object(path.read_text()), newer=True)
    except (OSError, ValueError):
        return None
