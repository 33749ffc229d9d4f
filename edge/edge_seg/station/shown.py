"""What a page shows: a running session's health, or a folder whose session has ended."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Protocol

from edge_seg.record import DoneRecord
from edge_seg.station.health_state import HealthState, RecentFilm
from edge_seg.station.layers import Outlines


def first_number() -> int:
    """Number of the first film: far from those of other starts, which an open page may still ask for."""
    # JavaScript holds whole numbers up to 2**53.
    return (secrets.randbelow(1 << 30) << 20) + 1


class Shown(Protocol):
    """What the page shows. Several threads query it, and identify films by number."""

    @property
    def alive(self) -> bool:
        """Whether it is alive."""

    def state(self) -> HealthState:
        """The complete state."""

    def recent(self) -> tuple[RecentFilm, ...]:
        """Summaries of the newest films, newest first."""

    def record(self, number: int) -> DoneRecord | None:
        """The record of a film that was segmented or rejected; `None` if there is none."""

    def overlay(self, number: int) -> Path | None:
        """The overlay of a film; `None` if there is none."""

    def picture(self, number: int) -> bytes | None:
        """A film without outlines, as JPEG; `None` if there is none."""

    def outlines(self, number: int) -> Outlines | None:
        """The outlines of a film; `None` if there are none."""
