"""A session: every film of a source through the segmenter into an output folder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from edge_seg.assessment.film_gate import REJECT
from edge_seg.errors import EdgeSegError, InputError, OutputError
from edge_seg.film import Film
from edge_seg.outputs.folder import OutputFolder
from edge_seg.record import record_of_failure
from edge_seg.segmenter import Segmentation, Segmenter
from edge_seg.sources import Arrival, Failure, Source

_Result = TypeVar("_Result")

_Written: TypeAlias = "tuple[Arrival, dict[str, Any] | None]"
"""The film, or what went wrong with it, and its record, not yet kept; no record where it was done before."""

_Work: TypeAlias = "Callable[[], _Written]"

MIXED_FAILURES = 3
"""Exit code where films failed for reasons of several kinds."""


MOST_PROBLEMS = 50
"""So many films' problems are kept to be listed; a camera can have thousands."""

RETRY_S = 2.0
"""A disk that takes no results is tried again so often."""

_WRITERS = 2
"""Pictures of one film take longer to compress than the next one to segment."""


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

    Results are written while the next films are segmented, where the source allows it. While they cannot be written (a
    full disk), a session of an endless source waits with its film in hand.

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
    pending: deque[_Pending] = deque()

    def patiently(work: Callable[[], _Result]) -> _Result:
        alone = False
        while True:
            try:
                return work()
            except OutputError as error:
                # What is written beside it may have taken the last space, and gives it back.
                wait(film.future for film in pending)
                if source.endless:
                    for observer in observers:
                        observer.waiting(error)
                    _idle(RETRY_S, observers)
                elif alone:
                    raise
                alone = True

    def settle() -> None:
        arrival = pending[0].arrival
        met, record = patiently(pending[0].written)
        pending.popleft()
        if record is not None:
            # In the order of the films, whichever was written first.
            patiently(partial(output.keep, record))
        patiently(partial(source.settled, arrival, record))
        summary.count_in(met, record)
        for observer in observers:
            observer.film(summary, met, record)

    writers = ThreadPoolExecutor(_WRITERS, "write")
    most = _WRITERS if source.overlaps else 0
    try:
        try:
            for arrival in source:
                if arrival is not None:
                    work = _begin(arrival, segmenter, output, again)
                    pending.append(_Pending(arrival, work, writers.submit(work)))
                    # Not beside the next one in memory.
                    del arrival, work
                while pending and (pending[0].future.done() or len(pending) > most):
                    settle()
                for observer in observers:
                    observer.tick()
        except KeyboardInterrupt:
            summary.interrupted = True
        while pending:
            settle()
    except OutputError:
        # What was written beside the film that could not be is done all the same.
        pending = deque(film for film in pending if film.is_written)
        with suppress(OutputError):
            while pending:
                settle()
        raise
    finally:
        writers.shutdown()
        source.close()
        output.close()
    return summary


@dataclass
class _Pending:
    """A film whose results are being written."""

    arrival: Arrival
    work: _Work
    future: Future[_Written]
    tried: bool = False

    @property
    def is_written(self) -> bool:
        """Whether all its files are."""
        return self.future.done() and self.future.exception() is None

    def written(self) -> _Written:
        """What came of it; asked again after it failed, it is written again."""
        if self.tried:
            return self.work()
        # Not before it is known: Ctrl-C may arrive while it is waited for.
        result = self.future.exception()
        self.tried = True
        if result is not None:
            raise result
        return self.future.result()


def _idle(seconds: float, observers: Sequence[Observer]) -> None:
    """Wait, alive."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for observer in observers:
            observer.tick()
        time.sleep(min(0.2, left))


def _begin(arrival: Arrival, segmenter: Segmenter, output: OutputFolder, again: bool) -> _Work:
    """Segment a film, if it was not done before; what is left is to write, in whatever thread."""
    if isinstance(arrival, Film):
        if not again and output.is_done(arrival, segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate):
            return lambda: (arrival, None)
        try:
            return partial(_write, arrival, segmenter(arrival), output.stem_of(arrival), output)
        except (EdgeSegError, MemoryError) as error:
            arrival = _failure(arrival, error)
    failure = arrival
    return lambda: (failure, record_of_failure(failure))


def _write(film: Film, segmentation: Segmentation, stem: str, output: OutputFolder) -> _Written:
    try:
        return film, output.write_files(segmentation, stem)
    except OutputError:
        raise
    except (EdgeSegError, MemoryError) as error:
        failure = _failure(film, error)
        return failure, record_of_failure(failure)


def _failure(film: Film, error: EdgeSegError | MemoryError) -> Failure:
    if isinstance(error, MemoryError):
        height, width = film.shape
        error = InputError(f"{film.source}: {width} x {height} pixels is too much for this machine's memory: reduce it")
    return Failure(film.name, film.source, error)
