"""A session: every film of a source through the segmenter into an output folder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from edge_seg.boundary import film_boundary
from edge_seg.errors import EdgeSegError, InputError, OutputError
from edge_seg.film import Arrival, Failure, Film
from edge_seg.log import room_logger
from edge_seg.outputs.folder import OutputFolder
from edge_seg.record import AnyRecord, FailedRecord, record_of_failure
from edge_seg.segmenter import Segmentation, Segmenter
from edge_seg.sources import Source

_Result = TypeVar("_Result")

_Content: TypeAlias = Film | Failure

_Written: TypeAlias = tuple[_Content, AnyRecord | None]
"""The film, or what went wrong with it, and its record, not yet kept; no record where it was done before."""

_Work: TypeAlias = Callable[[], _Written]

_log = room_logger(__name__)

MIXED_FAILURES = 3
"""Exit code where films failed for reasons of several kinds."""


MOST_PROBLEMS = 50
"""Problems kept to be listed; a camera can have thousands."""

RETRY_S = 2.0
"""Seconds between retries while the output disk is full."""

_WRITERS = 2
"""Pictures of one film take longer to compress than the next one to segment."""


@dataclass
class Summary:
    """What a session did.

    Attributes:
        done, skipped, rejected, failed: films segmented, done before, rejected by the gate, not to be had.
        to_check: of those that are done, how many a person is asked to check.
        problems: of the first `MOST_PROBLEMS` that were rejected or failed, what is wrong.
        checks: of the first `MOST_PROBLEMS` to check, why.
        codes: exit codes of all problems.
        interrupted: whether Ctrl-C or SIGTERM ended it.
    """

    done: int = 0
    skipped: int = 0
    rejected: int = 0
    failed: int = 0
    to_check: int = 0
    problems: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
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

    def count_in(self, content: Film | Failure, record: AnyRecord | None) -> None:
        """Count a film by its record, `None` where it was done before."""
        if record is None:
            self.skipped += 1
        elif isinstance(content, Failure):
            self.failed += 1
            self._note(str(content.error), content.error.exit_code)
        elif isinstance(record, FailedRecord):
            self.failed += 1
            self._note(record.error, record.exit_code)
        elif record.rejected:
            self.rejected += 1
            self._note(f"{content.source}: rejected: {'; '.join(record.quality.rejections)}", InputError.exit_code)
        else:
            self.done += 1
            if reasons := record.quality.warnings:
                self.to_check += 1
                if len(self.checks) < MOST_PROBLEMS:
                    self.checks.append(f"{record.source}: {'; '.join(reasons)}")

    def _note(self, problem: str, code: int) -> None:
        self.codes.add(code)
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


class Observer:
    """Learns how a session goes. Every method is optional."""

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """A film is done, has failed, or was done before (`record` is `None`)."""

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

    Results are written while the next films are segmented. While they cannot be written (a full disk), a session of an
    endless source waits with its films in hand.

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
                    if not alone:
                        _log.warning("waiting: %s", error)
                    for observer in observers:
                        observer.waiting(error)
                    _idle(RETRY_S, observers)
                elif alone:
                    raise
                alone = True

    def settle() -> None:
        arrival = pending[0].arrival
        content, record = patiently(pending[0].written)
        pending.popleft()
        if record is not None:
            # In the order of the films, whichever was written first.
            patiently(partial(output.keep, record))
        patiently(partial(arrival.settle, record))
        summary.count_in(content, record)
        if isinstance(record, FailedRecord):
            _log.warning("film %d failed (exit code %d)", summary.count, record.exit_code)
        for observer in observers:
            observer.film(summary, content, record)

    writers = ThreadPoolExecutor(_WRITERS, "write")
    in_good_order = False
    try:
        try:
            for arrival in source:
                if arrival is not None:
                    work = _begin(arrival.content, segmenter, output, again)
                    pending.append(_Pending(arrival, work, writers.submit(work)))
                    # Not beside the next one in memory.
                    del arrival, work
                while pending and (pending[0].future.done() or len(pending) > _WRITERS):
                    settle()
                for observer in observers:
                    observer.tick()
        except KeyboardInterrupt:
            summary.interrupted = True
        while pending:
            settle()
        in_good_order = True
    except OutputError:
        in_good_order = True
        # What was written beside the film that could not be is done all the same.
        pending = deque(film for film in pending if film.is_written)
        with suppress(OutputError):
            while pending:
                settle()
        raise
    finally:
        writers.shutdown()
        if in_good_order:
            source.stopped()
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


def _begin(content: _Content, segmenter: Segmenter, output: OutputFolder, again: bool) -> _Work:
    """Segment a film, if it was not done before; what is left is to write, in any thread."""
    if isinstance(content, Failure):
        return partial(_failed, content, output)
    begun = film_boundary(content.name, content.source, partial(_segment, content, segmenter, output, again))
    return partial(_failed, begun, output) if isinstance(begun, Failure) else begun


def _segment(film: Film, segmenter: Segmenter, output: OutputFolder, again: bool) -> _Work:
    if not again and output.is_done(film, segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate):
        return lambda: (film, None)
    return partial(_write, film, segmenter(film), output.stem_of(film), output)


def _write(film: Film, segmentation: Segmentation, stem: str, output: OutputFolder) -> _Written:
    record = film_boundary(film.name, film.source, partial(output.write_files, segmentation, stem))
    return _failed(record, output) if isinstance(record, Failure) else (film, record)


def _failed(failure: Failure, output: OutputFolder) -> _Written:
    return failure, record_of_failure(failure, output.clock.offset_s)
