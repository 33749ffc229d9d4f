"""The synthetic brain slices: the real file's layout, deterministic, and no threshold finds the tumours."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg_data import open_dataset
from edge_seg_data.phantom.brain import GLIOMA, MENINGIOMA, PITUITARY, brain_slice
from edge_seg_data.phantom.brain_set import main
from edge_seg_data.scores import dice


def test_the_same_arguments_give_the_same_slice_and_others_another() -> None:
    first, again = brain_slice(4, 0.3, seed=2), brain_slice(4, 0.3, seed=2)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    for other in (brain_slice(4, 0.4, seed=2), brain_slice(7, 0.3, seed=2), brain_slice(4, 0.3)):
        assert (first.image != other.image).any()
        assert (first.mask != other.mask).any()


@pytest.mark.parametrize("patient", range(9))
def test_every_slice_has_one_tumour_inside_the_skull_with_its_border(patient: int) -> None:
    made = brain_slice(patient, 0.5)
    assert made.image.dtype == np.int16
    assert made.image.shape == made.mask.shape == (512, 512)
    assert made.image.min() == 0
    assert made.kind == (MENINGIOMA, GLIOMA, PITUITARY)[patient % 3]
    assert cv2.connectedComponents(made.mask.astype(np.uint8))[0] == 2
    assert 300 < made.mask.sum() < 25_000
    drawn = cv2.fillPoly(np.zeros((512, 512), np.uint8), [np.rint(made.border).astype(np.int32)], 1)
    assert dice(made.mask, drawn == 1) > 0.9


@pytest.mark.slow
def test_slices_of_a_patient_resemble_each_other() -> None:
    def alike(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(cv2.GaussianBlur(a, (0, 0), 3).ravel(), cv2.GaussianBlur(b, (0, 0), 3).ravel())[0, 1])

    for patient in range(3):
        image = brain_slice(patient, 0.0).image
        strangers = [alike(image, brain_slice(other, 0.0).image) for other in range(3, 9)]
        assert alike(image, brain_slice(patient, 0.3).image) > max(strangers)


@pytest.mark.slow
def test_no_threshold_finds_the_tumours() -> None:
    films = [brain_slice(patient) for patient in range(12)]
    shares = np.linspace(0, 1, 40)
    found = [
        np.mean([dice(film.mask, film.image > share * np.percentile(film.image, 99.9)) for film in films])
        for share in shares
    ]
    assert max(found) < 0.35


@pytest.mark.slow
def test_the_files_are_matlabs_with_every_field_of_the_real_set(tmp_path: Path) -> None:
    out = tmp_path / "brains"
    arguments = [str(out), "--films", "5", "--patients", "2", "--seed", "3"]
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{i}.mat" for i in range(1, 6)]
    assert (out / "1.mat").read_bytes()[:20] == b"MATLAB 7.3 MAT-file,"
    with h5py.File(out / "4.mat") as file:
        data = {name: np.asarray(values) for name, values in file["cjdata"].items()}
    made = brain_slice(1, -0.8, seed=3)
    assert data.keys() == {"PID", "image", "label", "tumorBorder", "tumorMask"}
    assert data["image"].dtype == np.int16
    np.testing.assert_array_equal(data["image"].T, made.image)
    np.testing.assert_array_equal(data["tumorMask"].T, made.mask)
    assert data["label"] == made.kind
    assert "".join(chr(code) for code in data["PID"].ravel()) == "100001"
    np.testing.assert_allclose(data["tumorBorder"].reshape(-1, 2), made.border)
    before = (out / "1.mat").read_bytes()
    CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert (out / "1.mat").read_bytes() == before
    assert [film.patient for film in open_dataset(out).films] == ["100000"] * 3 + ["100001"] * 2


def test_more_patients_than_films_are_refused(tmp_path: Path) -> None:
    refused = CliRunner().invoke(main, [str(tmp_path), "--films", "2", "--patients", "3"])
    assert refused.exit_code != 0
    assert "give every patient a film" in refused.output
