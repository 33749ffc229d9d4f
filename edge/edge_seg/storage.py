"""Files that are whole or not there, after a crash or a power cut too."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from edge_seg.errors import OutputError

DRAFT_SUFFIX = ".draft"
"""Ends the names of files that are still being written; one that is left over is of no use."""


def write_atomically(path: Path, *parts: bytes | memoryview, lasting: bool = True) -> None:
    """Write a file, its parts one after another, beside its place, flush it, rename it, and flush the folder.

    Who may read the file is for the umask to say, as for any other.

    Args:
        path: of the file.
        parts: what it shall hold.
        lasting: whether the folder is flushed; who writes several files does it once, with `flush_folder`.

    Raises:
        OutputError: it cannot be written; what was there before is untouched.
    """
    draft: Path | None = None
    try:
        draft = path.parent / f".{secrets.token_hex(8)}{DRAFT_SUFFIX}"
        # Not by `tempfile`, whose files are for their owner alone whatever the umask says.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        draft = None
        if lasting:
            flush_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}): free space, or choose a folder that can be written"
        ) from error
    finally:
        # Ctrl-C may arrive at any moment too.
        if draft is not None:
            # A disk that fails here too keeps the draft until `sweep_drafts`; the first error is the one to tell.
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut, where the system has a way to."""
    if os.name == "posix":
        flush_file(folder)


def flush_file(path: Path) -> None:
    """Make the content of a file that is already written last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_drafts(folder: Path) -> None:
    """Remove what a run that was killed left half-written; only for who holds the folder alone.

    Raises:
        OSError: the folder cannot be written.
    """
    for draft in folder.glob(f".*{DRAFT_SUFFIX}"):
        draft.unlink(missing_ok=True)
