"""A benchmark that was stopped goes on where it was, and says the same as one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edge_seg_benchmarks.accuracy.score_cache import Journal
from hypothesis import given
from hypothesis import strategies as st

_KEYS = st.lists(st.text(max_size=8), min_size=1, max_size=3)


@given(st.lists(st.tuples(_KEYS, st.lists(st.floats(0, 1)))), st.integers(0, 40))
def test_what_was_put_is_there_after_a_cut(tmp_path_factory: pytest.TempPathFactory, entries: list, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "scores.jsonl"
    journal = Journal(path)
    for key, value in entries:
        journal.put(key, value)
    known = {json.dumps(key): value for key, value in entries}
    assert {json.dumps(key): Journal(path).get(key) for key, _ in entries} == known
    # A power cut in the middle of the last line, and the run that follows.
    data = path.read_bytes() if path.exists() else b""
    path.write_bytes(data[: max(0, len(data) - cut)])
    again = Journal(path)
    again.put(["after"], 1)
    assert Journal(path).get(["after"]) == 1
    assert len(Journal(path)) == len(again)


def benchmark(model: Path, out: Path) -> list[str]:
    words = [
        str(model),
        "--data",
        "phantom",
        "--robustness",
        "1",
        "--repeats",
        "1",
        "--no-peak",
        "--pictures",
        "none",
        "--out",
        str(out),
    ]
    return [sys.executable, "-m", "edge_seg.cli.main", "benchmark", *words]


@pytest.mark.slow
def test_a_killed_benchmark_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    journal = tmp_path / "out" / "scores.part.jsonl"
    process = subprocess.Popen(benchmark(tiny_model, tmp_path / "out"), stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    begun = journal.read_bytes().count(b"\n")
    done = subprocess.run(benchmark(tiny_model, tmp_path / "out"), capture_output=True, text=True, check=True)
    assert f"going on: {begun} scores are there" in done.stdout
    assert not journal.exists()
    subprocess.run(benchmark(tiny_model, tmp_path / "whole"), capture_output=True, check=True)
    interrupted, whole = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("out", "whole"))
    assert interrupted["models"][0]["films"] == whole["models"][0]["films"]
    assert interrupted["models"][0]["scores"] == whole["models"][0]["scores"]
    assert interrupted["robustness"] == whole["robustness"]
