"""Keeps what native libraries print on their own out of the command's one-line messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_libraries_quiet() -> Iterator[None]:
    """While this lasts, what is written to the process's standard error goes nowhere.

    LiteRT announces its CPU delegate there whenever a model is loaded, and has no setting against it. Errors are not
    lost: they come as exceptions. For the command line only, since it concerns every thread.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
