"""Ratios of predicted and true outlines, on figures that can be checked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_seg import Segmenter
from edge_seg.film import Film
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.accuracy.agreement import (
    RatioPair,
    _compare_film,
    compare_ratios,
    measure_agreement,
    summarise_agreement,
    true_measurements,
)
from edge_seg_benchmarks.accuracy.films import open_benchmark_data
from edge_seg_data import LabelledFilm, open_dataset


def chest(heart: int) -> dict[str, np.ndarray]:
    """Lungs that span 80 of 100 columns, and a heart `heart` columns wide."""
    planes = {name: np.zeros((50, 100), np.uint8) for name in ("right_lung", "left_lung", "cardiomediastinum")}
    planes["right_lung"][:, 10:40] = 1
    planes["left_lung"][:, 60:90] = 1
    planes["cardiomediastinum"][20:, 50 - heart // 2 : 50 + heart // 2] = 1
    return planes


def pair(true: float, predicted: float | None, patient: str = "a") -> RatioPair:
    return RatioPair("film", patient, "cardiothoracic", true, predicted)


def test_ratios_are_compared_by_name_and_withheld_ones_are_kept() -> None:
    film = Film(np.zeros((50, 100), np.uint8), source="made")
    true = true_measurements(chest(40), film)
    assert true.ratios["cardiothoracic"] == 0.5
    found = {p.ratio: p for p in compare_ratios("f", "p", true, true_measurements(chest(32), film))}
    assert (found["cardiothoracic"].true, found["cardiothoracic"].predicted) == (0.5, 0.4)
    nothing = true_measurements(chest(0), film)
    withheld = {p.ratio: p.predicted for p in compare_ratios("f", "p", true, nothing)}
    assert withheld == {"left_to_right_area": 1.0, "cardiothoracic": None}
    # A ratio that the truth lacks cannot be compared.
    assert [p.ratio for p in compare_ratios("f", "p", nothing, true)] == ["left_to_right_area"]


def test_summary_by_hand() -> None:
    row = summarise_agreement(
        "d", "test", [pair(0.5, 0.52), pair(0.4, 0.38, "b"), pair(0.45, 0.48, "c"), pair(0.5, None, "d")]
    )
    assert row.withheld == 1
    assert row.absolute_difference is not None
    assert row.bias is not None
    assert row.absolute_difference.mean == pytest.approx(0.07 / 3)
    assert row.bias.mean == pytest.approx(0.01)
    assert (row.bias.n, row.bias.patients) == (3, 3)
    reach = 1.96 * np.std([0.02, -0.02, 0.03], ddof=1)
    assert row.limits == pytest.approx([0.01 - reach, 0.01 + reach])


def test_a_ratio_that_is_always_withheld_has_no_figures() -> None:
    row = summarise_agreement("d", "test", [pair(0.5, None), pair(0.4, None)])
    assert (row.absolute_difference, row.bias, row.limits, row.withheld) == (None, None, None, 2)


@pytest.mark.slow
def test_the_phantom_is_measured_and_its_limit_kept(lungs: ModelFile) -> None:
    rows = measure_agreement(
        Segmenter(lungs, gate=False), [open_benchmark_data("phantom")], "test", 4, lambda text: None
    )
    assert {row.ratio for row in rows} == {"left_to_right_area", "cardiothoracic"}
    assert all(len(row.films) == 4 for row in rows)
    ratio = next(row for row in rows if row.ratio == "cardiothoracic")
    assert ratio.absolute_difference is not None
    assert ratio.absolute_difference.mean < 0.1


def test_visible_lungs_and_a_heart_are_measured_as_they_are_outlined() -> None:
    film = Film(np.zeros((50, 100), np.uint8), source="made")
    whole = chest(40)
    outlines = {
        "visible_right_lung": whole["right_lung"] & ~whole["cardiomediastinum"] & 1,
        "visible_left_lung": whole["left_lung"] & ~whole["cardiomediastinum"] & 1,
        "heart": chest(24)["cardiomediastinum"],
    }
    masks = {**{name: plane == 1 for name, plane in whole.items()}, "heart": chest(32)["cardiomediastinum"] == 1}
    labelled = LabelledFilm("f", "p", "test", lambda: (film, outlines))
    found = {p.ratio: (p.true, p.predicted) for p in _compare_film(labelled, film, outlines, masks)}
    assert found == {"left_to_right_area": (1.0, 1.0), "cardiothoracic": (0.3, 0.4)}
    without = {name: mask for name, mask in masks.items() if name != "heart"}
    assert _compare_film(labelled, film, outlines, without) == []


def test_a_model_that_outlines_a_heart_without_both_lungs_has_no_ratios() -> None:
    film, outlines = Film(np.zeros((50, 100), np.uint8), source="made"), chest(40)
    labelled = LabelledFilm("f", "p", "test", lambda: (film, outlines))
    assert _compare_film(labelled, film, outlines, {"cardiomediastinum": outlines["cardiomediastinum"] == 1}) == []


def test_sets_that_outline_less_are_passed_over(lungs: ModelFile, films_folder: Path) -> None:
    segmenter = Segmenter(lungs, gate=False)
    assert (
        measure_agreement(segmenter, [open_dataset(films_folder / "visible-lung")], "test", 2, lambda text: None) == []
    )
