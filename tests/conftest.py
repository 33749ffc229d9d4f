"""What tests of several packages share: where the real films are, and a model small enough to make on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def films_folder() -> Path:
    """The folder of real radiographs, or a skip that says why."""
    named = os.environ.get("EDGE_SEG_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip("real radiographs are not here: set EDGE_SEG_DATA to their folder")
    return folder
