"""Every reader, on files laid out exactly as its set is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NoReturn

import cv2
import h5py
import numpy as np
import pytest
from edge_seg.datasets import open_dataset
from edge_seg.datasets.chest import lungs_by_side
from edge_seg.datasets.dataset import LabelledFilm, split_by_patient
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from hypothesis import given
from hypothesis import strategies as st


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture.astype(np.uint8) if picture.dtype == bool else picture)


def montgomery(folder: Path, count: int = 10) -> Path:
    for i in range(count):
        made = phantom(80, 72, seed=i)
        name = f"MCUCXR_{i:04d}_{i % 2}.png"
        save(folder / "CXR_png" / name, made.film.pixels)
        save(folder / "ManualMask" / "leftMask" / name, made.masks["left_lung"] * np.uint8(255))
        save(folder / "ManualMask" / "rightMask" / name, made.masks["right_lung"] * np.uint8(255))
    return folder


def pairs(folder: Path, suffix: str = "_mask", value: int = 255, count: int = 10) -> Path:
    for i in range(count):
        made = phantom(80, 72, seed=i)
        save(folder / "images" / f"CHNCXR_{i:04d}_0.png", made.film.pixels)
        whole = made.masks["left_lung"] | made.masks["right_lung"]
        save(folder / "masks" / f"CHNCXR_{i:04d}_0{suffix}.png", whole * np.uint8(value))
    return folder


def tumours(folder: Path, count: int = 12) -> Path:
    """MATLAB 7.3 files as figshare 1512427 has them: HDF5 with columns first and text as UTF-16 codes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(1, count + 1):
        image = rng.integers(0, 1500, (512, 512)).astype(np.int16)
        mask = np.zeros((512, 512), np.uint8)
        mask[100:160, 200:300] = 1
        image[100:160, 200:300] += 3000
        with h5py.File(folder / f"{i}.mat", "w") as file:
            data = file.create_group("cjdata")
            data["image"], data["tumorMask"] = image.T, mask.T
            data["label"] = np.array([[float(i % 3 + 1)]])
            data["PID"] = np.array([[ord(c)] for c in f"{100000 + i // 2}"], np.uint16)
            data["tumorBorder"] = np.zeros((1, 40))
    return folder


def test_montgomery(tmp_path: Path) -> None:
    dataset = open_dataset(montgomery(tmp_path / "MontgomerySet"))
    assert (dataset.layout, dataset.structures) == ("montgomery", ("right_lung", "left_lung"))
    film, outlines = dataset.films[3].load()
    np.testing.assert_array_equal(film.pixels, phantom(80, 72, seed=3).film.pixels)
    np.testing.assert_array_equal(outlines["left_lung"] == 1, phantom(80, 72, seed=3).masks["left_lung"])
    assert Counter(f.split for f in dataset.films) == {"train": 8, "val": 1, "test": 1}
    assert {f.attributes["finding"] for f in dataset.films} == {"normal", "tuberculosis"}


@pytest.mark.parametrize("suffix", ["", "_mask"])
@pytest.mark.parametrize("value", [1, 255])
def test_pairs_with_binary_masks(tmp_path: Path, suffix: str, value: int) -> None:
    dataset = open_dataset(pairs(tmp_path / "shenzhen", suffix, value))
    assert (dataset.layout, dataset.structures, len(dataset.films)) == ("pairs", ("object",), 10)
    _, outlines = dataset.films[0].load()
    made = phantom(80, 72, seed=0).masks
    np.testing.assert_array_equal(outlines["object"] == 1, made["left_lung"] | made["right_lung"])


def test_pairs_with_class_labels(tmp_path: Path) -> None:
    for i in range(4):
        labels = np.zeros((40, 50), np.uint8)
        labels[:10], labels[20:] = 1, 3
        save(tmp_path / "images" / f"{i}.jpg", labels * 60)
        save(tmp_path / "masks" / f"{i}.png", labels)
    assert open_dataset(tmp_path).structures == ("class_1", "class_2", "class_3")
    (tmp_path / "classes.txt").write_text("right lung\nleft lung\nheart\n")
    dataset = open_dataset(tmp_path)
    assert dataset.structures == ("right_lung", "left_lung", "heart")
    _, outlines = dataset.films[0].load()
    assert [int(outlines[name].sum()) for name in dataset.structures] == [500, 0, 1000]


def test_masks_that_are_neither_binary_nor_labels_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", np.zeros((40, 40), np.uint8))
    save(tmp_path / "masks" / "a.png", np.arange(1600, dtype=np.uint8).reshape(40, 40))
    with pytest.raises(InputError, match="neither a binary mask nor class labels"):
        open_dataset(tmp_path)


def test_brain_tumours(tmp_path: Path) -> None:
    dataset = open_dataset(tumours(tmp_path / "brain"))
    assert (dataset.layout, dataset.structures, len(dataset.films)) == ("brain-tumour", ("tumour",), 12)
    film, outlines = dataset.films[0].load()
    assert film.shape == (512, 512)
    assert film.pixels[120, 250] > 2000
    assert outlines["tumour"][120, 250] == 1
    assert outlines["tumour"].sum() == 60 * 100
    assert dataset.films[0].patient == "100000"
    assert {f.attributes["finding"] for f in dataset.films} == {"meningioma", "glioma", "pituitary_tumour"}


def unread() -> NoReturn:
    raise AssertionError("splitting reads no film")


@given(st.lists(st.integers(0, 40), min_size=3, max_size=120), st.randoms())
def test_no_patient_lies_in_two_splits_and_order_does_not_matter(patients: list[int], random) -> None:
    films = [LabelledFilm(str(i), f"p{p}", "", unread) for i, p in enumerate(patients)]
    split = split_by_patient(films)
    owners = {(f.patient, f.split) for f in split}
    assert len(owners) == len(set(patients))
    shuffled = films[:]
    random.shuffle(shuffled)
    assert {f.name: f.split for f in split_by_patient(shuffled)} == {f.name: f.split for f in split}
    if len(set(patients)) >= 3:
        counts = Counter(s for _, s in owners)
        assert counts["val"] == counts["test"] == max(1, round(len(set(patients)) / 10))


def test_lungs_are_told_apart_by_side_even_where_they_touch() -> None:
    mask = np.zeros((50, 100), np.uint8)
    mask[10:40, 10:40] = 1
    mask[5:45, 60:90] = 1
    apart = lungs_by_side(mask)
    assert (int(apart["right_lung"].sum()), int(apart["left_lung"].sum())) == (900, 1200)
    mask[20:22, 30:70] = 1
    joined = lungs_by_side(mask)
    assert joined["right_lung"][:, 55:].sum() == 0
    assert joined["left_lung"][:, :45].sum() == 0
    mask[0, :] = 127
    assert (lungs_by_side(mask)["left_lung"][0] == 127).all()


def test_squashed_films_get_their_aspect_back_and_ignored_pixels_stay(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", np.zeros((224, 224), np.uint8))
    mask = np.zeros((224, 224), np.uint8)
    mask[50:150, 20:90], mask[50:150, 130:200], mask[:10] = 255, 255, 127
    save(tmp_path / "masks" / "a.png", mask)
    (tmp_path / "index.csv").write_text(
        "stem,split,patient,finding,original_width,original_height,match_score\na,test,p,normal,2000,1000,5.0\n"
    )
    dataset = open_dataset(tmp_path)
    film, outlines = dataset.films[0].load()
    assert film.shape == (224, 448)
    assert (outlines["whole_lung"][:9] == 127).all()
    assert outlines["right_lung"].shape == film.shape
    assert not dataset.films[0].scored


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_what_is_no_data_set_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError):
        open_dataset(tmp_path / path)


@pytest.mark.data
def test_the_real_sets_have_the_films_that_they_should(films_folder: Path) -> None:
    counts = {
        name: Counter(f.split for f in open_dataset(films_folder / name).films)
        for name in ("paediatric", "adult", "visible-lung")
    }
    assert counts["paediatric"] == {"train": 3776, "val": 367, "test": 617}
    assert counts["adult"] == {"train": 37, "test": 24}
    assert counts["visible-lung"] == {"test": 22}
    for name in ("paediatric", "adult"):
        owners = {(f.patient, f.split) for f in open_dataset(films_folder / name).films}
        assert len(owners) == len({patient for patient, _ in owners})
