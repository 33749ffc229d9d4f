"""A station under every load at once, on a small scale: nothing is lost or doubled, and both ports answer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from edge_seg_lab.busy_clinic import Load, measure


@pytest.mark.slow
def test_nothing_is_lost_beside_peers_that_hold_on(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")
    if shutil.which("storescu", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin") is None:
        pytest.skip("dcmtk's storescu is not installed")
    load = Load(senders=3, films=4, watched=4, polls=20, side=64, model=str(tiny_model))
    found = measure(load, tmp_path, megabytes=None)
    assert (found.stored, found.watched, found.lost, found.doubled, found.refused) == (12, 4, 0, 0, 0)
    assert found.store_ms[1] > 0
    assert found.page_ms[1] > 0
    assert found.group_mb is None
