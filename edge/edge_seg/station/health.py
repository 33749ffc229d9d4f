"""Health of a running session: what it did last, what waits, what is wrong. For page, metrics and watchdog."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import astuple, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from edge_seg.adaptation.status import lines_of_learning
from edge_seg.assessment.film_gate import REJECT
from edge_seg.assessment.kinds import INVERTED
from edge_seg.errors import EdgeSegError
from edge_seg.film import Failure, Film, inverted
from edge_seg.hardware import (
    HOT_C,
    LITTLE_SPACE_BYTES,
    board_name,
    clock_is_doubtful,
    temperature_c,
    throttling,
)
from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.outbox import Outbox
from edge_seg.record import AnyRecord, DoneRecord
from edge_seg.segmenter import Segmenter
from edge_seg.sources import Source
from edge_seg.station.disk import DiskWatch
from edge_seg.station.health_state import FilmCounts, HealthState, RecentFilm, RunningModel, Sending, sending_problems
from edge_seg.station.layers import Layers, Outlines
from edge_seg.station.session import Observer, Summary
from edge_seg.version import __version__

RECENT = 30
"""Films that the page lists."""

_PASSED = 8
"""Superseded frames that can still be requested: a browser asks a moment after it hears of one."""

_MOST_TOLD = 20
"""Most lines shown of the file in which the surrounding system reports problems."""

STUCK_S = 60.0
"""A session without a tick for this long has hung; the largest film takes a few seconds on the slowest board."""


class Results(Protocol):
    """What `Health` needs from a folder of results; see `OutputFolder`."""

    folder: Path
    outbox: Outbox | None
    notices: Outbox | None

    @property
    def troubles(self) -> list[str]:
        """Problems to look into."""
        ...


class Health(Observer):
    """Watches a session. Other threads may query it.

    Args:
        segmenter, source, output: of the session.
        told: a file in which the surrounding system reports problems, one per line; it may come and go.
        disk: watches the disk that results are written to, if given.
        first: number of the first film, see `first_number`.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        source: Source,
        output: Results,
        told: Path | None = None,
        disk: DiskWatch | None = None,
        *,
        first: int = 1,
    ) -> None:
        self._segmenter, self._source, self._output, self._told, self._disk = segmenter, source, output, told, disk
        self._first = first
        self._lock = threading.Lock()
        self._recent: deque[RecentFilm] = deque(maxlen=RECENT)
        self._passed: deque[RecentFilm] = deque(maxlen=_PASSED)
        self._layers: dict[int, Layers] = {}
        self._records: dict[int, DoneRecord] = {}
        self._summary = Summary()
        self._started = self._ticked = time.monotonic()
        self._started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._waiting: str | None = None
        self._inference_s = 0.0

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """See `Observer.film`."""
        layers = self._in_layers(content, record)
        with self._lock:
            self._waiting = None
            self._summary = summary
            if record is not None:
                number = self._first - 1 + summary.count
                if isinstance(record, DoneRecord):
                    self._inference_s += record.timings_ms.get("inference", 0.0) / 1000
                    self._records[number] = record
                self._add(RecentFilm.of(number, record, layers is not None), layers)

    def _in_layers(self, content: Film | Failure, record: AnyRecord | None) -> Layers | None:
        """The layers of a film; `None` if its outlines are not written."""
        if isinstance(content, Failure) or not isinstance(record, DoneRecord):
            return None
        written = {file.name for file in record.files}
        masks = {name: f"{record.stem}.{name}.png" for name in record.structures}
        if not (record.rejected or written >= set(masks.values())):
            return None
        exchanged = any(one.code == INVERTED and one.verdict != REJECT for one in record.quality.findings)
        shown = inverted(content) if exchanged else content
        layers = Layers(shown, {name: self._output.folder / file for name, file in masks.items() if file in written})
        if not _is_of_a_camera(record.source):
            # A camera frame is soon replaced, but the pixels of a large film must not stay in memory.
            layers.picture()
        return layers

    def _add(self, film: RecentFilm, layers: Layers | None) -> None:
        """List a film; a camera has one entry per status, or its frames would crowd out the films."""
        if _is_of_a_camera(film.source):
            for older in self._recent:
                if (older.source, older.status) == (film.source, film.status):
                    film = replace(film, frames=film.frames + older.frames)
                    self._recent.remove(older)
                    self._passed.append(older)
                    break
        self._recent.appendleft(film)
        listed = {one.number for one in (*self._recent, *self._passed)}
        self._layers = {number: one for number, one in self._layers.items() if number in listed}
        self._records = {number: one for number, one in self._records.items() if number in listed}
        if layers is not None:
            self._layers[film.number] = layers

    def tick(self) -> None:
        """See `Observer.tick`."""
        self._ticked = time.monotonic()

    def waiting(self, error: EdgeSegError) -> None:
        """See `Observer.waiting`."""
        self._waiting = str(error)

    @property
    def alive(self) -> bool:
        """Whether the session is alive."""
        return time.monotonic() - self._ticked < STUCK_S

    def recent(self) -> tuple[RecentFilm, ...]:
        """Summaries of the newest films, newest first."""
        with self._lock:
            return tuple(self._recent)

    def record(self, number: int) -> DoneRecord | None:
        """The record of a recent film that was segmented or rejected, by its number; `None` if there is none."""
        with self._lock:
            return self._records.get(number)

    def overlay(self, number: int) -> Path | None:
        """The overlay of a recent film by its number; `None` if there is none."""
        with self._lock:
            names = [film.overlay for film in (*self._recent, *self._passed) if film.number == number]
        return self._output.folder / names[0] if names and names[0] else None

    def picture(self, number: int) -> bytes | None:
        """A recent film without outlines, as JPEG; `None` if there is none or its results were removed."""
        with self._lock:
            layers = self._layers.get(number)
        overlay = self.overlay(number)
        if layers is None or (overlay is not None and not overlay.exists()):
            return None
        return layers.picture()

    def outlines(self, number: int) -> Outlines | None:
        """The outlines of a recent film, see `Layers.outlines`; `None` if there are none."""
        with self._lock:
            layers = self._layers.get(number)
        return None if layers is None else layers.outlines(self._segmenter.manifest.structures)

    def state(self) -> HealthState:
        """The complete state."""
        with self._lock:
            summary, recent, waiting = self._summary, tuple(self._recent), self._waiting
        manifest, runtime = self._segmenter.manifest, self._segmenter.runtime
        state = HealthState(
            notice=RESEARCH_USE,
            edge_seg=__version__,
            started_at=self._started_at,
            uptime_s=round(time.monotonic() - self._started, 1),
            model=RunningModel.of(manifest),
            lung=self._segmenter.lung,
            runtime=runtime.name,
            delegate=runtime.delegate,
            films=FilmCounts.of(summary),
            inference_s=round(self._inference_s, 3),
            sources=tuple(self._source.state()),
            outbox=Sending.of(self._output.outbox),
            notices=Sending.of(self._output.notices),
            free_bytes=_free(self._output.folder),
            board=board_name(),
            temperature_c=temperature_c(),
            throttling=throttling(),
            recent=recent,
            learning=tuple(lines_of_learning(self._output.folder, *astuple(RunningModel.of(manifest)))),
        )
        return replace(state, problems=(*self._hindrances(waiting), *_problems(state)))

    def _hindrances(self, waiting: str | None) -> list[str]:
        """What prevents the session from processing films."""
        found = [] if self.alive else [f"nothing has stirred for over {STUCK_S:.0f} s: start it again"]
        found += [waiting] if waiting else []
        found += [self._disk.trouble] if self._disk and self._disk.trouble else []
        return [*found, *self._output.troubles, *_lines_of(self._told)]


def _problems(state: HealthState) -> Iterator[str]:
    """Problems that the state shows."""
    yield from (f"{one.name} {one.trouble}" for one in state.sources if one.trouble)
    yield from sending_problems(state.outbox, state.notices)
    if state.free_bytes is not None and state.free_bytes < LITTLE_SPACE_BYTES:
        yield f"only {state.free_bytes / 1e6:.0f} MB of disk are free"
    if state.temperature_c is not None and state.temperature_c >= HOT_C:
        yield f"{state.temperature_c:.0f} degrees Celsius: it slows down; let air in"
    if clock_is_doubtful():
        yield "nothing has confirmed the clock since the start: dates may be wrong: connect it to a time server"
    yield from (f"the board says: {reason}" for reason in (state.throttling or {}).get("now", []))


def _lines_of(file: Path | None) -> list[str]:
    """Problems that the surrounding system reports; empty if it reports none."""
    try:
        text = "" if file is None else file.read_text(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()][:_MOST_TOLD]


def _is_of_a_camera(source: str) -> bool:
    return source.startswith("camera ")


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
