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
_written: int | None = None
_dropped = False


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
        _leave(dropped=True)


@contextmanager
def native_failures_quiet() -> Iterator[None]:
    """What is written to the process's standard error while this lasts comes afterwards, and not where it raises.

    Rust's panics write some lines there before they become an exception, which says all that is to be known.
    """
    _enter()
    raised = True
    try:
        yield
        raised = False
    finally:
        _leave(dropped=raised)


def _enter() -> None:
    global _inside, _kept, _written, _dropped
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        # A program without a standard error has nothing to keep quiet.
        with suppress(OSError, AttributeError):
            sys.stderr.flush()
            _kept, _dropped = os.dup(2), False
            # A system without files in memory loses what is written meanwhile.
            _written = os.memfd_create("stderr") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
            os.dup2(_written, 2)


def _leave(dropped: bool) -> None:
    global _inside, _kept, _written, _dropped
    with _lock:
        _inside -= 1
        _dropped |= dropped
        if _inside > 0 or _kept is None:
            return
        os.dup2(_kept, 2)
        os.close(_kept)
        _kept = None
        if _written is None:
            return
        with suppress(OSError):
            size = os.lseek(_written, 0, os.SEEK_CUR)
            if size and not _dropped:
                os.write(2, os.pread(_written, size, 0))
        os.close(_written)
        _written = None
