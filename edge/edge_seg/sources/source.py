"""What a source is: an iterable of films and of failures, so that one bad film never stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from edge_seg.errors import EdgeSegError
from edge_seg.film import Film


@dataclass(frozen=True)
class Failure:
    """A film that could not be had, and why."""

    name: str
    source: str
    error: EdgeSegError


Arrival: TypeAlias = "Film | Failure"


class Source(Protocol):
    """Where films come from.

    Attributes:
        total: how many will come, or `None` where nobody knows.
        live: whether films come from a camera, as they are taken.
    """

    total: int | None
    live: bool

    def __iter__(self) -> Iterator[Arrival]:
        """Films, and failures in place of those that cannot be had."""
        ...

    def close(self) -> None:
        """Let go of files and cameras."""
        ...
