"""A session: every film of a source through the segmenter into an output folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge_seg.errors import EdgeSegError, OutputError
from edge_seg.outputs.folder import OutputFolder
from edge_seg.segmenter import Segmenter
from edge_seg.sources import Failure, Source


@dataclass
class Summary:
    """What a session did: films done, films done before, and failures."""

    done: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0, 130 after Ctrl-C, the failures' own code where all agree, else 3."""
        if self.interrupted:
            return 130
        codes = {failure.error.exit_code for failure in self.failures}
        return 0 if not codes else codes.pop() if len(codes) == 1 else 3


Report = Callable[[Summary, "dict[str, Any] | Failure | None"], None]
"""Told after each film: the summary so far, and the film's record, its failure, or `None` where it was done before."""


def run_session(
    source: Source, segmenter: Segmenter, output: OutputFolder, report: Report, *, again: bool = False
) -> Summary:
    """Segment every film of a source; one bad film never stops the others, Ctrl-C ends between films.

    Args:
        source: of films.
        segmenter: for each.
        output: for results.
        report: told after each film.
        again: also segment films that are done already.

    Raises:
        OutputError: results cannot be written: going on would lose them.
    """
    summary = Summary()
    checksum = segmenter.manifest.flatbuffer_sha256
    try:
        for arrival in source:
            outcome: dict[str, Any] | Failure | None
            if isinstance(arrival, Failure):
                outcome = arrival
            elif not again and output.is_done(arrival.source, arrival.checksum, checksum):
                outcome = None
            else:
                try:
                    outcome = output.write(segmenter(arrival))
                except EdgeSegError as error:
                    if isinstance(error, OutputError):
                        raise
                    outcome = Failure(arrival.name, arrival.source, error)
            if outcome is None:
                summary.skipped += 1
            elif isinstance(outcome, Failure):
                summary.failures.append(outcome)
                output.write_failure(outcome)
            else:
                summary.done += 1
            report(summary, outcome)
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        source.close()
    return summary
