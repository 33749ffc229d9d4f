"""What a source is: an iterable of films and of failures, so that one bad film never stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from edge_seg.errors import EdgeSegError
from edge_seg.film import Film


@dataclass(frozen=True)
class Failure:
    """A film that could not be had, and why."""

    name: str
    source: str
    error: EdgeSegError


Arrival: TypeAlias = "Film | Failure"

IDLE_S = 0.02
"""Where there is nothing just now, a source waits so long before it says so: the processor rests, nothing is late."""


@dataclass(frozen=True)
class SourceState:
    """How a source is.

    Attributes:
        name: of the source.
        waiting: films that came and were not taken yet, where it keeps them.
        age_s: seconds since the last good frame of a camera.
        trouble: what is wrong just now.
    """

    name: str
    waiting: int | None = None
    age_s: float | None = None
    trouble: str | None = None


class Source(Protocol):
    """Where films come from.

    Attributes:
        total: how many will come, or `None` where nobody knows.
        live: whether films come from a camera, as they are taken.
        endless: whether films go on coming until somebody stops it; who works for it waits for a disk to have space.
        overlaps: whether the next film may be taken before the last one is settled.
    """

    total: int | None
    live: bool = False
    endless: bool = False
    overlaps: bool = False

    def __iter__(self) -> Iterator[Arrival | None]:
        """Films, and failures in place of those that cannot be had; `None` where just now there is nothing."""
        ...

    def settled(self, arrival: Arrival, record: dict[str, Any] | None) -> None:
        """Learn that the film's record is on disk (`None`: since an earlier run).

        Raises:
            OutputError: no note can be taken of it; it may be told again.
        """
        return None

    def state(self) -> list[SourceState]:
        """How it is; of several as one, each. May be asked from another thread."""
        return []

    def close(self) -> None:
        """Let go of files, cameras and ports."""
        return None
