"""How far a run is, without any framework."""

from __future__ import annotations

from pathlib import Path

from edge_seg_data.text import read_table

LOG_NAME = "log.csv"
"""One line for each finished epoch."""


def finished_epochs(run: Path) -> int:
    """Epochs that a run has finished; 0 where it has not begun."""
    log = run / LOG_NAME
    return len(read_table(log)) if log.is_file() else 0
