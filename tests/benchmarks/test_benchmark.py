"""The benchmark: statistics that can be checked by hand, and a self-contained report."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Segmenter
from edge_seg.errors import InputError, UsageError
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.accuracy.films import open_benchmark_data
from edge_seg_benchmarks.accuracy.scores import (
    FilmScore,
    dice_differences,
    score_regions,
    scored_films,
    subgroups,
    summarise,
)
from edge_seg_benchmarks.accuracy.statistics import bootstrap_mean
from edge_seg_benchmarks.benchmark import run_benchmark
from edge_seg_benchmarks.command import benchmark
from edge_seg_benchmarks.schema import Report
from edge_seg_data import truth_regions
from edge_seg_data.corruptions import CORRUPTIONS, SEVERITIES


def test_the_interval_holds_the_mean_it_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        values = rng.normal(0.95, 0.02, 60)
        estimate = bootstrap_mean(list(values), [str(i) for i in range(60)])
        hits += estimate.low <= 0.95 <= estimate.high
    assert 86 <= hits <= 100


def test_films_of_one_patient_are_no_independent_films() -> None:
    values = [0.9, 0.9, 0.9, 0.9, 0.99, 0.99, 0.99, 0.99]
    alone = bootstrap_mean(values, [str(i) for i in range(8)])
    grouped = bootstrap_mean(values, ["a"] * 4 + ["b"] * 4)
    assert grouped.high - grouped.low > alone.high - alone.low
    assert (grouped.n, grouped.patients) == (8, 2)
    single = bootstrap_mean([0.7], ["a"])
    assert single.low == single.mean == single.high == 0.7


def scores(values: list[float]) -> list[FilmScore]:
    return [FilmScore("d", "test", str(i), str(i), "whole_lung", v, v, 1.0, 0.5) for i, v in enumerate(values)]


def test_a_planted_loss_is_found_and_no_loss_is_none() -> None:
    base = list(np.random.default_rng(1).uniform(0.9, 0.99, 40))
    lost = dice_differences(scores([v - 0.005 for v in base]), scores(base))[0]
    assert lost.mean == pytest.approx(-0.005)
    assert lost.high < 0
    same = dice_differences(scores(base), scores(base))[0]
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert dice_differences(scores(base), []) == []


def test_the_worst_films_are_the_worst_in_either_direction() -> None:
    row = summarise(
        [FilmScore("d", "test", str(i), str(i), "r", 0.5 + i / 100, 0.5, float(i), 0.0) for i in range(40)]
    )[0]
    assert row.dice.worst == 0.5
    assert row.dice.worst_5_percent == pytest.approx(0.505)
    assert row.hd95_px.worst == 39


def test_ignored_pixels_follow_into_derived_regions() -> None:
    right = np.array([[1, 0, 127, 0]], np.uint8)
    left = np.array([[0, 0, 0, 1]], np.uint8)
    regions = truth_regions({"right_lung": right, "left_lung": left})
    truth, valid = regions["whole_lung"]
    assert truth.tolist() == [[True, False, False, True]]
    assert valid.tolist() == [[True, True, False, True]]


def test_subgroups_are_scored_apart() -> None:
    rows = [
        FilmScore("d", "test", str(i), str(i), "whole_lung", value, value, 1.0, 0.5, None, {"view": view})
        for i, (view, value) in enumerate([("PA", 0.9), ("PA", 0.92), ("AP", 0.8)])
    ]
    found = {(row.attribute, row.value): row for row in subgroups(rows, "whole_lung")}
    assert found["view", "PA"].mean == pytest.approx(0.91)
    assert (found["view", "AP"].mean, found["view", "AP"].n) == (0.8, 1)
    assert subgroups(rows, "right_lung") == []


def test_a_split_without_films_is_refused() -> None:
    with pytest.raises(InputError, match="no films to score"):
        scored_films(open_benchmark_data("phantom"), "val", None)


def test_two_data_sets_of_one_name_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    folders = [str(tmp_path / name / "test") for name in "ab"]
    for folder in folders:
        for name in ("images", "masks"):
            (Path(folder) / name).mkdir(parents=True)
            assert cv2.imwrite(f"{folder}/{name}/f.png", np.eye(40, dtype=np.uint8))
    for names, said in (folders, f"called test ({folders[0]}, {folders[1]})"), (["phantom"] * 2, "called phantom:"):
        with pytest.raises(UsageError, match=re.escape(said)):
            run_benchmark([ModelFile.read(tiny_model)], [open_benchmark_data(name) for name in names])


@pytest.fixture(scope="module")
def report(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("benchmark")
    model = folder / "tiny.tflite"
    twin = folder / "tiny.float32.tflite"
    file = ModelFile.read(tiny_model)
    model.write_bytes(file.to_bytes())
    twin.write_bytes(replace(file, manifest=replace(file.manifest, quantisation="float32")).to_bytes())
    words = [str(twin), str(model), "--data", "phantom", "--limit", "3", "--repeats", "3", "--out", str(folder / "out")]
    words += ["--robustness", "2", "--sustained", "0.01", "--threads", "1", "--threads", "2"]
    done = CliRunner().invoke(benchmark, [*words, "--write-scores", "-q"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder / "out", model


@pytest.mark.slow
def test_the_difference_to_the_float_model_stays_where_the_same_films_are_scored_without_it(
    report: tuple[Path, Path], tmp_path: Path
) -> None:
    before = {
        score["region"]: score for score in ModelFile.read(report[1]).manifest.scores if score["metric"] == "dice"
    }
    assert all("minus_float32" in score for score in before.values())
    for films, stays in (3, True), (2, False):
        model = tmp_path / f"{films}.tflite"
        model.write_bytes(report[1].read_bytes())
        words = [str(model), "--data", "phantom", "--limit", str(films), "--repeats", "1", "--no-peak", "-q"]
        words += ["--write-scores", "--out", str(tmp_path / f"out-{films}")]
        assert CliRunner().invoke(benchmark, words, catch_exceptions=False).exit_code == 0
        after = [score for score in ModelFile.read(model).manifest.scores if score["metric"] == "dice"]
        assert len(after) == len(before)
        for score in after:
            assert score.get("minus_float32") == (before[score["region"]]["minus_float32"] if stays else None)


@pytest.mark.slow
def test_the_report_says_everything_as_data(report: tuple[Path, Path]) -> None:
    data = json.loads((report[0] / "report.json").read_text())
    assert data["schema"] == 3
    assert "Research use only" in data["notice"]
    first, second = data["models"]
    assert first["inference_speed_up"] == 1
    assert second["degradation"][0]["mean"] == 0
    assert second["cold_start"]["peak_rss_bytes"] > 20e6
    for stage in ("decode", "pixels_in", "inference", "pixels_out", "write", "end_to_end"):
        latency = second["latency_ms"][stage]
        assert 0 <= latency["p50"] <= latency["p95"] <= latency["p99"]
        assert latency["n"] == len(second["samples_ms"][stage]) == 3
    assert (
        3 * 10 <= len(second["samples_ms"]["inference_alone"]) == len(first["samples_ms"]["inference_alone"]) <= 3 * 300
    )
    assert len(data["reference_timing"]["samples_ms"]) == len(second["samples_ms"]["inference_alone"])
    assert min(data["reference_timing"]["samples_ms"]) > 0
    assert second["warm_up"] >= 6
    assert 0 < second["cold_start"]["model_bytes"] < second["cold_start"]["peak_rss_bytes"]
    assert second["share_of_peak"]["compute"] > 0
    assert data["reference"] == "tiny float32"
    assert {row["mean"] for row in second["loss"]} == {0}
    for entry in data["models"]:
        (other,) = entry["configurations"]
        assert (other["engine"], other["threads"], other["differing_pixels"]) == ("litert", 2, 0)
    assert second["sustained"][0]["films_per_second"] > 0
    assert {row["region"] for row in second["scores"]} >= {"whole_lung", "visible_lung"}
    assert all(0 <= film["dice"] <= 1 for film in second["films"])
    corrupted = [row for row in second["robustness"] if row["region"] == "whole_lung"]
    assert len(corrupted) == 1 + len(CORRUPTIONS) * len(SEVERITIES)
    assert {row["n"] for row in corrupted} == {2}
    assert len({row["mean"] for row in corrupted}) > 10


@pytest.mark.slow
def test_a_report_reads_back_as_it_was_written(report: tuple[Path, Path]) -> None:
    path = report[0] / "report.json"
    assert json.loads(Report.read(path).to_text()) == json.loads(path.read_text())


@pytest.mark.slow
def test_the_page_needs_no_other_file(report: tuple[Path, Path]) -> None:
    page = (report[0] / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert all(f'id="{name}"' in page for name in re.findall(r'href="#([^"]+)', page))
    assert "Research use only" in page
    assert page.count("<img") >= 2
    assert "Research use only" in (report[0] / "report.md").read_text()


def test_distances_are_in_mm_where_the_spacing_is_known() -> None:
    known = replace(scores([0.9])[0], spacing_mm=0.2)
    (row,) = summarise([known, *scores([0.95, 0.4])])
    assert row.hd95_mm is not None
    assert row.asd_mm is not None
    assert row.hd95_mm.mean == pytest.approx(0.2)
    assert row.asd_mm.mean == pytest.approx(0.1)
    assert (row.hd95_mm.n, row.dice.n, row.failed) == (1, 3, 1)
    assert summarise(scores([0.9]))[0].hd95_mm is None


@pytest.mark.slow
@pytest.mark.parametrize(("spacing", "side"), [((0.2, 0.2), 0.2), ((0.2, 0.3), None), (None, None)])
def test_a_film_whose_pixels_are_not_square_has_no_mm(
    tiny_model: Path, spacing: tuple[float, float] | None, side: float | None
) -> None:
    (film,) = scored_films(open_benchmark_data("phantom"), "test", 1)
    picture, outlines = film.load()
    segmenter = Segmenter.load(tiny_model, gate=False)
    found = score_regions(
        segmenter(picture).regions, "d", film, replace(picture, spacing_mm=spacing), truth_regions(outlines)
    )
    assert {score.spacing_mm for score in found} == {side}


@pytest.mark.slow
def test_scores_and_card_ride_in_the_model(report: tuple[Path, Path]) -> None:
    file = ModelFile.read(report[1])
    whole = next(s for s in file.manifest.scores if (s["region"], s["metric"]) == ("whole_lung", "dice"))
    assert whole["n"] == 3
    assert whole["low"] <= whole["mean"] <= whole["high"]
    assert f"{whole['mean']:.4f}" in file.card
    assert "Research use only" in file.card
    assert "## Robustness" in file.card
    assert file.card.count("| rotation (") == 1


@pytest.mark.slow
def test_latency_alone_needs_no_films(tiny_model: Path, tmp_path: Path) -> None:
    words = [str(tiny_model), "--repeats", "2", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(benchmark, words, catch_exceptions=False)
    assert json.loads(done.output)["models"][0]["scores"] == []
