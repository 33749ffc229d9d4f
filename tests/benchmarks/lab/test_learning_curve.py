"""The learning curve and the bad annotator, on a few phantoms."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg.adaptation.examples import Outlined
from edge_seg.phantom import phantom
from edge_seg_lab import bad_annotator, learning_curve
from edge_seg_lab.bad_annotator import WAYS, spoiled
from edge_seg_lab.learning_curve import corrected


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of visible lungs and hearts."""
    folder = tmp_path_factory.mktemp("films")
    rows = ["stem,patient,split"]
    for seed in range(9):
        made = phantom(96, 96, seed=seed)
        outside = ~made.masks["cardiomediastinum"]
        planes = {f"visible_{side}": made.masks[side] & outside for side in ("right_lung", "left_lung")}
        for name, plane in {"images": made.film.pixels, "heart": made.masks["heart"], **planes}.items():
            (folder / name).mkdir(exist_ok=True)
            scaled = plane if name == "images" else plane.astype(np.uint8) * 255
            cv2.imwrite(str(folder / name / f"film-{seed}.png"), scaled)
        rows.append(f"film-{seed},{seed},{'train' if seed < 3 else 'test'}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
def test_a_curve_is_made_once(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve, "COUNTS", (2,))
    monkeypatch.setattr("edge_seg.adaptation.learning._LOOKS", 2)
    monkeypatch.setattr("edge_seg.adaptation.learning._PASSES", 1)
    words = [str(films), "--model", "lungs-nano", "--out", str(tmp_path / "rows"), "--seeds", "1"]
    first, second = (CliRunner().invoke(learning_curve.main, words, standalone_mode=False) for _ in range(2))
    assert first.exception is None
    assert "| heart | 2 | " in first.output
    assert first.output == second.output
    assert len(list((tmp_path / "rows").iterdir())) == 3


@pytest.mark.slow
def test_a_bad_annotator_is_told_of_in_a_table(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_annotator, "WAYS", {"shifted": WAYS["shifted"]})
    monkeypatch.setattr("edge_seg.adaptation.learning._LOOKS", 2)
    monkeypatch.setattr("edge_seg.adaptation.learning._PASSES", 1)
    ran = CliRunner().invoke(bad_annotator.main, [str(films), "--model", "lungs-nano"], standalone_mode=False)
    assert ran.exception is None
    assert ran.output.count("| no |") == 4


def test_the_annotator_shows_what_the_data_set_says_and_leaves_the_rest() -> None:
    made = phantom(128, 128, seed=1)
    masks, shadow = made.masks, made.masks["cardiomediastinum"]
    truth = {f"visible_{side}": masks[side] & ~shadow for side in ("right_lung", "left_lung")}
    found = {name: np.roll(mask, 5, axis=1) for name, mask in masks.items()}

    put_right = corrected(found, {**truth, "heart": masks["heart"]})

    for side in ("right_lung", "left_lung"):
        shown = put_right[side] & ~put_right["cardiomediastinum"]
        assert np.array_equal(shown, truth[f"visible_{side}"])
    assert np.array_equal(put_right["heart"], masks["heart"])
    behind = put_right["right_lung"] & put_right["cardiomediastinum"]
    assert behind.any()
    assert np.array_equal(corrected(masks, masks)["left_lung"], masks["left_lung"])


@pytest.mark.parametrize("name", WAYS)
def test_wrong_outlines_are_wrong(name: str) -> None:
    made = phantom(128, 128, seed=1)
    film = Outlined("one", "p", made.film, made.masks)
    wrong = spoiled(film, WAYS[name]).outlines
    assert wrong.keys() == made.masks.keys()
    assert all(not np.array_equal(wrong[side], made.masks[side]) for side in ("right_lung", "left_lung"))
