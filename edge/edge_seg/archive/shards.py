"""Turns the films of a shard into its part, several films at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from queue import SimpleQueue
from typing import Any

from edge_seg.archive.columns import Part, schema_of
from edge_seg.archive.contents import Archive, PlannedFilm, part_name
from edge_seg.archive.dicomweb import Downloads, is_service
from edge_seg.archive.guard import Guard, failed
from edge_seg.assessment.film_gate import REJECT
from edge_seg.errors import InputError

MOST_PROBLEMS = 20
"""Problems kept for listing; the records hold all of them."""

_AHEAD = 4
"""Films queued per guard: while one takes long, the others continue."""


@dataclass
class Counts:
    """Outcomes of films.

    Attributes:
        films: all of them.
        rejected, failed: of these.
        codes: exit codes of these; a rejected film is bad input.
        problems: what is wrong with the first `MOST_PROBLEMS` of these.
    """

    films: int = 0
    rejected: int = 0
    failed: int = 0
    codes: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, the failures' own code if all agree, else that of unreadable input."""
        return 0 if not self.codes else next(iter(self.codes)) if len(self.codes) == 1 else InputError.exit_code

    def add(self, row: dict[str, Any]) -> None:
        """Count a row."""
        self.films += 1
        if row["status"] == "failed":
            self.failed += 1
            self._note(row["exit_code"], row["error"])
        elif row["quality"]["verdict"] == REJECT:
            self.rejected += 1
            reasons = (one["text"] for one in row["quality"]["findings"] if one["verdict"] == REJECT)
            self._note(InputError.exit_code, f"{row['source']}: rejected: {'; '.join(reasons)}")

    def add_counts(self, other: Counts) -> None:
        """Add the counts of another."""
        self.films += other.films
        self.rejected += other.rejected
        self.failed += other.failed
        self.codes |= other.codes
        self.problems = [*self.problems, *other.problems][:MOST_PROBLEMS]

    def _note(self, code: int, problem: str) -> None:
        self.codes.add(code)
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


def run_shards(
    archive: Archive, shards: Iterable[int], guards: list[Guard], downloads: Downloads
) -> Iterator[tuple[int, Counts]]:
    """Segment shards, several films at once, and write the part of each; shards with a part are skipped.

    Yields:
        Each shard whose part was written, and the outcome of its films.

    Raises:
        DeviceError: a film's service or store does not answer: the part is not written, and its films are left to
            another run.
    """
    schema = schema_of(archive.settings, archive.model.manifest)
    films = ((one, film) for one in shards if not archive.has_part(one) for film in archive.films(one))
    for one, rows in groupby(_segmented(films, guards, downloads), key=lambda pair: pair[0]):
        part, counts = Part(schema), Counts()
        for _, row in rows:
            part.add(row)
            counts.add(row)
        data = part.finish(films=counts.films, rejected=counts.rejected, failed=counts.failed)
        # Another worker may have written the same part meanwhile, equal but for times; one of the two remains.
        archive.store.write(f"records/{part_name(one)}", data)
        yield one, counts


def _segmented(
    films: Iterator[tuple[int, PlannedFilm]], guards: list[Guard], downloads: Downloads
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each film's row with its shard, in order."""
    free: SimpleQueue[Guard] = SimpleQueue()
    for guard in guards:
        free.put(guard)

    def segment(shard: int, film: PlannedFilm) -> tuple[int, dict[str, Any]]:
        one = free.get()
        try:
            if film.problem is not None or not is_service(film.source):
                return shard, one.segment(film)
            try:
                with downloads.film(film.source) as file:
                    return shard, one.segment(film, file)
            except InputError as error:
                return shard, failed(film, str(error))
        finally:
            free.put(one)

    waiting: deque[Future[tuple[int, dict[str, Any]]]] = deque()
    with ThreadPoolExecutor(max(1, len(guards)), "guard") as pool:
        try:
            for shard, film in films:
                waiting.append(pool.submit(segment, shard, film))
                if len(waiting) >= _AHEAD * len(guards):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
