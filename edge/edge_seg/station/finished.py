"""A folder of results whose session has ended, shown like a running one so that its outlines can be corrected."""

from __future__ import annotations

import shutil
import threading
import time
from collections import OrderedDict
from dataclasses import astuple
from datetime import datetime, timezone
from pathlib import Path

from edge_seg.adaptation.status import lines_of_learning
from edge_seg.corrections.desk import Desk
from edge_seg.errors import InputError
from edge_seg.film import SMALLEST_SIDE
from edge_seg.hardware import board_name
from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.folder import OutputFolder
from edge_seg.record import DoneRecord
from edge_seg.station.health_state import FilmCounts, HealthState, RecentFilm, RunningModel, Sending, sending_problems
from edge_seg.station.layers import LONGEST_SIDE, Layers, Outlines
from edge_seg.structures import structures_named
from edge_seg.version import __version__

MOST = 300
"""Films that the page lists, the newest ones."""

_KEPT = 8  # pictures


class FinishedFolder:
    """The films of a folder of results, from their records; see `Shown`. Thread-safe.

    Args:
        output: the folder.
        desk: provides its films.
        first: number of the first film, see `first_number`.

    Raises:
        InputError: it holds no results.
    """

    def __init__(self, output: OutputFolder, desk: Desk, *, first: int = 1) -> None:
        self._output, self._desk = output, desk
        newest = {record.stem: record for record in output.records() if isinstance(record, DoneRecord)}
        if not newest:
            raise InputError(f"{output.folder}: holds no results: give the folder that edge-seg run wrote (--out)")
        self._records = dict(enumerate(list(newest.values())[-MOST:], first))
        self._recent = tuple(RecentFilm.of(n, one, not one.rejected) for n, one in reversed(self._records.items()))
        self._started, self._started_at = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._pictures: OrderedDict[int, bytes] = OrderedDict()
        self._making = threading.Lock()
        rejected = sum(one.rejected for one in newest.values())
        self._counts = FilmCounts(len(newest) - rejected, rejected, failed=0, skipped=0)

    @property
    def alive(self) -> bool:
        """See `Shown`."""
        return True

    def recent(self) -> tuple[RecentFilm, ...]:
        """See `Shown`."""
        return self._recent

    def record(self, number: int) -> DoneRecord | None:
        """See `Shown`."""
        return self._records.get(number)

    def overlay(self, number: int) -> Path | None:
        """See `Shown`."""
        names = [film.overlay for film in self._recent if film.number == number]
        return self._output.folder / names[0] if names and names[0] else None

    def picture(self, number: int) -> bytes | None:
        """See `Shown`."""
        record = self._records.get(number)
        if record is None:
            return None
        with self._making:
            if number not in self._pictures:
                try:
                    self._pictures[number] = self._desk.picture(record, LONGEST_SIDE)
                except InputError:
                    # The page shows the overlay instead.
                    return None
                while len(self._pictures) > _KEPT:
                    self._pictures.popitem(last=False)
            return self._pictures[number]

    def outlines(self, number: int) -> Outlines | None:
        """See `Shown`."""
        record = self._records.get(number)
        if record is None:
            return None
        masks = {name: self._output.folder / f"{record.stem}.{name}.png" for name in record.structures}
        shape = max(record.film.height, SMALLEST_SIDE), max(record.film.width, SMALLEST_SIDE)
        return Layers.of_files(masks, shape).outlines(structures_named(tuple(masks)))

    def state(self) -> HealthState:
        """See `Shown`."""
        last = self._records[max(self._records)]
        model = RunningModel(last.model.name, last.model.version, last.model.sha256)
        outbox, notices = Sending.of(self._output.outbox), Sending.of(self._output.notices)
        return HealthState(
            notice=RESEARCH_USE,
            edge_seg=__version__,
            started_at=self._started_at,
            uptime_s=round(time.monotonic() - self._started, 1),
            model=model,
            lung=last.lung,
            runtime=last.runtime,
            delegate=last.delegate,
            films=self._counts,
            inference_s=0.0,
            sources=(),
            outbox=outbox,
            notices=notices,
            free_bytes=shutil.disk_usage(self._output.folder).free,
            board=board_name(),
            temperature_c=None,
            throttling=None,
            recent=self._recent,
            problems=tuple(sending_problems(outbox, notices)),
            learning=tuple(lines_of_learning(self._output.folder, *astuple(model))),
        )
