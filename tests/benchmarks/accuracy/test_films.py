"""Data sets as a benchmark opens them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from edge_seg import Segmenter
from edge_seg.phantom import phantom
from edge_seg_benchmarks.accuracy.films import open_benchmark_data
from edge_seg_benchmarks.accuracy.scores import score_film
from edge_seg_data import open_dataset


def test_sides_that_are_visible_lungs_are_scored_as_visible_lungs(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "MontgomerySet"
    for number in range(3):
        made = phantom(80, 72, seed=number)
        shown = {side: made.masks[f"{side}_lung"] * np.uint8(255) for side in ("left", "right")}
        planes = {"CXR_png": made.film.pixels, **{f"ManualMask/{side}Mask": plane for side, plane in shown.items()}}
        for name, plane in planes.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / name / f"MCUCXR_{number:04d}_0.png"), plane)
    dataset = open_benchmark_data(str(folder))
    assert dataset.structures == ("visible_right_lung", "visible_left_lung", "visible_lung")
    film, first = dataset.films[0], phantom(80, 72, seed=0).masks
    outlines = film.load()[1]
    assert set(outlines) == set(dataset.structures)
    np.testing.assert_array_equal(outlines["visible_right_lung"] == 1, first["right_lung"])
    np.testing.assert_array_equal(outlines["visible_lung"] == 1, first["right_lung"] | first["left_lung"])
    scores = score_film(Segmenter.load(tiny_model, gate=False), dataset.name, film)
    assert [score.region for score in scores] == ["visible_lung"]
    # Training still learns the sides.
    assert open_dataset(folder).structures == ("right_lung", "left_lung")
