"""Films written as DICOM in many ways are the same film; a wrong header shows in the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Segmenter
from edge_seg.phantom import phantom
from edge_seg_lab import headers
from edge_seg_lab.headers import Row, Way, compare, twelve_bits


def test_every_way_to_write_a_film_is_counted(tiny_model: Path, tmp_path: Path) -> None:
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), phantom(121, 160, seed=seed).film.pixels)
    result = CliRunner().invoke(headers.main, [str(tmp_path), "--model", str(tiny_model), "--films", "2"])
    lines = result.output.splitlines()[2:]
    assert {line.split(" | ")[1] for line in lines} == {"2", "14"}
    assert len(lines) == 1 + 4 + 6 + 4
    assert lines[0].startswith("| turned | 14 | 14 | 1.0000 | 0.0000 | 1.0000 | 0.000 |")
    for line in lines:
        assert float(line.split(" | ")[3]) > (0.95 if "left out" in line else 0.97), result.output


def test_masks_that_do_not_follow_the_film_are_seen(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def left_lying(pixels: np.ndarray) -> Iterator[Way]:
        yield Way("turned", pixels[:, ::-1], {"PatientOrientation": ["R", "F"]})

    monkeypatch.setattr(headers, "turned", left_lying)
    rows: dict[str, Row] = {}
    compare(Segmenter.load(tiny_model, gate=False), twelve_bits(phantom(120, 160, seed=0).film), rows)
    assert rows["turned"].equal == 0
    assert rows["turned"].lowest_dice < 0.99


@pytest.mark.data
@pytest.mark.slow
def test_real_films_stay_the_same_film_however_they_are_written(films_folder: Path) -> None:
    result = CliRunner().invoke(headers.main, [str(films_folder / "adult" / "images"), "--films", "4"])
    assert result.exit_code == 0, result.output
    for line in result.output.splitlines()[2:]:
        kind, _, _, dice, from_best, in_place, ratio = (part.strip("| ") for part in line.split(" | "))
        assert float(ratio) <= 0.003, line
        if kind.endswith(("halved", "left out")):
            # Half of the film is lost there: masks of small films cannot be closer.
            assert float(from_best) <= 0.003, line
            assert float(in_place) >= 0.99, line
        else:
            assert float(dice) >= 0.995, line
            assert in_place == "1.0000", line
