"""Keeps the output of native libraries and the warnings of Python ones off standard error."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_inside = 0
_kept: int | None = None
_written: int | None = None
_dropped = False

_warnings_lock = threading.Lock()
_ignoring = 0
_heeded: warnings.catch_warnings[None] | None = None


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Ignore Python's warnings inside this context.

    pydicom and highdicom warn about odd values in a header, and quote them: a patient's name, for example. This affects
    every thread, and several may be inside at once; `warnings.catch_warnings` alone would let the first one that leaves
    turn warnings on for the others.
    """
    global _ignoring, _heeded
    with _warnings_lock:
        _ignoring += 1
        if _ignoring == 1:
            _heeded = warnings.catch_warnings()
            _heeded.__enter__()
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _warnings_lock:
            _ignoring -= 1
            if _ignoring == 0 and _heeded is not None:
                _heeded.__exit__(None, None, None)
                _heeded = None


@contextmanager
def native_libraries_quiet() -> Iterator[None]:
    """Discard everything written to the process's standard error inside this context.

    LiteRT announces its CPU delegate there whenever a model is loaded, and has no setting to stop it. Errors are not
    lost: they come as exceptions. This affects every thread, so keep it short; several may be inside at once.
    """
    _enter()
    try:
        yield
    finally:
        _leave(dropped=True)


@contextmanager
def native_failures_quiet() -> Iterator[None]:
    """Delay what is written to the process's standard error inside this context, or discard it on an exception.

    Rust panics write a few lines there before they become an exception, which says everything needed.
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
            # Without in-memory files, what is written meanwhile is lost.
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
