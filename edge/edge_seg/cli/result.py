"""The outcome of a run, in words: the numbers of one film, and how long films took."""

from __future__ import annotations

import time
from pathlib import Path

from edge_seg.assessment.measurements import Area
from edge_seg.film import Failure, Film
from edge_seg.outputs.folder import OutputFolder
from edge_seg.record import AnyRecord, DoneRecord
from edge_seg.station.session import Observer, Summary

_LISTED = 10
"""Films to check that are listed; the records have all of them."""


class Tally(Observer):
    """Remembers the last film's record, how long films took, and the outcome of those done before.

    Args:
        output: folder with the results of films.

    Attributes:
        last: record of the last film that was done or rejected, now or before; `None` before the first.
    """

    def __init__(self, output: OutputFolder) -> None:
        self._output = output
        self.last: DoneRecord | None = None
        self._rejected_before = self._to_check_before = 0
        self._films = 0
        self._inference_ms = self._work_ms = self._write_ms = 0.0
        self._began = self._ended = time.monotonic()

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """See `Observer.film`."""
        if record is None and isinstance(content, Film):
            self._note_before(self._output.result_of(content))
        if not isinstance(record, DoneRecord):
            return
        self.last = record
        if record.rejected:
            return
        stages = record.timings_ms
        write = stages.get("write", 0.0)
        self._films += 1
        self._ended = time.monotonic()
        self._inference_ms += stages.get("inference", 0.0)
        self._write_ms += write
        self._work_ms += sum(stages.values()) - write

    def _note_before(self, record: DoneRecord | None) -> None:
        """Count a film that was done before."""
        if record is not None:
            self.last = record
            self._rejected_before += record.rejected
            self._to_check_before += bool(record.quality.warnings) and not record.rejected

    def before(self, skipped: int) -> str:
        """How many films were done before, and what a person should know about them."""
        counts = (self._to_check_before, "to check"), (self._rejected_before, "rejected")
        known = ", ".join(f"{count} {what}" for count, what in counts if count)
        return f"{skipped} done before ({f'{known}; ' if known else ''}--again repeats them)"

    def speed(self, waited: bool) -> str:
        """Milliseconds per film and films per second; empty before the first film.

        Args:
            waited: whether the run had to wait for films, so that its duration says nothing.
        """
        if not self._films:
            return ""
        work, inference, write = (ms / self._films for ms in (self._work_ms, self._inference_ms, self._write_ms))
        rate = "" if waited else f"; {self._films / max(self._ended - self._began, 1e-3):.1f} films a second"
        return f"{work:.0f} ms a film (inference {inference:.1f} ms) and {write:.0f} ms to write its results{rate}"


def describe(record: DoneRecord, folder: Path) -> list[str]:
    """The result of one film, one line per item.

    Args:
        record: of the film.
        folder: that holds its files.
    """
    height, width = record.film.height, record.film.width
    rows = [("film", f"{record.source}, {width} x {height} pixels")]
    if record.rejected:
        rows += [("rejected", reason) for reason in record.quality.rejections]
    else:
        rows += [(name.replace("_", " "), _area(area)) for name, area in record.areas.items()]
        ratio = record.ratios.get("cardiothoracic")
        if ratio is not None:
            rows.append(("cardiothoracic ratio", f"{ratio:.2f} (of the {record.cardiothoracic_of})"))
        if record.estimated_dice is not None:
            low = " (low: check every number above)" if record.flagged else ""
            rows.append(("estimated Dice", f"{record.estimated_dice:.2f}{low}"))
    rows += [("overlay", str(folder / file.name)) for file in record.files if ".overlay." in file.name]
    findings = {finding.text for finding in record.quality.findings}
    rows += [("to check", reason) for reason in record.quality.warnings]
    rows += [("note", warning) for warning in record.warnings if warning not in findings]
    wide = max(len(name) for name, _ in rows)
    return [f"{name:<{wide}}  {text}" for name, text in rows]


def checks(summary: Summary, records: Path) -> list[str]:
    """Films that a person is asked to check, and why, one per line."""
    lines = [f"to check: {reason}" for reason in summary.checks[:_LISTED]]
    more = summary.to_check - len(lines)
    return [*lines, f"and {more} more to check: see {records}"] if more else lines


def _area(area: Area) -> str:
    return f"{area.pixels:,} px" if area.cm2 is None else f"{area.cm2:.1f} cm2"
