"""What a source is: an iterable of films and of failures, so that one bad film never stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edge_seg.film import Arrival

IDLE_S = 0.02
"""Seconds a source sleeps before it yields `None` because nothing has arrived."""


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
        total: how many will come, or `None` where that is not known.
        live: whether films come from a camera, as they are taken.
        endless: whether films go on coming until the run is stopped; a session then waits for a full disk.
        passed_over: files beside the films that do not look like any.
    """

    total: int | None
    live: bool = False
    endless: bool = False
    passed_over: int = 0

    def __iter__(self) -> Iterator[Arrival | None]:
        """Films, and failures in place of those that cannot be had; `None` where just now there is nothing.

        Each arrival carries its own acknowledgement. A session may take more films before it settles the first.
        """
        ...

    def state(self) -> list[SourceState]:
        """How it is; of several as one, each. May be asked from another thread."""
        return []

    def stopped(self) -> None:
        """The program is being stopped in good order: films that were taken and not settled wait for the next run."""
        return None

    def close(self) -> None:
        """Let go of files, cameras and ports."""
        return None
