"""The small model of `tests/edge`, for whole runs under faults."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `tests/edge/conftest.py`."""
    # Test folders are no packages, so a neighbour is loaded by its path.
    path = Path(__file__).parents[1] / "edge" / "conftest.py"
    spec = importlib.util.spec_from_file_location("edge_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_tiny_model(tmp_path_factory.mktemp("model"))
