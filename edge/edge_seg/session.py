"""A session: every film of a source through the segmenter into an output folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge_seg.errors import EdgeSegError, InputError, OutputError
from edge_seg.film import Film
from edge_seg.outputs.folder import OutputFolder
from edge_seg.quality import REJECT
from edge_seg.segmenter import Segmenter
from edge_seg.sources import Arrival, Failure, Source

MIXED_FAILURES = 3
"""Exit code where films failed for reasons of several kinds."""


@dataclass
class Summary:
    """What a session did: films done, films done before, films rejected with the reasons, and failures."""

    done: int = 0
    skipped: int = 0
    rejected: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False

    @property
    def count(self) -> int:
        """Films met so far."""
        return self.done + self.skipped + len(self.rejected) + len(self.failures)

    @property
    def exit_code(self) -> int:
        """0, 130 after Ctrl-C, the problems' own code where all agree, else `MIXED_FAILURES`; rejected is bad input."""
        if self.interrupted:
            return 130
        codes = {failure.error.exit_code for failure in self.failures} | {InputError.exit_code for _ in self.rejected}
        return 0 if not codes else codes.pop() if len(codes) == 1 else MIXED_FAILURES


Report = Callable[[Summary, Arrival, "dict[str, Any] | None"], None]
"""Told after each film: the summary so far, the film or failure, and its record, `None` where it was done before."""


def run_session(
    source: Source,
    segmenter: Segmenter,
    output: OutputFolder,
    report: Report = lambda summary, arrival, record: None,
    *,
    again: bool = False,
) -> Summary:
    """Segment every film of a source; one bad film never stops the others, Ctrl-C ends with the films done so far.

    Args:
        source: of films; closed at the end.
        segmenter: for each.
        output: for results; closed at the end.
        report: told after each film.
        again: also segment films that are done already.

    Raises:
        OutputError: results cannot be written: going on would lose them.
    """
    summary = Summary()
    try:
        for arrival in source:
            if isinstance(arrival, Film):
                arrival, record = _segment(arrival, segmenter, output, again)
            if isinstance(arrival, Failure):
                record = output.write_failure(arrival)
                summary.failures.append(arrival)
            elif record is None:
                summary.skipped += 1
            elif record["quality"]["verdict"] == REJECT:
                reasons = [f["text"] for f in record["quality"]["findings"] if f["verdict"] == REJECT]
                summary.rejected.append(f"{arrival.source}: rejected: {'; '.join(reasons)}")
            else:
                summary.done += 1
            report(summary, arrival, record)
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        source.close()
        output.close()
    return summary


def _segment(
    film: Film, segmenter: Segmenter, output: OutputFolder, again: bool
) -> tuple[Arrival, dict[str, Any] | None]:
    """The film and its record, `None` where it was done before; or what went wrong with it."""
    if not again and output.is_done(film, segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate):
        return film, None
    try:
        return film, output.write(segmenter(film))
    except OutputError:
        raise
    except EdgeSegError as error:
        return Failure(film.name, film.source, error), None
    except MemoryError:
        height, width = film.shape
        problem = InputError(
            f"{film.source}: {width} x {height} pixels is too much for this machine's memory: reduce it"
        )
        return Failure(film.name, film.source, problem), None
