"""Files that are whole or not there, after a crash or a power cut too."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edge_seg.errors import OutputError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside its place, flush it, rename it, and flush the folder.

    Raises:
        OutputError: it cannot be written; what was there before is untouched.
    """
    draft: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".draft", dir=path.parent)
        draft = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}): free space, or choose a folder that can be written"
        ) from error


def flush_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
