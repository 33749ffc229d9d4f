"""How much progress Keras prints."""

from __future__ import annotations

import sys


def keras_verbosity(quiet: bool) -> int:
    """Keras's `verbose`: 0 for nothing, 1 for a bar on a terminal, 2 for a line per epoch in a file or a pipe."""
    if quiet:
        return 0
    return 1 if sys.stdout.isatty() else 2
