"""A station with many records starts, and retention resumes after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_seg_lab.long_records import measure


@pytest.mark.slow
def test_retention_that_is_killed_leaves_the_young_alone(tmp_path: Path, tiny_model: Path) -> None:
    found = measure(600, 1, tmp_path, str(tiny_model))
    assert found.wrong == 0
    assert found.first.processor_s > 0
    assert found.later.resident_mb > 10
    assert found.page_ms > 0
