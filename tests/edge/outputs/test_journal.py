"""The journal of records: damaged lines are set aside, nothing is doubled, a long journal opens without parsing."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_seg import Film, InputError, OutputError, Segmenter
from edge_seg.film import Failure
from edge_seg.outputs import index as index_module
from edge_seg.outputs import journal as journal_module
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.journal import Journal
from edge_seg.record import AnyRecord, DoneRecord, record_from_json, record_of, record_of_failure


@pytest.fixture(scope="module")
def done(tiny_model: Path) -> DoneRecord:
    made = Segmenter.load(tiny_model)(
        Film(np.full((40, 60), 7, np.uint8), "film.png", "films/film.png", checksum="0" * 64)
    )
    return record_of(made, "film", ["mask", "record"], [], {"inference": 1.0})


def named(record: DoneRecord, number: int) -> DoneRecord:
    return replace(record, name=f"{number}.png", source=f"films/{number}.png", stem=str(number))


def damaged(record: DoneRecord) -> list[bytes]:
    """Lines that are not records, one for each kind of damage."""
    plain = record.to_json()
    lacking = [
        {key: value for key, value in plain.items() if key != gone} for gone in ("film", "source", "recorded_at")
    ]
    wrong: list[Any] = [
        {**plain, "schema": 0},
        {**plain, "film": "large"},
        {**plain, "status": "perhaps"},
        {**plain, "recorded_at": "yesterday"},
        {**plain, "files": [{"name": "../outside.png", "bytes": 1, "sha256": ""}]},
        {**plain, "files": [{"name": "records.jsonl", "bytes": 1, "sha256": ""}]},
        [],
        None,
    ]
    texts = [json.dumps(one).encode() for one in (*lacking, *wrong)]
    return [
        *texts,
        b"",
        b"\0" * 300,
        b"\xff\xfe{}",
        json.dumps(plain).encode()[:-300],
        b"[" * 200_000,
        b'{"schema": 1, "a": NaN}',
    ]


def test_damaged_lines_are_set_aside_and_the_rest_is_used(tmp_path: Path, done: DoneRecord) -> None:
    good = [json.dumps(named(done, number).to_json()).encode() for number in range(3)]
    bad = damaged(done)
    lines = [good[0], *bad[:7], good[1], *bad[7:], good[2]]
    (tmp_path / "records.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (tmp_path / "records.jsonl").chmod(0o600)
    journal = Journal(tmp_path)
    assert journal.damaged == len(bad)
    assert [record.name for record in journal] == ["0.png", "1.png", "2.png"]
    assert (tmp_path / "records.jsonl").read_bytes().splitlines() == good
    assert (tmp_path / "records.damaged.jsonl").read_bytes() == b"".join(line + b"\n" for line in bad)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("records*.jsonl")} == {0o600}
    again = Journal(tmp_path)
    assert again.damaged == 0
    assert again.last_of("films/1.png") == record_from_json(json.loads(good[1]))


def test_the_folder_tells_of_damaged_records_and_knows_what_is_done(tmp_path: Path, tiny_model: Path) -> None:
    segmenter = Segmenter.load(tiny_model)
    film = Film(np.full((40, 60), 7, np.uint8), "film.png", "films/film.png", checksum="0" * 64)
    output = OutputFolder(tmp_path)
    output.write(segmenter(film))
    output.close()
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(b"\0\0\0\n")
    output = OutputFolder(tmp_path)
    assert "1 damaged records were set aside" in output.troubles[0]
    assert output.is_done(film, segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate)
    output.close()


@pytest.mark.parametrize("fails_at", ["write", "fsync"])
def test_a_retry_after_a_failure_does_not_double_a_line(
    tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    journal = Journal(tmp_path)
    journal.append(named(done, 0).to_json())
    write = os.write
    written: list[bytes] = []

    def count(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal_module.os, "write", count)
    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, fails_at, fail)
        with pytest.raises(OutputError, match="cannot be written"):
            journal.append(named(done, 1).to_json())
    journal.append(named(done, 1).to_json())
    assert [record.name for record in journal] == ["0.png", "1.png"]
    assert journal.last_of("films/1.png") is not None
    # What could not be flushed may never reach the disk: it is written again.
    assert len(written) == (2 if fails_at == "fsync" else 1)


def test_half_a_line_is_taken_back(tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append(named(done, 0).to_json())
    write, calls = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:100])

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", full)
        with pytest.raises(OutputError, match="No space"):
            journal.append(named(done, 1).to_json())
    assert [record.name for record in Journal(tmp_path)] == ["0.png"]


def test_a_long_journal_is_indexed_without_being_parsed_and_the_index_lasts(
    tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "WORTH_KEEPING", 50)
    monkeypatch.setattr(journal_module, "_PARSED_WHOLE", 0)
    failure = record_of_failure(Failure('bad "q".png', "films/ä bad.png", InputError("bad: send it again")))
    records = [*(named(done, number) for number in range(60)), failure, named(done, 3)]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(one.to_json()) + "\n" for one in records))

    def parse(data: bytes, parsed: bool = False) -> None:
        raise AssertionError(f"parsed: {data[:80]!r}")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "_record_in", parse)
        Journal(tmp_path)
        # Now from the index's own file, without reading the lines.
        patch.setattr(journal_module, "_keys", parse)
        journal = Journal(tmp_path)
    assert journal.last_of("films/ä bad.png") == failure
    assert journal.last_of("films/59.png") == named(done, 59)
    assert journal.last_of("films/60.png") is None
    offset, again = journal.last_with("3") or (0, None)
    assert again == named(done, 3)
    assert offset > (tmp_path / "records.jsonl").stat().st_size // 2
    journal.append(named(done, 99).to_json())
    assert Journal(tmp_path).last_of("films/99.png") == named(done, 99)


@pytest.mark.parametrize("harm", ["flipped", "cut", "another journal", "empty"])
def test_an_index_that_does_not_fit_is_made_anew(
    tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setattr(index_module, "WORTH_KEEPING", 5)
    lines = [json.dumps(named(done, number).to_json()) + "\n" for number in range(20)]
    (tmp_path / "records.jsonl").write_text("".join(lines))
    Journal(tmp_path)
    kept = tmp_path / ".edge-seg" / "records.index"
    data = kept.read_bytes()
    if harm == "another journal":
        (tmp_path / "records.jsonl").write_text("".join(lines[::-1]))
    else:
        kept.write_bytes({"flipped": data[:-3] + b"abc", "cut": data[:-8], "empty": b""}[harm])
    journal = Journal(tmp_path)
    for number in range(20):
        assert journal.last_of(f"films/{number}.png") == named(done, number)


def test_a_file_that_was_edited_while_the_program_ran_is_read_anew(tmp_path: Path, done: DoneRecord) -> None:
    journal = Journal(tmp_path)
    journal.append(*(named(done, number).to_json() for number in range(5)))
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"{}\n" + b"".join(lines[1:]))
    assert journal.last_of("films/4.png") == named(done, 4)
    assert journal.last_of("films/0.png") is None
    assert journal.damaged == 1
    assert (tmp_path / "records.damaged.jsonl").read_bytes() == b"{}\n"


def test_lines_that_come_while_the_head_is_cut_stay(
    tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_PIECE", 4096)
    journal = Journal(tmp_path)
    journal.append(*(named(done, number).to_json() for number in range(20)))
    third = list(journal.lines())[3].offset
    journal.pass_over(third)
    for number, _ in enumerate(journal.cut(), 20):
        journal.append(named(done, number).to_json())
        if number == 23:
            break
    assert len(list(journal)) == 24
    for _ in journal.cut():
        pass
    assert [record.name for record in journal] == [f"{number}.png" for number in range(3, 24)]
    for number in range(3, 24):
        assert journal.last_of(f"films/{number}.png") == named(done, number)
    assert not list(tmp_path.glob(".*draft"))


def test_a_record_that_is_passed_over_is_no_longer_the_last_of_its_film(tmp_path: Path, done: DoneRecord) -> None:
    journal = Journal(tmp_path)
    journal.append(*(named(done, number % 2).to_json() for number in range(3)))
    lines = list(journal.lines())
    assert [journal.is_last_of("films/0.png", line.offset) for line in lines] == [False, False, True]
    journal.pass_over(lines[2].offset)
    assert journal.last_of("films/1.png") is None
    assert journal.last_of("films/0.png") == named(done, 0)


def test_a_damaged_line_that_is_found_while_the_head_is_cut_costs_no_other(
    tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_PIECE", 4096)
    journal = Journal(tmp_path)
    journal.append(*(named(done, number).to_json() for number in range(40)))
    lines = list(journal.lines())
    journal.pass_over(lines[2].offset)
    cut = journal.cut()
    next(cut)
    with journal.path.open("r+b") as file:
        file.seek(lines[10].end - 20)
        file.write(b"\0")
    assert journal.last_of("films/10.png") is None
    journal.append(named(done, 40).to_json())
    for _ in cut:
        pass
    kept = [f"{number}.png" for number in range(41) if number != 10]
    assert [record.name for record in journal] == kept
    assert [record.name for record in Journal(tmp_path)] == kept
    assert all(journal.last_of(f"films/{name}") is not None for name in kept)
    assert journal.damaged == 1
    assert not list(tmp_path.glob(".*draft"))


def test_a_private_journal_is_for_its_user_alone_also_if_it_was_there_before(tmp_path: Path, done: DoneRecord) -> None:
    Journal(tmp_path).append(named(done, 0).to_json())
    (tmp_path / "records.jsonl").chmod(0o644)
    for name in ("records.jsonl", "removed.jsonl"):
        Journal(tmp_path, name, private=True).append(named(done, 1).to_json())
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_line_longer_than_any_record_is_set_aside_without_being_held_in_memory(
    tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may leave many zeros in place of a line."""
    monkeypatch.setattr(journal_module, "_LONGEST_LINE", 1 << 14)
    monkeypatch.setattr(journal_module, "_PIECE", 1 << 12)
    first, last = (json.dumps(named(done, number).to_json()).encode() for number in (1, 2))
    zeros = bytes(100_000) + b"\n"
    (tmp_path / "records.jsonl").write_bytes(first + b"\n" + zeros + last + b"\n")
    held: list[int] = []
    record_in = journal_module._record_in

    def parse(data: bytes) -> AnyRecord | None:
        held.append(len(data))
        return record_in(data)

    monkeypatch.setattr(journal_module, "_record_in", parse)
    journal = Journal(tmp_path)
    assert max(held) <= 1 << 14
    assert [record.name for record in journal] == ["1.png", "2.png"]
    assert journal.damaged == 1
    assert (tmp_path / "records.damaged.jsonl").read_bytes() == zeros


def test_the_index_is_saved_while_a_run_goes_on(
    tmp_path: Path, done: DoneRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device runs for a year and loses power: the next start does not read the year's lines."""
    monkeypatch.setattr(index_module, "WORTH_KEEPING", 20)
    journal = Journal(tmp_path)
    for number in range(25):
        journal.append(named(done, number).to_json())
    # Not closed.
    looked_at: list[bytes] = []
    keys = journal_module._keys

    def look(data: bytes, parsed: bool) -> tuple[bytes, ...]:
        looked_at.append(data)
        return keys(data, parsed)

    monkeypatch.setattr(journal_module, "_keys", look)
    again = Journal(tmp_path)
    assert len(looked_at) <= 15
    assert all(again.last_of(f"films/{number}.png") == named(done, number) for number in range(25))
