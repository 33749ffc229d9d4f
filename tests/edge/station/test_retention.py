"""Retention: the oldest results are removed and their films stay done; a film without its result is never removed."""

from __future__ import annotations

import json
import shutil
import time
from collections import namedtuple
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_seg import Film, InputError, Segmenter
from edge_seg.film import Failure
from edge_seg.outputs.folder import OutputFolder
from edge_seg.record import record_of_failure
from edge_seg.sources import Inbox, forget_received, size_of_received
from edge_seg.station import retention
from edge_seg.station.retention import Retention
from edge_seg.station.session import Summary


@pytest.fixture(scope="module")
def segmenter(tiny_model: Path) -> Segmenter:
    return Segmenter.load(tiny_model)


def film(number: int, source: str | None = None) -> Film:
    name = f"{number}.png"
    return Film(np.full((40, 60), number, np.uint8), name, source or f"films/{name}", checksum=f"{number:064d}")


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def age(folder: Path, *days: float) -> None:
    """Make the first records `days` old."""
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
    free = partial(lambda folder: usage(1000 - sum(1 for _ in folder.glob("*.overlay.jpg"))))
    monkeypatch.setattr(retention.shutil, "disk_usage", free)
    # Five overlays leave 995; three must be removed.
    assert Retention(output, free_bytes=998).look() == 3
    assert [record["name"] for record in records(tmp_path)] == ["3.png", "4.png"]
    output.close()


def test_results_that_were_made_again_stay(tmp_path: Path, segmenter: Segmenter) -> None:
    output = OutputFolder(tmp_path)
    output.write(segmenter(film(1)))
    output.write(segmenter(film(1)))
    age(tmp_path, 40)
    assert Retention(output, days=30).look() == 1
    assert (tmp_path / "1.overlay.jpg").is_file()
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
    # The pictures are gone but the records are not: as if the power had failed in between.
    Path(copy).replace(before)
    output = OutputFolder(tmp_path)
    # What was removed is on record, so only the journal is left to cut.
    assert Retention(output, days=30).look() == 0
    assert [record["name"] for record in records(tmp_path)] == ["2.png"]
    assert all(is_done(output, segmenter, number) for number in range(3))
    output.close()


def test_an_empty_folder_and_no_limits(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    assert Retention(output, days=1).look() == 0
    assert Retention(output).look() == 0
    Retention(output).tick()
    output.close()


def crafted(folder: Path, segmenter: Segmenter, count: int, old: int) -> None:
    """Write records and files of `count` films; the first `old` of them are 40 days old."""
    folder.mkdir(exist_ok=True)
    output = OutputFolder(folder)
    plain = output.write(segmenter(film(1))).to_json()
    output.close()
    now = datetime.now(timezone.utc)
    lines = []
    for number in range(count):
        stamp = now - timedelta(days=40 if number < old else 0)
        overlay = f"f{number}.overlay.jpg"
        files = [{"name": overlay, "bytes": 3, "sha256": ""}]
        film_facts = {**plain["film"], "sha256": f"{number:064d}"}
        own = {"name": f"f{number}.png", "source": f"films/f{number}.png", "stem": f"f{number}", "film": film_facts}
        lines.append(json.dumps({**plain, **own, "recorded_at": stamp.isoformat(), "files": files}) + "\n")
        (folder / overlay).write_bytes(b"png")
    (folder / "records.jsonl").write_text("".join(lines))


def test_no_more_films_go_than_their_received_files_need(
    tmp_path: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    crafted(tmp_path, segmenter, 60, 0)
    path = tmp_path / "records.jsonl"
    failed = record_of_failure(Failure("f0.png", "dicom f0.png", InputError("f0.png: broken"))).to_json()
    rest = path.read_text().replace("films/f", "dicom f").splitlines()[1:]
    path.write_text("\n".join([json.dumps(failed), *rest, ""]))
    done = Inbox(tmp_path / "inbox").folder / "done"
    for number in range(60):
        with (done / f"f{number}.png.dcm").open("wb") as file:
            file.truncate(1_000_000)
    usage = namedtuple("usage", "free")
    # 1.5 MB are missing, so the oldest two must be removed.
    free = partial(lambda folder: usage(100_000_000 - 1_500_000 + 1_000_000 * (60 - len(list(done.iterdir())))))
    monkeypatch.setattr(retention.shutil, "disk_usage", free)
    output = OutputFolder(tmp_path)
    also, weigh = partial(forget_received, tmp_path), partial(size_of_received, tmp_path)
    assert Retention(output, free_bytes=100_000_000, also=also, weigh=weigh).look() == 2
    assert len(list(done.iterdir())) == 58
    output.close()


@pytest.mark.parametrize("count", [1, 40], ids=["journal rewritten", "journal as it was"])
def test_a_film_that_is_sent_again_once_its_results_are_gone_leaves_no_file(
    tmp_path: Path, segmenter: Segmenter, count: int
) -> None:
    crafted(tmp_path, segmenter, count, 1)
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text().replace("films/f", "dicom f"))
    output, inbox = OutputFolder(tmp_path), Inbox(tmp_path / "inbox")
    keeping = Retention(output, days=30, also=partial(forget_received, tmp_path))
    assert keeping.look() == 1
    for number in range(min(2, count)):
        inbox.put(f"f{number}.png", b"sent again")
        received = inbox.take()
        assert received is not None
        inbox.settle(received, "done")
        again = replace(film(1, f"dicom f{number}.png"), checksum=f"{number:064d}")
        assert output.is_done(again, segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate)
        keeping.film(Summary(), again, None)
    # The second one still has its results.
    left = [file.name for file in (tmp_path / "inbox" / "done").iterdir()]
    assert left == ([] if count == 1 else ["f1.png.dcm"])
    output.close()


def test_a_film_that_failed_and_came_again_keeps_its_file_as_long_as_its_results(
    tmp_path: Path, segmenter: Segmenter
) -> None:
    crafted(tmp_path, segmenter, 1, 0)
    path = tmp_path / "records.jsonl"
    failed = record_of_failure(Failure("f0.png", "dicom f0.png", InputError("f0.png: broken"))).to_json()
    path.write_text(json.dumps(failed) + "\n" + path.read_text().replace("films/f", "dicom f"))
    received = Inbox(tmp_path / "inbox").folder / "done" / "f0.png.dcm"
    received.write_bytes(b"film")
    age(tmp_path, 40)
    output = OutputFolder(tmp_path)
    keeping = Retention(output, days=30, also=partial(forget_received, tmp_path))
    assert keeping.look() == 1
    assert received.exists()
    age(tmp_path, 40)
    assert keeping.look() == 1
    assert not received.exists()
    output.close()


@pytest.mark.slow
def test_a_pass_that_is_killed_goes_on_where_it_was(tmp_path: Path, segmenter: Segmenter) -> None:
    crafted(tmp_path, segmenter, 700, 500)
    for _ in range(3):
        output = OutputFolder(tmp_path)
        work = Retention(output, days=30)._begin()
        assert next(work) == 100
        # As after kill -9: nothing is closed, and the journal is not cut.
        output.close()
    assert len(list(tmp_path.glob("f*.overlay.jpg"))) == 400
    output = OutputFolder(tmp_path)
    Retention(output, days=30).look()
    assert len(list(tmp_path.glob("f*.overlay.jpg"))) == len(records(tmp_path)) == 200
    tombstones = (tmp_path / "removed.jsonl").read_text().splitlines()
    assert len({json.loads(line)["source"] for line in tombstones}) == len(tombstones) == 500
    known = segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate
    for number in (0, 499, 500, 699):
        gone = replace(film(1, f"films/f{number}.png"), checksum=f"{number:064d}")
        assert output.is_done(gone, *known), number
    output.close()


def test_a_film_whose_removal_was_cut_short_stays_done(tmp_path: Path, segmenter: Segmenter) -> None:
    crafted(tmp_path, segmenter, 3, 2)
    output = OutputFolder(tmp_path)
    next(Retention(output, days=30)._begin())
    gone = replace(film(1, "films/f0.png"), checksum=f"{0:064d}")
    assert output.is_done(gone, segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate)
    output.close()


@pytest.mark.slow
def test_many_old_films_go_in_slices_that_leave_the_session_alive(tmp_path: Path, segmenter: Segmenter) -> None:
    crafted(tmp_path, segmenter, 3000, 2900)
    output = OutputFolder(tmp_path)
    keeping = Retention(output, days=30)
    longest, ticks, end = 0.0, 0, time.monotonic() + 300
    while len(list(tmp_path.glob("f*.overlay.jpg"))) > 100 or keeping._work is not None:
        began = time.monotonic()
        keeping.tick()
        longest, ticks = max(longest, time.monotonic() - began), ticks + 1
        assert time.monotonic() < end
    assert ticks > 1
    assert longest < 30
    assert len(records(tmp_path)) == 100
    output.close()


def test_a_record_never_leads_out_of_the_folder(tmp_path: Path, segmenter: Segmenter) -> None:
    crafted(tmp_path / "out", segmenter, 2, 2)
    (tmp_path / "f1.png").write_bytes(b"not ours")
    path = tmp_path / "out" / "records.jsonl"
    path.write_text(path.read_text().replace("f1.overlay.jpg", "../f1.png"))
    output = OutputFolder(tmp_path / "out")
    assert Retention(output, days=30, also=partial(forget_received, tmp_path)).look() == 1
    assert (tmp_path / "f1.png").exists()
    assert "../f1.png" in (tmp_path / "out" / "records.damaged.jsonl").read_text()
    output.close()


def test_forgetting_a_received_film_never_leads_out_of_the_inbox(tmp_path: Path) -> None:
    Inbox(tmp_path / "inbox")
    (tmp_path / "outside.dcm").write_bytes(b"not ours")
    forget_received(tmp_path, "dicom ../../outside")
    assert (tmp_path / "outside.dcm").exists()
