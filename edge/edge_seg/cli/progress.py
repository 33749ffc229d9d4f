"""What `edge-seg run` prints on standard error while it works."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time

import click

from edge_seg.cli.main import complain, say
from edge_seg.errors import EdgeSegError
from edge_seg.film import Failure, Film
from edge_seg.record import AnyRecord, DoneRecord
from edge_seg.station.session import Observer, Summary

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_REFRESHES = 0.1
_SECONDS_BETWEEN_WARNINGS = 60.0


class Progress(Observer):
    """On a terminal, one line that is overwritten; elsewhere a line every few seconds.

    Args:
        total: films to come, if known.
        live: whether they come from a camera.
        quiet: print only what `as_json` asks for.
        verbose: also print a line for each film.
        as_json: print each record as a JSON line on standard output.
    """

    def __init__(self, total: int | None, live: bool, quiet: bool, verbose: bool, as_json: bool) -> None:
        self._total, self._live, self._json = total, live, as_json
        self._quiet, self._verbose = quiet, verbose and not quiet
        self._terminal = sys.stderr.isatty()
        self._start = self._shown_at = time.monotonic()
        self._open_line = False
        self._warned_at = -math.inf

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """Take note of a film that is done, failed, or was done before (`record` is `None`)."""
        if self._json and record is not None:
            click.echo(json.dumps(record.to_json()))
        if self._quiet:
            return
        if self._verbose:
            self.finish()
            say(f"{content.name}: {_outcome(content, record)}")
        now = time.monotonic()
        last = summary.count == self._total
        pause = _SECONDS_BETWEEN_REFRESHES if self._terminal else _SECONDS_BETWEEN_LINES
        if now - self._shown_at < pause and not (last and self._terminal):
            return
        self._shown_at = now
        text = self._live_line(summary, record) if self._live else self._batch_line(summary)
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            say(f"\r\x1b[2K{text[:width]}", nl=False)
            self._open_line = True
        else:
            say(text)

    def waiting(self, error: EdgeSegError) -> None:
        """Say so at most once a minute: unread logs would fill a disk that is full already."""
        now = time.monotonic()
        if now - self._warned_at > _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            self.finish()
            complain(f"{error}; waiting until it can be")

    def finish(self) -> None:
        """End the current line."""
        if self._open_line:
            say()
            self._open_line = False

    def _batch_line(self, summary: Summary) -> str:
        elapsed = time.monotonic() - self._start
        failed = f", {summary.failed} failed" if summary.failed else ""
        failed += f", {summary.rejected} rejected" if summary.rejected else ""
        worked = summary.done + summary.rejected + summary.failed
        if self._total is None:
            films = "1 film" if summary.count == 1 else f"{summary.count} films"
            return f"{films}{failed}, {summary.count / elapsed:.1f} a second"
        # Films done before take next to no time and would make the estimate too short.
        left = elapsed / max(worked, 1) * (self._total - summary.count)
        return f"{summary.count} of {self._total} films{failed}, {_clock(left)} left"

    def _live_line(self, summary: Summary, record: AnyRecord | None) -> str:
        rate = summary.count / max(time.monotonic() - self._start, 1e-6)
        detail = f", {numbers(record)}" if isinstance(record, DoneRecord) else ""
        return f"frame {summary.count}, {rate:.1f} fps{detail}"


def numbers(record: DoneRecord) -> str:
    """A done record in a few words: frame age, inference time, areas of the structures."""
    if record.rejected:
        return f"rejected: {'; '.join(record.quality.rejections)}"
    areas = [
        f"{name.replace('_', ' ')} " + (f"{area.cm2:.0f} cm2" if area.cm2 is not None else f"{area.pixels} px")
        for name, area in record.areas.items()
        if name in record.structures
    ]
    age = record.film.age_s
    aged = f"{age * 1000:.0f} ms old, " if age is not None else ""
    flag = " (low trust)" if record.flagged else ""
    return f"{aged}inference {record.timings_ms['inference']:.0f} ms, {', '.join(areas)}{flag}"


def _outcome(content: Film | Failure, record: AnyRecord | None) -> str:
    if isinstance(content, Failure):
        return f"failed: {' '.join(str(content.error).split())}"
    return numbers(record) if isinstance(record, DoneRecord) else "done before"


def _clock(seconds: float) -> str:
    whole = int(seconds + 0.5)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
