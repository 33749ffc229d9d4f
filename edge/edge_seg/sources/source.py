"""The interface of a source: an iterable of films and failures, so that one bad film never stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edge_seg.film import Arrival

IDLE_S = 0.02
"""Seconds a source sleeps before it yields `None` because nothing has arrived."""


@dataclass(frozen=True)
class SourceState:
    """The state of a source.

    Attributes:
        name: of the source.
        waiting: films received but not yet taken, if the source stores them.
        age_s: seconds since the last good frame of a camera.
        trouble: what is wrong at the moment.
    """

    name: str
    waiting: int | None = None
    age_s: float | None = None
    trouble: str | None = None


class Source(Protocol):
    """Where films come from.

    Attributes:
        total: how many will come, or `None` if unknown.
        live: whether films come from a camera, as they are taken.
        endless: whether films keep coming until the run is stopped; a session then waits out a full disk.
        passed_over: files beside the films that do not look like films.
    """

    total: int | None
    live: bool = False
    endless: bool = False
    passed_over: int = 0

    def __iter__(self) -> Iterator[Arrival | None]:
        """Films, and failures in place of those that cannot be read; `None` while nothing is available.

        Each arrival carries its own acknowledgement. A session may take more films before it settles the first.
        """
        ...

    def state(self) -> list[SourceState]:
        """The state of the source, or of each one in a group. May be called from another thread."""
        return []

    def stopped(self) -> None:
        """Note that the program is being stopped cleanly: films taken but not settled wait for the next run."""
        return None

    def close(self) -> None:
        """Release files, cameras and ports."""
        return None
