"""Keeps what native libraries print on their own away from standard error."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_inside = 0
_kept: int | None = None


@contextmanager
def native_libraries_quiet() -> Iterator[None]:
    """While this lasts, what is written to the process's standard error goes nowhere.

    LiteRT announces its CPU delegate there whenever a model is loaded, and has no setting against it. Errors are not
    lost: they come as exceptions. It concerns every thread, so it should be short; several may be inside.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _kept
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        # A program without a standard error has nothing to keep quiet.
        with suppress(OSError, AttributeError):
            sys.stderr.flush()
            _kept = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)


def _leave() -> None:
    global _inside, _kept
    with _lock:
        _inside -= 1
        if _inside == 0 and _kept is not None:
            os.dup2(_kept, 2)
            os.close(_kept)
            _kept = None
