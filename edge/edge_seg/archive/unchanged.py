"""Checks that a film has not changed since it was planned."""

from __future__ import annotations

from collections.abc import Sequence

from edge_seg.errors import InputError


def check_unchanged(source: str, planned: Sequence[int | None], found: Sequence[int | None]) -> None:
    """Compare size in bytes and time of the last change with the planned ones, if known.

    Raises:
        InputError: the film has changed.
    """
    if any(then is not None and then != now for then, now in zip(planned, found, strict=True)):
        raise InputError(f"{source}: has changed since it was planned: plan it again with another --out")
