"""A session: every film of a source through the segmenter into an output folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from edge_seg.errors import EdgeSegError, InputError, OutputError
from edge_seg.film import Film
from edge_seg.outputs.folder import OutputFolder
from edge_seg.quality import REJECT
from edge_seg.segmenter import Segmenter
from edge_seg.sources import Arrival, Failure, Source

_Result = TypeVar("_Result")

MIXED_FAILURES = 3
"""Exit code where films failed for reasons of several kinds."""


MOST_PROBLEMS = 50
"""So many films' problems are kept to be listed; a camera can have thousands."""

RETRY_S = 2.0
"""A disk that takes no results is tried again so often."""


@dataclass
class Summary:
    """What a session did.

    Attributes:
        done, skipped, rejected, failed: films segmented, done before, rejected by the gate, not to be had.
        problems: of the first `MOST_PROBLEMS` that were rejected or failed, what is wrong.
        codes: exit codes of all problems.
        interrupted: whether Ctrl-C or SIGTERM ended it.
    """

    done: int = 0
    skipped: int = 0
    rejected: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    interrupted: bool = False

    @property
    def count(self) -> int:
        """Films met so far."""
        return self.done + self.skipped + self.rejected + self.failed

    @property
    def exit_code(self) -> int:
        """0, 130 after Ctrl-C, the problems' own code where all agree, else `MIXED_FAILURES`; rejected is bad input."""
        if self.interrupted:
            return 130
        return 0 if not self.codes else next(iter(self.codes)) if len(self.codes) == 1 else MIXED_FAILURES

    def count_in(self, arrival: Arrival, record: dict[str, Any] | None) -> None:
        """Count a film by its record, `None` where it was done before."""
        if record is None:
            self.skipped += 1
        elif isinstance(arrival, Failure):
            self.failed += 1
            self._note(str(arrival.error), arrival.error.exit_code)
        elif record["quality"]["verdict"] == REJECT:
            reasons = [f["text"] for f in record["quality"]["findings"] if f["verdict"] == REJECT]
            self.rejected += 1
            self._note(f"{arrival.source}: rejected: {'; '.join(reasons)}", InputError.exit_code)
        else:
            self.done += 1

    def _note(self, problem: str, code: int) -> None:
        self.codes.add(code)
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


class Observer:
    """Who wants to know how a session goes. All of it is optional."""

    def film(self, summary: Summary, arrival: Arrival, record: dict[str, Any] | None) -> None:
        """A film is done, failed, or was done before (`record` is `None`)."""

    def tick(self) -> None:
        """The session is alive: after every film, and many times a second while none comes."""

    def waiting(self, error: EdgeSegError) -> None:
        """Results cannot be written; the session waits until they can."""


def run_session(
    source: Source,
    segmenter: Segmenter,
    output: OutputFolder,
    observers: Sequence[Observer] = (),
    *,
    again: bool = False,
) -> Summary:
    """Segment every film of a source; one bad film never stops the others, Ctrl-C ends with the films done so far.

    While results cannot be written (a full disk), a session of an endless source waits with its film in hand.

    Args:
        source: of films; closed at the end.
        segmenter: for each.
        output: for results; closed at the end.
        observers: told how it goes.
        again: also segment films that are done already.

    Raises:
        OutputError: results of a source that ends cannot be written: going on would lose them.
    """
    summary = Summary()

    def patiently(work: Callable[[], _Result]) -> _Result:
        while True:
            try:
                return work()
            except OutputError as error:
                if not source.endless:
                    raise
                for observer in observers:
                    observer.waiting(error)
                _idle(RETRY_S, observers)

    try:
        for arrival in source:
            if arrival is not None:
                met, record = patiently(partial(_result, arrival, segmenter, output, again))
                patiently(partial(source.settled, arrival, record))
                summary.count_in(met, record)
                for observer in observers:
                    observer.film(summary, met, record)
                # Not beside the next one in memory.
                del met
                arrival = None
            for observer in observers:
                observer.tick()
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        source.close()
        output.close()
    return summary


def _idle(seconds: float, observers: Sequence[Observer]) -> None:
    """Wait, alive."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for observer in observers:
            observer.tick()
        time.sleep(min(0.2, left))


def _result(
    arrival: Arrival, segmenter: Segmenter, output: OutputFolder, again: bool
) -> tuple[Arrival, dict[str, Any] | None]:
    """The film, or what went wrong with it, and its record; no record where it was done before."""
    if isinstance(arrival, Film):
        if not again and output.is_done(arrival, segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate):
            return arrival, None
        try:
            return arrival, output.write(segmenter(arrival))
        except OutputError:
            raise
        except EdgeSegError as error:
            arrival = Failure(arrival.name, arrival.source, error)
        except MemoryError:
            height, width = arrival.shape
            problem = InputError(
                f"{arrival.source}: {width} x {height} pixels is too much for this machine's memory: reduce it"
            )
            arrival = Failure(arrival.name, arrival.source, problem)
    return arrival, output.write_failure(arrival)
