"""A stopped benchmark resumes where it was, and reports the same scores as one that was not stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Film, Segmenter
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.accuracy.robustness import score_corrupted
from edge_seg_benchmarks.accuracy.score_cache import ScoreCache, cache_key
from edge_seg_benchmarks.accuracy.scoring import score_all
from edge_seg_benchmarks.command import benchmark
from edge_seg_benchmarks.schema import Report
from edge_seg_data import Dataset, LabelledFilm
from hypothesis import given
from hypothesis import strategies as st

_KEYS = st.lists(st.text(max_size=8), min_size=1, max_size=3)


@pytest.mark.slow
@given(st.lists(st.tuples(_KEYS, st.lists(st.floats(0, 1)))), st.integers(0, 40))
def test_what_was_put_is_there_after_a_cut(tmp_path_factory: pytest.TempPathFactory, entries: list, cut: int) -> None:
    path = tmp_path_factory.mktemp("cache") / "scores.jsonl"
    cache = ScoreCache(path)
    for key, value in entries:
        cache.put(key, value)
    known = {json.dumps(key): value for key, value in entries}
    assert {json.dumps(key): ScoreCache(path).get(key) for key, _ in entries} == known
    # A power cut in the middle of the last line, then the next run.
    data = path.read_bytes() if path.exists() else b""
    path.write_bytes(data[: max(0, len(data) - cut)])
    again = ScoreCache(path)
    again.put(["after"], 1)
    assert ScoreCache(path).get(["after"]) == 1
    assert len(ScoreCache(path)) == len(again)


def test_a_damaged_line_is_passed_over_and_reported(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "scores.part.jsonl")
    cache.put(["a"], 1)
    with cache.path.open("ab") as file:
        file.write(bytes(9) + b"\n5\n\xff\n")
    cache.put(["b"], 2)
    again = ScoreCache(cache.path)
    assert (again.get(["a"]), again.get(["b"]), len(again), again.damaged) == (1, 2, 2, 3)
    done = CliRunner().invoke(benchmark, ["--out", str(tmp_path)])
    assert f"3 damaged lines of {cache.path} passed over" in done.stderr


def data_set(truth: int, source: str = "", content: str = "") -> Dataset:
    """A film of a bright square, which is outlined if `truth` is 1."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[16:48, 16:48] = 255
    outlines = {"right_lung": (pixels > 0).astype(np.uint8) * np.uint8(truth)}
    film = LabelledFilm("1", "p", "test", lambda: (Film(pixels, "1"), outlines), source=source, content=content)
    return Dataset("d", "pairs", ("right_lung",), (film,))


def test_films_of_one_name_in_two_folders_of_one_name_have_their_own_scores(tiny_model: Path, tmp_path: Path) -> None:
    segmenter, cache = Segmenter.load(tiny_model, gate=False), ScoreCache(tmp_path / "scores.jsonl")
    first, second = data_set(1, source="a/d/1.png"), data_set(0, source="b/d/1.png")
    for dataset in (first, second, first):
        ((row,),) = score_all([segmenter], [dataset], "test", None, cache, lambda text: None)
        corrupted = score_corrupted(segmenter, dataset, "test", 1, lambda text: None, cache)
        assert (row.dice > 0.5) == (corrupted[0].dice > 0.5) == (dataset is first)
    assert len(cache) == 4


def test_a_changed_film_is_scored_again(tiny_model: Path) -> None:
    segmenter = Segmenter.load(tiny_model)
    keys = [cache_key(segmenter, one, one.films[0]) for one in (data_set(1, content=text) for text in "ab")]
    assert keys[0] != keys[1]


def test_scores_of_other_thresholds_or_another_split_are_not_taken(tiny_model: Path) -> None:
    dataset = data_set(1)
    (film,) = dataset.films
    file = ModelFile.read(tiny_model)
    changed = replace(file, manifest=replace(file.manifest, thresholds=(0.9, 0.5, 0.5)))
    keys = [
        cache_key(Segmenter(model), dataset, one)
        for model in (file, changed)
        for one in (film, replace(film, split="val"))
    ]
    assert len({json.dumps(key) for key in keys}) == 4
    assert cache_key(Segmenter(file), dataset, film) == cache_key(Segmenter.load(tiny_model), dataset, film)


def words(model: Path, out: Path) -> list[str]:
    options = "--data phantom --limit 8 --robustness 1 --repeats 1 --no-peak --pictures none"
    return [str(model), *options.split(), "--out", str(out)]


def scored(model: Path, out: Path) -> str:
    """A benchmark's output, run in this process."""
    done = CliRunner().invoke(benchmark, words(model, out), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_a_killed_benchmark_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "out" / "scores.part.jsonl"
    command = [sys.executable, "-m", "edge_seg.cli.main", "benchmark", *words(tiny_model, tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not cache.exists() or cache.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    begun = cache.read_bytes().count(b"\n")
    assert f"resuming with {begun} scores" in scored(tiny_model, tmp_path / "out")
    assert not cache.exists()
    assert "resuming" not in scored(tiny_model, tmp_path / "whole")
    (interrupted,), (whole,) = (Report.read(tmp_path / name / "report.json").models for name in ("out", "whole"))
    assert interrupted.films == whole.films
    assert interrupted.scores == whole.scores
    assert interrupted.robustness == whole.robustness
