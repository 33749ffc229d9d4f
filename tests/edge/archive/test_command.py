"""`edge-seg archive`: plan, run, status, export, and one-line refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edge_seg import RESEARCH_USE, Segmenter, read_film
from edge_seg.archive.contents import Archive, part_name
from edge_seg.cli.main import main
from pyarrow import parquet


def test_the_python_interface_is_what_it_says() -> None:
    # In a separate process: a module imported by other tests would hide one of the same name.
    code = """
from edge_seg.archive import Archive, decode_mask, export, plan, run, status
assert all(map(callable, (Archive, decode_mask, export, plan, run, status)))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def code_of(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["archive", *map(str, words)])
    return int(ended.value.code or 0)


def test_from_films_to_masks(few_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address, out = tmp_path / "archive", tmp_path / "out"
    plan = ("plan", few_films, "--out", address, "--films-per-shard", 3, "--model", "lungs-nano", "--no-gate")
    assert code_of(*map(str, plan)) == 0
    assert "6 films in 2 shards" in capsys.readouterr().err
    assert code_of("status", address) == 0
    assert "films     0 of 6" in capsys.readouterr().out
    assert code_of("run", address, "--workers", "1") == 3
    said = capsys.readouterr().err
    assert "broken.png: not a picture" in said
    assert "5 done, 1 failed; " in said
    assert RESEARCH_USE in said
    assert code_of("run", address) == 0
    capsys.readouterr()

    assert code_of("status", address, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["films_done"], found["shards_done"], found["failed"], found["seconds_left"]) == (6, 2, 1, 0)
    assert found["notice"] == RESEARCH_USE

    assert code_of("export", address, "--where", "status == 'done' and number > 2", "--masks", "png", "--out", out) == 0
    assert "2 films, 8 masks" in capsys.readouterr().err
    (lines,) = out.glob("*/records.jsonl")
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["name"] for record in records] == ["3.png", "4.png"]
    assert all(record["notice"] == RESEARCH_USE for record in records)
    expected = Segmenter.load("lungs-nano", gate=False)(few_films / "3.png")
    for name, mask in expected.masks.items():
        (file,) = [file for file in records[0]["files"] if f".{name}." in file]
        assert np.array_equal(read_film(lines.parent / file).pixels > 0, mask)
    assert records[0]["areas"]["right_lung"]["pixels"] == expected.areas["right_lung"].pixels
    assert records[0]["ratios"] == expected.measurements.ratios
    assert code_of("export", address, "--out", out) == 2
    assert "is not empty" in capsys.readouterr().err


def test_another_way_than_planned_is_refused(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    for words, reason in (
        (["--model", "lungs"], "planned with model lungs-nano"),
        (["--lung", "visible"], "planned with lung whole"),
        (["--gate"], "planned with gate False"),
    ):
        assert code_of("run", archive.address, *words) == 2
        assert reason in capsys.readouterr().err
    path = Path(archive.address) / "archive.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "edge_seg": "0.0.1"}))
    assert code_of("run", archive.address) == 2
    assert "planned with edge-seg 0.0.1" in capsys.readouterr().err
    path.write_text(json.dumps({**settings, "schema": 99}))
    assert code_of("run", archive.address) == 2
    path.write_text(json.dumps({**settings, "model": {**settings["model"], "sha256": "0" * 64}}))
    assert code_of("run", archive.address) == 4
    assert archive.parts() == {}


def test_what_is_no_archive_or_no_shard_is_refused(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("run", "status", "export"):
        assert code_of(verb, tmp_path / "nothing") == 2
        assert "no archive is planned there" in capsys.readouterr().err
    for wrong in ("3", "a/b", "-1/2", "1/2/3"):
        assert code_of("run", archive.address, "--shard", wrong) == 2
    assert code_of("export", archive.address, "--where", "__import__('os')", "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_a_damaged_part_is_named(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = Path(archive.address) / "records"
    records.mkdir()
    (records / part_name(1)).write_bytes(b"PAR1 is cut short")
    assert code_of("status", archive.address) == 5
    assert f"{part_name(1)}: cannot be read: remove it" in capsys.readouterr().err
    assert code_of("export", archive.address, "--out", tmp_path / "out") == 3
    assert part_name(1) in capsys.readouterr().err


def test_a_part_says_what_it_may_be_used_for(archive: Archive) -> None:
    assert code_of("run", archive.address, "--workers", "1", "--shard", "0/3", "-q") == 0
    metadata = parquet.read_schema(Path(archive.address) / "records" / part_name(0)).metadata
    assert metadata[b"edge_seg.notice"].decode() == RESEARCH_USE
    assert metadata[b"edge_seg.model_sha256"].decode() == archive.settings.model.sha256
