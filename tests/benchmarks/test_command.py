"""The words of `edge-seg benchmark`."""

from __future__ import annotations

from pathlib import Path

from edge_seg_benchmarks.command import _words_of, benchmark


def test_the_command_keeps_what_stands_before_a_folder_and_drops_where_the_folder_is(tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    words = ["--data", f"pairs={tmp_path / 'films'}", "--masks", f"right_lung={tmp_path / 'theirs'}"]
    words += ["--data", str(odd), "--data", str(tmp_path / "c=d" / "gone"), "--out", str(tmp_path / "out")]
    said = _words_of(benchmark.make_context("benchmark", words))
    options = "--data pairs=films --data a=b --data gone --masks right_lung=theirs"
    assert said == f"edge-seg benchmark {options} --out report"
