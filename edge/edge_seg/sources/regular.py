"""Reads regular files only: opening a pipe may block for ever, and a device may never end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge_seg.errors import InputError

LARGEST_FILE = 256 * 1024 * 1024
"""Largest file that is read, in bytes; the largest detector in use produces some 40 million."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def read_regular(path: Path, most: int | None = None) -> bytes:
    """A file's bytes.

    Args:
        path: of the file.
        most: bytes to read from the start; `None` for all.

    Raises:
        InputError: it cannot be read, is empty, is too large, or is not a regular file.
    """
    try:
        # Opening a device can have side effects, so check first; check again after, as the path may have changed.
        _check(path, path.stat(), most)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            _check(path, os.fstat(descriptor), most)
            data = file.read(LARGEST_FILE if most is None else most)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from error
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}): check the path") from error
    if not data and most is None:
        raise InputError(f"{path}: the file is empty: copy it again")
    return data


def kind_of(mode: int) -> str | None:
    """What a file of this mode is, `None` for a regular one."""
    if stat.S_ISREG(mode):
        return None
    return next((name for test, name in _KINDS if test(mode)), "no file")


def _check(path: Path, facts: os.stat_result, most: int | None) -> None:
    kind = kind_of(facts.st_mode)
    if kind is not None:
        raise InputError(f"{path}: is {kind}, not a film: give a picture or DICOM file")
    if facts.st_size > LARGEST_FILE and most is None:
        raise InputError(f"{path}: {facts.st_size:,} bytes are too many for a film: at most {LARGEST_FILE:,} are read")
