"""A film that looks mirrored is detected by its heart; one-sided measurements are then withheld."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_seg import Film, Segmenter
from edge_seg.assessment.sides import DISAGREE, MIRRORED, heart_shift
from edge_seg.model_file import ModelFile
from edge_seg.orientation import Orientation
from edge_seg.segmenter import Segmentation
from edge_seg_data import open_dataset

NAMES = ("right_lung", "left_lung", "cardiomediastinum")


def mirrored(film: Film) -> Film:
    return replace(film, pixels=np.ascontiguousarray(film.pixels[:, ::-1]))


def is_unsure(result: Segmentation) -> bool:
    return result.quality.has(MIRRORED) or result.quality.has(DISAGREE)


def test_the_heart_is_seen_on_the_side_where_it_lies() -> None:
    logits = np.full((100, 100, 3), -10, np.float32)
    logits[10:90, 10:40, 0] = logits[10:90, 60:90, 1] = logits[50:90, 45:75, 2] = 10
    shift = heart_shift(logits, NAMES)
    assert shift is not None
    assert shift == pytest.approx(0.125, abs=0.01)
    assert heart_shift(logits[:, ::-1], ("left_lung", "right_lung", "cardiomediastinum")) == pytest.approx(-shift)
    assert heart_shift(logits[:, :, :2], NAMES[:2]) is None
    logits[:, :, 2] = -10
    assert heart_shift(logits, NAMES) is None


@pytest.mark.data
@pytest.mark.slow
def test_mirrored_films_of_adults_are_found_and_plain_ones_let_be(lungs: ModelFile, films_folder: Path) -> None:
    segmenter = Segmenter(lungs)
    films = [labelled.load()[0] for labelled in open_dataset(films_folder / "adult").split("test")]
    assert sum(is_unsure(segmenter(film)) for film in films) == 0
    found = [segmenter(mirrored(film)) for film in films]
    assert sum(is_unsure(result) for result in found) >= 0.9 * len(films)
    for result in found:
        if is_unsure(result):
            assert "right_lung" not in result.areas
            assert result.measurements.ratios["left_to_right_area"] is None


@pytest.mark.data
def test_where_header_and_picture_disagree_it_is_said(lungs: ModelFile, films_folder: Path) -> None:
    segmenter = Segmenter(lungs)
    film = open_dataset(films_folder / "adult").split("test")[0].load()[0]
    flip = Orientation(columns_reversed=True)
    right = segmenter(replace(mirrored(film), orientation=flip, orientation_known=True))
    plain = segmenter(film)
    assert not is_unsure(right)
    assert right.measurements == plain.measurements
    wrong = segmenter(replace(film, orientation=flip, orientation_known=True))
    assert wrong.quality.has(DISAGREE)
    assert any("numbers of one side withheld" in warning for warning in wrong.warnings)
    assert wrong.measurements.ratios["cardiothoracic"] is not None
