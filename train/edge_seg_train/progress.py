"""How much Keras says of its progress."""

from __future__ import annotations

import sys


def keras_verbosity(quiet: bool) -> int:
    """The `verbose` of Keras: 0 for none, 1 for a bar on a terminal, 2 for a line an epoch in a file or a pipe."""
    if quiet:
        return 0
    return 1 if sys.stdout.isatty() else 2
