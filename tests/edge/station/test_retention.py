"""Retention: the oldest results go and their films stay done; a film without its result never goes."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_seg import Film, Segmenter
from edge_seg.outputs.folder import OutputFolder
from edge_seg.sources import Inbox, forget_received
from edge_seg.station import retention
from edge_seg.station.retention import Retention


@pytest.fixture(scope="module")
def segmenter(tiny_model: Path) -> Segmenter:
    return Segmenter.load(tiny_model)


def film(number: int, source: str | None = None) -> Film:
    name = f"{number}.png"
    return Film(np.full((40, 60), number, np.uint8), name, source or f"films/{name}", checksum=f"{number:064d}")


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def age(folder: Path, *days: float) -> None:
    """Make the first records so old."""
    known = records(folder)
    for record, so_old in zip(known, days, strict=False):
        record["recorded_at"] = (datetime.now(timezone.utc) - timedelta(days=so_old)).isoformat()
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in known))


def is_done(output: OutputFolder, segmenter: Segmenter, number: int) -> bool:
    return output.is_done(film(number), segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate)


def test_what_is_too_old_goes_and_stays_done(tmp_path: Path, segmenter: Segmenter) -> None:
    output = OutputFolder(tmp_path)
    for number in range(4):
        output.write(segmenter(film(number)))
    age(tmp_path, 40, 31, 2)
    assert Retention(output, days=30).look() == 2
    assert Retention(output, days=30).look() == 0
    assert [record["name"] for record in records(tmp_path)] == ["2.png", "3.png"]
    left = {path.name.partition(".")[0] for path in tmp_path.glob("*.png")}
    assert left == {"2", "3"}
    output.close()
    # Nor are they done again after a restart, nor does another film get their names.
    output = OutputFolder(tmp_path)
    assert all(is_done(output, segmenter, number) for number in range(4))
    assert output.write(segmenter(film(9, "elsewhere/0.png"))).stem == "9"
    other = Film(np.full((40, 60), 7, np.uint8), "0.png", "elsewhere/0.png", checksum="7" * 64)
    assert output.write(segmenter(other)).stem.startswith("0-")
    output.close()


def test_the_oldest_go_while_space_is_short(
    tmp_path: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = OutputFolder(tmp_path)
    for number in range(5):
        output.write(segmenter(film(number)))
    usage = namedtuple("usage", "free")
    free = partial(lambda folder: usage(1000 - sum(1 for _ in folder.glob("*.overlay.png"))))
    monkeypatch.setattr(retention.shutil, "disk_usage", free)
    # Five overlays leave 995; three must go.
    assert Retention(output, free_bytes=998).look() == 3
    assert [record["name"] for record in records(tmp_path)] == ["3.png", "4.png"]
    output.close()


def test_results_that_were_made_again_stay(tmp_path: Path, segmenter: Segmenter) -> None:
    output = OutputFolder(tmp_path)
    output.write(segmenter(film(1)))
    output.write(segmenter(film(1)))
    age(tmp_path, 40)
    assert Retention(output, days=30).look() == 1
    assert (tmp_path / "1.overlay.png").is_file()
    assert len(records(tmp_path)) == 1
    output.close()


def test_received_films_go_with_their_results_and_waiting_ones_stay(tmp_path: Path, segmenter: Segmenter) -> None:
    inbox = Inbox(tmp_path / "inbox")
    for name in ("done", "waiting"):
        inbox.put(name, name.encode())
    first = inbox.take()
    assert first is not None
    inbox.settle(first, "done")
    output = OutputFolder(tmp_path)
    for name in ("done", "waiting"):
        output.write(segmenter(film(1, f"dicom {name}")))
    age(tmp_path, 40, 40)
    assert Retention(output, days=30, also=partial(forget_received, tmp_path)).look() == 2
    assert not (tmp_path / "inbox" / "done" / "done.dcm").exists()
    assert (tmp_path / "inbox" / "received" / "waiting.dcm").is_file()
    output.close()


def test_a_power_cut_in_the_middle_is_made_good(tmp_path: Path, segmenter: Segmenter) -> None:
    output = OutputFolder(tmp_path)
    for number in range(3):
        output.write(segmenter(film(number)))
    age(tmp_path, 40, 40)
    before = tmp_path / "records.jsonl"
    copy = shutil.copy(before, tmp_path / "copy")
    Retention(output, days=30).look()
    output.close()
    # The pictures are gone and the records are not: as if the power had failed between.
    Path(copy).replace(before)
    output = OutputFolder(tmp_path)
    assert Retention(output, days=30).look() == 2
    assert [record["name"] for record in records(tmp_path)] == ["2.png"]
    assert all(is_done(output, segmenter, number) for number in range(3))
    output.close()


def test_an_empty_folder_and_no_limits(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    assert Retention(output, days=1).look() == 0
    assert Retention(output).look() == 0
    Retention(output).tick()
    output.close()
