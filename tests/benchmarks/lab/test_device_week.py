"""A short week on a device: every film is settled once despite wrong clocks, a full disk and a power cut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edge_seg.outputs.journal import RECORDS_NAME, REMOVED_NAME
from edge_seg_lab.device_week.board import what_is_missing
from edge_seg_lab.device_week.outcome import Load, Sample, grown
from edge_seg_lab.device_week.sender import Ledger
from edge_seg_lab.device_week.week import measure, memory_of_unit


@pytest.mark.slow
def test_each_film_is_settled_once_in_a_small_week(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")
    if (missing := what_is_missing()) is not None:
        pytest.skip(missing)
    small = Load(films=70, side=64, disk_mb=40, free_gb=0.04, full_days=(3.0,))
    load = replace(small, model=str(tiny_model), save="mask,record")
    try:
        found = measure(load, tmp_path, limited=False)
    except OSError as error:
        pytest.skip(f"no partition can be had here: {error}")
    assert (found.acknowledged, found.lost, found.doubled, found.failed) == (76, 0, 0, 0)
    # free_gb exceeds the free space, so a start removes results before it has done the next film.
    assert found.removed > 0
    told = " ".join(found.problems)
    assert "the clock has jumped" in told
    assert "disk" in told or "space" in told
    assert len(found.table().splitlines()) == 8


def test_a_record_that_retention_removes_between_two_looks_counts_once(tmp_path: Path) -> None:
    def line(number: int, recorded_at: str = "", status: str = "done") -> str:
        # What is left of a removed record has no time.
        time = {"recorded_at": recorded_at} if recorded_at else {}
        return json.dumps({"source": f"dicom {number}", "status": status, **time}) + "\n"

    records, removed, ledger = tmp_path / RECORDS_NAME, tmp_path / REMOVED_NAME, Ledger(tmp_path)
    records.write_text(line(1, "2026-01-01"))
    assert ledger.follow() == 1
    # The second film was done and removed since, and the first removed.
    removed.write_text(line(2) + line(1))
    records.write_text("")
    assert ledger.follow() == 2
    records.write_text(line(3, "2026-01-03", "failed")[:20])
    assert ledger.follow() == 2
    records.write_text(line(3, "2026-01-03", "failed"))
    assert (ledger.follow(), ledger.failed) == (3, {"dicom 3"})
    assert ledger.settled == {"dicom 1": 1, "dicom 2": 1, "dicom 3": 1}
    records.write_text(line(3, "2026-01-03", "failed") + line(3, "2026-01-04"))
    removed.write_text(line(2) + line(1) + line(2))
    ledger.follow()
    assert ledger.settled == {"dicom 1": 1, "dicom 2": 2, "dicom 3": 2}


FLAT = [Sample(number / 10, 200.0, 20, 40, 500.0, 900, 70_000, number * 1000, 100) for number in range(70)]


def test_what_is_flat() -> None:
    assert grown(Load(films=1000), FLAT) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory_mb", 205.0),
        ("threads", 30),
        ("descriptors", 51),
        ("used_mb", 530.0),
        ("files", 950),
        ("records", 80_000),
        ("removed", 1_000_001),
        ("log", 1_000_000),
    ],
)
def test_what_grows_is_said(name: str, value: Any) -> None:
    late = [replace(one, **{name: value}) if one.day >= 5 else one for one in FLAT]
    (fault,) = grown(Load(films=1000), late)
    assert fault.startswith({"removed": "removed.jsonl", "memory_mb": "memory"}.get(name, name))


def test_the_memory_is_that_of_the_unit() -> None:
    assert memory_of_unit() == 512
