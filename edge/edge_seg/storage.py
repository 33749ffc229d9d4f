"""Files that are whole or not there, after a crash or a power cut too."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from edge_seg.errors import OutputError

DRAFT_SUFFIX = ".draft"
"""Ends the names of files that are still being written; one that is left over is of no use."""

_PIECE = 4 << 20
"""Bytes that are looked through at a time."""


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
    draft = Draft(path, *parts)
    try:
        draft.flush()
        draft.put_in_place()
        if lasting:
            flush_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        # Ctrl-C may arrive at any moment too.
        draft.discard()


class Draft:
    """A file that is written beside its place and not flushed yet, so that many can be flushed together.

    It is flushed by the descriptor that wrote it, which alone is sure to hear of an error of the disk.

    Args:
        path: its place.
        parts: what it holds, one after another.

    Raises:
        OutputError: it cannot be written; nothing of it is left.
    """

    def __init__(self, path: Path, *parts: bytes | memoryview) -> None:
        self.path = path
        self._placed = False
        self._draft: Path | None = path.parent / f".{secrets.token_hex(8)}{DRAFT_SUFFIX}"
        self._file: BinaryIO | None = None
        try:
            # Not by `tempfile`, whose files are for their owner alone whatever the umask says.
            descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._file = os.fdopen(descriptor, "wb")
            for part in parts:
                self._file.write(part)
            self._file.flush()
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise _unwritable(path, error) from error
            raise

    def flush(self) -> None:
        """Make the content last through a power cut.

        Raises:
            OSError: it may be lost; the file has to be written again.
        """
        if not self._placed:
            assert self._file is not None
            os.fsync(self._file.fileno())

    def put_in_place(self) -> None:
        """Give the file, which was flushed, its name; that lasts when the folder is flushed.

        Raises:
            OSError: it cannot be renamed.
        """
        if not self._placed:
            assert self._draft is not None
            self._close()
            self._draft.replace(self.path)
            self._placed = True

    def discard(self) -> None:
        """Leave nothing of it, unless it is in its place."""
        # A disk that fails here too keeps the draft until `sweep_drafts`; the first error is the one to tell.
        with suppress(OSError):
            self._close()
        if not self._placed and self._draft is not None:
            with suppress(OSError):
                self._draft.unlink(missing_ok=True)
            self._draft = None

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}): free space, or choose a folder that can be written"
    )


def remove_unused(folders: Sequence[Path], *ignored: Path) -> None:
    """Remove folders that were made in vain.

    Args:
        folders: the innermost first, then those that it lies in.
        ignored: files that are no reason to keep it; with any other file in it all stays.
    """
    files = {Path(place, name) for place, _, names in os.walk(folders[0]) for name in names}
    if not files <= set(ignored):
        return
    # Where somebody was faster, or the disk takes no change, what is empty does no harm.
    with suppress(OSError):
        for path in files:
            path.unlink()
        for place, _, _ in os.walk(folders[0], topdown=False):
            Path(place).rmdir()
        for folder in folders[1:]:
            folder.rmdir()


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


def append_whole(descriptor: int, data: bytes) -> int:
    """Append lines to a file and flush, unless that is how the file ends already; the offset of the data.

    Raises:
        OSError: they cannot be written whole; what was written is taken back.
    """
    cut_torn_line(descriptor)
    size = os.fstat(descriptor).st_size
    if size >= len(data) and os.pread(descriptor, len(data), size - len(data)) == data:
        # An earlier call failed after the lines were written.
        os.fsync(descriptor)
        return size - len(data)
    try:
        written = os.write(descriptor, data)
        while written < len(data):
            more = os.write(descriptor, data[written:])
            written += more
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    os.fsync(descriptor)
    return size


def cut_torn_line(descriptor: int) -> None:
    """Drop what follows the last whole line: the machine stopped while it was written."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _PIECE)
        piece = os.pread(descriptor, end - start, start)
        at = piece.rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
