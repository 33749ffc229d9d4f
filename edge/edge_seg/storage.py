"""Files that are either complete or absent, even after a crash or a power cut."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from edge_seg.errors import OutputError

DRAFT_SUFFIX = ".draft"
"""Suffix of files that are still being written; leftover ones are useless."""

_PIECE = 4 << 20
"""Bytes searched at a time."""


def write_atomically(path: Path, *parts: bytes | memoryview, lasting: bool = True) -> None:
    """Write a file's parts in order to a draft beside its place, flush it, rename it, and flush the folder.

    The umask decides who may read the file, as for any other.

    Args:
        path: of the file.
        parts: its content.
        lasting: whether the folder is flushed; to write several files, flush it once with `flush_folder`.

    Raises:
        OutputError: it cannot be written; any previous file is untouched.
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
        # Ctrl-C may arrive at any moment.
        draft.discard()


class Draft:
    """A file that is written beside its place and not flushed yet, so that many can be flushed together.

    It is flushed through the descriptor that wrote it, the only one that reliably reports disk errors.

    Args:
        path: its place.
        parts: its content, in order.
        mode: who may read and write it, less what the umask denies.

    Raises:
        OutputError: it cannot be written; nothing of it is left.
    """

    def __init__(self, path: Path, *parts: bytes | memoryview, mode: int = 0o666) -> None:
        self.path = path
        self._placed = False
        self._draft: Path | None = path.parent / f".{secrets.token_hex(8)}{DRAFT_SUFFIX}"
        self._file: BinaryIO | None = None
        try:
            # Not `tempfile`, whose files only their owner can read, regardless of the umask.
            descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
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
        """Make the content survive a power cut.

        Raises:
            OSError: it may be lost; write the file again.
        """
        if not self._placed:
            assert self._file is not None
            os.fsync(self._file.fileno())

    def put_in_place(self) -> None:
        """Give the flushed file its name; this survives a power cut once the folder is flushed.

        Raises:
            OSError: it cannot be renamed.
        """
        if not self._placed:
            assert self._draft is not None
            self._close()
            self._draft.replace(self.path)
            self._placed = True

    def discard(self) -> None:
        """Remove the draft, unless it is in its place."""
        # If the disk fails here too, the draft stays until `sweep_drafts`; the first error is the one to report.
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
    """Remove folders that were created but never used.

    Args:
        folders: the innermost first, then its parents.
        ignored: files that do not count as use; any other file keeps everything.
    """
    files = {Path(place, name) for place, _, names in os.walk(folders[0]) for name in names}
    if not files <= set(ignored):
        return
    # If another process was faster or the disk refuses changes, empty folders do no harm.
    with suppress(OSError):
        for path in files:
            path.unlink()
        for place, _, _ in os.walk(folders[0], topdown=False):
            Path(place).rmdir()
        for folder in folders[1:]:
            folder.rmdir()


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system supports it."""
    if os.name == "posix":
        flush_file(folder)


def flush_file(path: Path) -> None:
    """Make the content of a file that is already written survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_drafts(folder: Path) -> None:
    """Remove drafts left by a killed run; the caller must have the folder to itself.

    Raises:
        OSError: the folder cannot be written.
    """
    for draft in folder.glob(f".*{DRAFT_SUFFIX}"):
        draft.unlink(missing_ok=True)


def append_whole(descriptor: int, data: bytes) -> int:
    """Append lines to a file and flush, unless it already ends with them; returns their offset.

    Raises:
        OSError: they cannot be written completely; a partial write is undone.
    """
    cut_torn_line(descriptor)
    size = os.fstat(descriptor).st_size
    if size >= len(data) and os.pread(descriptor, len(data), size - len(data)) == data:
        # An earlier call did this, and what its caller did next failed.
        os.fsync(descriptor)
        return size - len(data)
    try:
        written = os.write(descriptor, data)
        while written < len(data):
            more = os.write(descriptor, data[written:])
            written += more
        os.fsync(descriptor)
    except OSError:
        # After a failed flush too: the kernel takes lost pages for written, so only new ones reach the disk.
        os.ftruncate(descriptor, size)
        raise
    return size


def cut_torn_line(descriptor: int) -> None:
    """Drop an incomplete last line: the machine stopped while writing it."""
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
