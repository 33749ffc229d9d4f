"""A session: takes every film of a source through the segmenter into an output folder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

from edge_seg.boundary import film_boundary, interrupted_by
from edge_seg.errors import EdgeSegError, InputError, OutputError
from edge_seg.film import Arrival, Failure, Film
from edge_seg.log import reason_of, room_logger
from edge_seg.outputs.folder import OutputFolder, Written
from edge_seg.record import AnyRecord, FailedRecord, record_of_failure
from edge_seg.segmenter import Segmentation, Segmenter
from edge_seg.sources import Source

_Result = TypeVar("_Result")

_Content: TypeAlias = Film | Failure

_Outcome: TypeAlias = tuple[_Content, Written | None]
"""The film or its failure, and what to keep of it; `None` if it was done before."""

_Settled: TypeAlias = tuple[_Content, AnyRecord | None]
"""The same with its record."""

_Work: TypeAlias = Callable[[], _Outcome]

_log = room_logger(__name__)

MIXED_FAILURES = 3
"""Exit code if films failed for several kinds of reason."""


MOST_PROBLEMS = 50
"""Problems kept for listing; a camera can have thousands."""

RETRY_S = 2.0
"""Seconds between retries while the output disk is full."""

_WRITERS = 2
"""Compressing the pictures of one film takes longer than segmenting the next film."""


@dataclass
class Summary:
    """What a session did.

    Attributes:
        done, skipped, rejected, failed: films segmented, done before, rejected by the film gate, and failed.
        to_check: how many of the done films a person is asked to check.
        problems: what is wrong with the first `MOST_PROBLEMS` films that were rejected or failed.
        checks: why the first `MOST_PROBLEMS` films to check need it.
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
        """Films seen so far."""
        return self.done + self.skipped + self.rejected + self.failed

    @property
    def exit_code(self) -> int:
        """0, 130 after Ctrl-C, the problems' code if all agree, else `MIXED_FAILURES`; a rejected film is bad input."""
        if self.interrupted:
            return 130
        return 0 if not self.codes else next(iter(self.codes)) if len(self.codes) == 1 else MIXED_FAILURES

    def count_in(self, content: Film | Failure, record: AnyRecord | None) -> None:
        """Count a film by its record, which is `None` if it was done before."""
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
    """Follows the progress of a session. Every method is optional."""

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """A film is done, has failed, or was done before (`record` is `None`)."""

    def tick(self) -> None:
        """The session is alive: called after every film, and many times a second while none arrives."""

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
    """Segment every film of a source; one bad film never stops the others, and Ctrl-C keeps those done so far.

    Results are written while the next films are segmented, and all that are ready are flushed together. A film is
    acknowledged to its source once its results are safely on disk. While results cannot be written (a full disk), a
    session with an endless source waits and holds its films.

    Args:
        source: of films; closed at the end.
        segmenter: for each film.
        output: for results; closed at the end.
        observers: notified of progress.
        again: also segment films that are done already.

    Raises:
        OutputError: results of a finite source cannot be written: continuing would lose them.
    """
    return _Session(source, segmenter, output, observers, again).run()


@dataclass
class _Pending:
    """A film whose results are being written."""

    arrival: Arrival
    work: _Work
    future: Future[_Outcome]
    again: bool = False

    @property
    def is_written(self) -> bool:
        """Whether the first attempt has written all its files."""
        return not self.again and self.future.done() and self.future.exception() is None

    def written(self) -> _Outcome:
        """The outcome; a call after a failure writes it again."""
        if self.again:
            return self.work()
        # Set `again` only once the result is known: Ctrl-C may arrive during the wait.
        result = self.future.exception()
        if result is not None:
            self.again = True
            raise result
        return self.future.result()

    def discard(self) -> None:
        """Remove what was written but not yet put in place."""
        if self.is_written and (written := self.future.result()[1]) is not None:
            written.discard()


class _Session:
    """A session and its films in progress; see `run_session`."""

    def __init__(
        self, source: Source, segmenter: Segmenter, output: OutputFolder, observers: Sequence[Observer], again: bool
    ) -> None:
        self._source, self._output, self._observers, self._again = source, output, observers, again
        self._team = _Team(source, segmenter)
        self._writers = ThreadPoolExecutor(max(_WRITERS, self._team.size), "film")
        self._pending: deque[_Pending] = deque()
        self._summary = Summary()

    def run(self) -> Summary:
        """Take all films and settle them."""
        in_good_order = False
        try:
            try:
                self._take_all()
            except (KeyboardInterrupt, RuntimeError) as error:
                if not interrupted_by(error):
                    raise
                self._summary.interrupted = True
            self._settle_all()
            in_good_order = True
        except OutputError:
            in_good_order = True
            # Films already written beside the one that could not be are done all the same.
            self._pending = deque(film for film in self._pending if film.is_written)
            with suppress(OutputError):
                self._settle_all()
            raise
        finally:
            self._writers.shutdown()
            for film in self._pending:
                film.discard()
            if in_good_order:
                self._source.stopped()
            self._source.close()
            self._output.close()
        return self._summary

    def _take_all(self) -> None:
        for arrival in self._source:
            if arrival is not None:
                self._pending.append(self._begun(arrival))
                # Or it would stay in memory beside the next one.
                del arrival
            while self._pending and (self._pending[0].future.done() or len(self._pending) > self._team.size + 1):
                self._settle()
            for observer in self._observers:
                observer.tick()

    def _begun(self, arrival: Arrival) -> _Pending:
        work = _begin(arrival.content, self._team, self._output, self._again)
        return _Pending(arrival, work, self._writers.submit(work))

    def _settle_all(self) -> None:
        while self._pending:
            self._settle()

    def _settle(self) -> None:
        """Settle the written films in order; wait for the first if it is not written yet."""
        films = list(takewhile(lambda film: film.is_written, self._pending))
        placed = None
        if len(films) > 1:
            # Without space for all of them, those that fit are done one at a time.
            with suppress(OutputError):
                placed = _place(films, self._output)
        if placed is None:
            films = [self._pending[0]]
            placed = self._patiently(partial(_place, films, self._output))
        for _ in films:
            self._pending.popleft()
        self._patiently(partial(self._output.keep, *(record for _, record in placed if record is not None)))
        for film, (content, record) in zip(films, placed, strict=True):
            self._patiently(partial(film.arrival.settle, record))
            self._tell(content, record)

    def _tell(self, content: _Content, record: AnyRecord | None) -> None:
        self._summary.count_in(content, record)
        if isinstance(record, FailedRecord):
            _log.warning("film %d failed (exit code %d)", self._summary.count, record.exit_code)
        for observer in self._observers:
            observer.film(self._summary, content, record)

    def _patiently(self, work: Callable[[], _Result]) -> _Result:
        """The result of work that needs disk space, which may only become free later."""
        alone = False
        while True:
            try:
                return work()
            except OutputError as error:
                # Films being written beside it may have taken the last space, and give it back.
                wait(film.future for film in self._pending)
                if self._source.endless:
                    if not alone:
                        _log.warning("waiting: results cannot be written (%s)", reason_of(error))
                    for observer in self._observers:
                        observer.waiting(error)
                    _idle(RETRY_S, self._observers)
                elif alone:
                    raise
                alone = True


def _place(films: Sequence[_Pending], output: OutputFolder) -> list[_Settled]:
    """Wait for films to be written and put their files in place together; returns films and records, not yet kept."""
    outcomes = [film.written() for film in films]
    try:
        records = iter(output.place([written for _, written in outcomes if written is not None]))
    except BaseException:
        for film in films:
            film.again = True
        raise
    return [(content, None if written is None else next(records)) for content, written in outcomes]


def _idle(seconds: float, observers: Sequence[Observer]) -> None:
    """Wait while ticking the observers."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for observer in observers:
            observer.tick()
        time.sleep(min(0.2, left))


class _Team:
    """Segmenters for several films at a time.

    A film that arrives alone is done soonest by all cores together; with many films, each core does its own.

    Attributes:
        size: how many there are.
        leader: the given segmenter, or one like it.
    """

    def __init__(self, source: Source, segmenter: Segmenter) -> None:
        one_by_one = source.live or source.endless or source.total == 1
        members = [segmenter] if one_by_one else segmenter.one_for_each_thread()
        self.size, self.leader = len(members), members[0]
        self._free: SimpleQueue[Segmenter] = SimpleQueue()
        for member in members:
            self._free.put(member)

    def segment(self, film: Film) -> Segmentation:
        """Segment a film as soon as a segmenter is free."""
        segmenter = self._free.get()
        try:
            return segmenter(film)
        finally:
            self._free.put(segmenter)


def _begin(content: _Content, team: _Team, output: OutputFolder, again: bool) -> _Work:
    """Begin a film unless it was done before; the returned work may run in any thread.

    A single segmenter segments it right here, so that a camera's next frame is only taken once the segmenter is free.
    """
    if isinstance(content, Failure):
        return partial(_failed, content, output)

    def begin() -> _Work:
        one = team.leader
        if not again and output.is_done(content, one.manifest.flatbuffer_sha256, one.lung, one.gate):
            return lambda: (content, None)
        if team.size > 1:
            return partial(_write, content, partial(team.segment, content), output.stem_of(content), output)
        segmentation = one(content)
        return partial(_write, content, lambda: segmentation, output.stem_of(content), output)

    begun = film_boundary(content.name, content.source, begin)
    return partial(_failed, begun, output) if isinstance(begun, Failure) else begun


def _write(film: Film, segment: Callable[[], Segmentation], stem: str, output: OutputFolder) -> _Outcome:
    written = film_boundary(film.name, film.source, lambda: output.write_files(segment(), stem))
    return _failed(written, output) if isinstance(written, Failure) else (film, written)


def _failed(failure: Failure, output: OutputFolder) -> _Outcome:
    return failure, Written(record_of_failure(failure, output.clock.offset_s))
