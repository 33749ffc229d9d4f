"""A run's progress, read without loading a framework."""

from __future__ import annotations

from pathlib import Path

from edge_seg_data.text import read_table

LOG_NAME = "log.csv"
"""One line per finished epoch."""


def finished_epochs(run: Path) -> int:
    """Number of epochs a run has finished; 0 if it has not begun."""
    log = run / LOG_NAME
    return len(read_table(log)) if log.is_file() else 0
