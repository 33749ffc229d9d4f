"""Known failures: the corruptions that cost most, pictured on the phantom only, stored in the model file."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Segmenter
from edge_seg.assessment.trust import Calibration
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg_benchmarks.accuracy.failures import KnownFailure, worst_failures
from edge_seg_benchmarks.accuracy.film_gate import Passed
from edge_seg_benchmarks.accuracy.films import open_benchmark_data
from edge_seg_benchmarks.accuracy.robustness import CorruptedScore, score_corrupted
from edge_seg_benchmarks.benchmark import Settings, run_benchmark
from edge_seg_benchmarks.command import benchmark
from edge_seg_benchmarks.report.failures import draw_failure
from edge_seg_benchmarks.schema import Report
from edge_seg_data.corruptions import CORRUPTIONS

CALIBRATION = Calibration(("soft_dice", "coverage"), (2.0, -1.0), (1.0, 1.0), (0.5, 0.2), 0.4, {"films": 0})


def score(film: str, corruption: str, severity: int, dice: float) -> CorruptedScore:
    dose = {c.name: (0.0, *c.doses) for c in CORRUPTIONS}.get(corruption, (0.0,))[severity]
    return CorruptedScore("phantom", "test", film, film, "whole_lung", corruption, severity, float(dose), dice, None)


def test_the_worst_dose_of_each_of_the_worst_corruptions_is_found() -> None:
    found = worst_failures(
        [
            score("a", "none", 0, 0.1),
            score("a", "rotation", 5, 0.5),
            score("b", "rotation", 5, 0.3),
            score("a", "rotation", 4, 0.45),
            score("b", "rotation", 4, 0.45),
            score("a", "text", 5, 0.6),
            score("a", "blur", 2, 0.2),
            score("b", "blur", 2, 0.4),
            score("a", "gamma", 1, 0.9),
            replace(score("a", "noise", 1, 0.0), region="right_lung"),
        ]
    )
    assert [(f.corruption, f.severity, f.dose, f.film, f.dice, f.n) for f in found] == [
        ("blur", 2, 0.006, "a", 0.2, 2),
        ("rotation", 5, 40, "b", 0.3, 2),
        ("text", 5, 150, "a", 0.6, 1),
    ]
    assert found[1].mean == pytest.approx(0.4)
    assert worst_failures([]) == []


@pytest.mark.slow
def test_a_picture_of_a_failure_is_small_and_shows_both_outlines(lungs: ModelFile) -> None:
    segmenter, phantoms = Segmenter(lungs, gate=False), open_benchmark_data("phantom")
    # Text over the widest film is the hardest to compress.
    for film, corruption in (("phantom-2", "text"), ("phantom-0", "rotation"), ("phantom-1", "noise")):
        png = draw_failure(segmenter, phantoms, KnownFailure(film, corruption, "", 5, 0.0, 0.0, 0.0, 1))
        assert len(png) <= 15_000
        assert b"synthetic film; Research use only, not for diagnosis" in png
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape[0] == 168
        for colour in ((120, 220, 120), (60, 140, 255)):
            assert np.all(picture == colour, axis=2).sum() > 50


@pytest.fixture(scope="module")
def written(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Report folder and model of a run with calibration, gate and robustness."""
    folder = tmp_path_factory.mktemp("failures")
    file = ModelFile.read(tiny_model)
    manifest = replace(file.manifest, expects="chest", trust=CALIBRATION.to_json())
    model = folder / "gated.tflite"
    old = {"failure-9.png": b"of an earlier run", "labels.txt": b"lung"}
    model.write_bytes(replace(file, manifest=manifest, associated=old).to_bytes())
    others = folder / "others"
    others.mkdir()
    cv2.imwrite(str(others / "chest.png"), phantom(400, 360, seed=0).film.pixels)
    cv2.imwrite(str(others / "grey.png"), np.full((300, 300), 90, np.uint8))
    words = [str(model), "--data", "phantom", "--limit", "3", "--repeats", "2", "--no-peak", "--robustness", "2", "-q"]
    words += ["--should-reject", str(others), "--write-scores", "--out", str(folder / "out")]
    done = CliRunner().invoke(benchmark, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder / "out", model


@pytest.mark.slow
def test_the_card_links_pictures_that_ride_beside_it(written: tuple[Path, Path]) -> None:
    file, entry = ModelFile.read(written[1]), Report.read(written[0] / "report.json").models[0]
    linked = re.findall(r"!\[.*\]\((.*)\)", file.card)
    assert linked == ["failure-1.png", "failure-2.png", "failure-3.png"]
    assert set(file.associated) == {"labels.txt", *linked}
    with zipfile.ZipFile(written[1]) as archive:
        assert set(linked) < set(archive.namelist())
    for name, failure in zip(linked, entry.failures, strict=True):
        assert failure.film.startswith("phantom-")
        said = f"`{name}`: {failure.corruption} ({failure.title}), dose {failure.dose:g}: whole-lung Dice "
        assert said + f"{failure.dice:.3f} on this film, {failure.mean:.3f} mean of 2" in file.card
        assert len(file.associated[name]) <= 15_000


@pytest.mark.slow
def test_a_failure_has_the_dice_that_the_table_says(written: tuple[Path, Path]) -> None:
    (entry,) = Report.read(written[0] / "report.json").models
    for failure in entry.failures:
        of_region = [row for row in entry.robustness if row.region == "whole_lung"]
        same = [r for r in of_region if (r.corruption, r.severity) == (failure.corruption, failure.severity)]
        assert [row.mean for row in same] == [failure.mean]
    worst = min(r.mean for r in entry.robustness if r.region == "whole_lung" and r.corruption != "none")
    assert entry.failures[0].mean == worst


@pytest.mark.slow
def test_trust_and_gate_are_in_every_report(written: tuple[Path, Path]) -> None:
    out, model = written
    report, card = Report.read(out / "report.json"), ModelFile.read(model).card
    trust, film_gate = report.models[0].trust, report.models[0].film_gate
    assert trust is not None
    assert film_gate is not None
    assert len(trust.pairs) == trust.datasets[0].with_corruptions == 3 + 2 * 5 * len(CORRUPTIONS)
    assert (out / "trust.png").read_bytes().startswith(b"\x89PNG")
    assert film_gate.datasets[0].accept == 3
    assert film_gate.should_reject[0].passed == (Passed("chest.png", "accept"),)
    assert report.command.endswith("--should-reject others --no-peak --out report")
    markdown, page = (out / "report.md").read_text(), (out / "report.html").read_text()
    assert "](trust.png)" in markdown
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for text in (markdown, page, card):
        assert f"{trust.datasets[0].mean_absolute_error:.3f}" in text
        assert "chest.png (accept)" in text
        assert "blank 1" in text
        assert str(out.parent) not in text
    assert "## Trust" in card
    assert "## Film gate" in card
    assert str(out.parent) not in report.to_text()


@pytest.mark.slow
def test_without_robustness_calibration_or_gate_nothing_is_said_of_them(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "plain.tflite"
    model.write_bytes(
        replace(ModelFile.read(tiny_model), associated={"failure-1.png": b"of an earlier run"}).to_bytes()
    )
    words = [str(model), "--data", "phantom", "--limit", "1", "--repeats", "1", "--no-peak", "-q", "--write-scores"]
    done = CliRunner().invoke(benchmark, [*words, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (entry,), file = Report.read(tmp_path / "out" / "report.json").models, ModelFile.read(model)
    assert (entry.trust, entry.film_gate, entry.failures) == (None, None, ())
    assert not (tmp_path / "out" / "trust.png").exists()
    for text in (
        file.card,
        (tmp_path / "out" / "report.md").read_text(),
        (tmp_path / "out" / "report.html").read_text(),
    ):
        assert not re.search("Trust|Known failures|Film gate", text)
    assert file.associated == {}


@pytest.mark.slow
def test_films_of_a_folder_called_phantom_are_never_pictured(tiny_model: Path) -> None:
    models = [ModelFile.read(tiny_model)]
    for layout, pictured in (("phantom", 3), ("chest", 0)):
        named = replace(open_benchmark_data("phantom"), layout=layout)
        report = run_benchmark(models, [named], Settings(limit=1, repeats=1, robustness=1, peak=False))
        assert len(report.models[-1].failures) == pictured


@pytest.mark.slow
def test_an_uncalibrated_model_gives_scores_without_estimates(tiny_model: Path) -> None:
    segmenter = Segmenter.load(tiny_model, gate=False)
    found = score_corrupted(segmenter, open_benchmark_data("phantom"), "test", 1, lambda text: None)
    assert {s.estimate for s in found} == {None}
    assert len({(s.corruption, s.severity) for s in found}) == 1 + 5 * len(CORRUPTIONS)
