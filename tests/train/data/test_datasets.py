"""Every reader, on files laid out exactly as its set is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NoReturn

import cv2
import h5py
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg.sources import read_film as read_device_film
from edge_seg_data import open_dataset
from edge_seg_data.dataset import Dataset, LabelledFilm
from edge_seg_data.phantom.brain import brain_slice
from edge_seg_data.phantom.brain_set import write_brain_set
from edge_seg_data.splits import held_out, split_by_patient
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
    """Two slices of each patient."""
    write_brain_set(folder, count, max(1, count // 2))
    return folder


def test_montgomery(tmp_path: Path) -> None:
    dataset = open_dataset(montgomery(tmp_path / "MontgomerySet"))
    assert (dataset.layout, dataset.structures) == ("montgomery", ("right_lung", "left_lung"))
    film, outlines = dataset.films[3].load()
    np.testing.assert_array_equal(film.pixels, phantom(80, 72, seed=3).film.pixels)
    np.testing.assert_array_equal(outlines["left_lung"] == 1, phantom(80, 72, seed=3).masks["left_lung"])
    assert {f.split for f in dataset.films} == {"train", "val", "test"}
    assert {f.attributes["finding"] for f in dataset.films} == {"normal", "tuberculosis"}


@pytest.mark.parametrize("suffix", ["", "_mask"])
@pytest.mark.parametrize("value", [1, 255])
def test_pairs_with_binary_masks(tmp_path: Path, suffix: str, value: int) -> None:
    dataset = open_dataset(pairs(tmp_path / "shenzhen", suffix, value))
    assert (dataset.layout, dataset.structures, len(dataset.films)) == ("pairs", ("object",), 10)
    _, outlines = dataset.films[0].load()
    made = phantom(80, 72, seed=0).masks
    np.testing.assert_array_equal(outlines["object"] == 1, made["left_lung"] | made["right_lung"])


def test_films_are_decoded_as_on_the_device(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save(tmp_path / "images" / "a.png", rng.integers(0, 65536, (40, 50, 4)).astype(np.uint16))
    save(tmp_path / "images" / "b.jpg", rng.integers(0, 256, (40, 50, 3)).astype(np.uint8))
    for name in "ab":
        save(tmp_path / "masks" / f"{name}.png", np.eye(40, 50, dtype=np.uint8))
    for film in open_dataset(tmp_path).films:
        path = next((tmp_path / "images").glob(f"{film.name}.*"))
        np.testing.assert_array_equal(film.load()[0].pixels, read_device_film(path).pixels)


@pytest.mark.slow
def test_brain_tumours(tmp_path: Path) -> None:
    dataset = open_dataset(tumours(tmp_path / "brain"))
    assert (dataset.layout, dataset.structures, len(dataset.films)) == ("brain-tumour", ("tumour",), 12)
    film, outlines = dataset.films[0].load()
    made = brain_slice(0, -0.8)
    np.testing.assert_array_equal(film.pixels, made.image)
    np.testing.assert_array_equal(outlines["tumour"] == 1, made.mask)
    assert [f.patient for f in dataset.films] == [f"{100_000 + i // 2}" for i in range(12)]
    assert {f.attributes["finding"] for f in dataset.films} == {"meningioma", "glioma", "pituitary_tumour"}
    assert {f.split for f in dataset.films} == {"train", "val", "test"}


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
        assert {split for _, split in owners} >= {"train", "val"}
        assert {split for _, split in owners} == {"train", "val", "test"} or len(set(patients)) < 6


def test_each_patient_to_train_on_is_held_out_once_over_all_parts() -> None:
    films = split_by_patient(LabelledFilm(str(i), f"p{i // 2}", "", unread) for i in range(400))
    whole = Dataset("set", "pairs", ("heart",), films)
    parts = [held_out(whole, part, 3) for part in range(3)]
    trained = {film.name for film in whole.split("train")}
    new = [{film.name for film in part.split("val")} & trained for part in parts]
    assert set.union(*new) == trained
    assert sum(map(len, new)) == len(trained)
    assert min(map(len, new)) > 0.2 * len(trained)
    # A second call, as when a run resumes with its stored splits, holds out no more.
    assert held_out(parts[0], 0, 3) == parts[0]
    for part in parts:
        assert part.split("test") == whole.split("test")
        assert not {film.patient for film in part.split("train")} & {film.patient for film in part.split("val")}


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


def test_outlines_per_structure_are_partial_and_what_is_no_picture_is_passed_over(tmp_path: Path) -> None:
    for i in range(4):
        made = phantom(80, 72, seed=i)
        save(tmp_path / "images" / f"{i}.jpg", made.film.pixels)
        save(tmp_path / "right_lung" / f"{i}.png", made.masks["right_lung"] * np.uint8(255))
        if i:
            save(tmp_path / "cardiomediastinum" / f"{i}.png", made.masks["cardiomediastinum"] * np.uint8(255))
    for name in ("Thumbs.db", ".DS_Store", "._0.png"):
        (tmp_path / "images" / name).write_bytes(b"no picture")
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "chest"
    assert [set(film.load()[1]) for film in dataset.films] == [
        {"right_lung"}, *[{"right_lung", "cardiomediastinum"}] * 3,
    ]  # fmt: skip


def test_a_mask_of_both_lungs_beside_the_sides_says_what_to_ignore(tmp_path: Path) -> None:
    made = phantom(80, 72, seed=1)
    whole = (made.masks["right_lung"] | made.masks["left_lung"]) * np.uint8(255)
    whole[30:40] = 127
    for name, picture in {"images": made.film.pixels, "masks": whole}.items():
        save(tmp_path / name / "a.png", picture)
    for name in ("right_lung", "left_lung"):
        save(tmp_path / name / "a.png", made.masks[name] * np.uint8(255))
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.structures) == ("chest", ("right_lung", "left_lung"))
    outlines = dataset.films[0].load()[1]
    assert all((outlines[name][30:40] == 127).all() for name in ("right_lung", "left_lung", "whole_lung"))
    np.testing.assert_array_equal(outlines["left_lung"][40:] == 1, made.masks["left_lung"][40:])


def test_visible_lungs_with_a_heart_and_films_whose_aspect_is_known_or_not(tmp_path: Path) -> None:
    made = phantom(80, 80, seed=2)
    shadow = made.masks["cardiomediastinum"]
    shown = {
        "visible_right_lung": made.masks["right_lung"] & ~shadow,
        "visible_left_lung": made.masks["left_lung"] & ~shadow,
        "heart": shadow & (np.arange(80)[:, None] > 40),
    }
    masks = {**shown, "masks": shown["visible_right_lung"] | shown["visible_left_lung"]}
    hospital, town = tmp_path / "adult-visible" / "hospital", tmp_path / "adult-visible" / "town"
    for folder, names in ((hospital, list(masks)), (town, ["masks"])):
        for shift, stem in enumerate("ab"):
            save(folder / "images" / f"{stem}.png", np.roll(made.film.pixels, shift))
            for name in names:
                save(folder / name / f"{stem}.png", masks[name] * np.uint8(255))
        (folder / "index.csv").write_text(
            "stem,split,original_width,original_height,aspect_known\na,train,2000,1000,1\nb,val,512,512,0\n"
        )
    dataset = open_dataset(hospital)
    assert (dataset.layout, set(dataset.structures)) == ("chest", {*shown, "visible_lung"})
    for found in (dataset, open_dataset(town)):
        wide, squashed = found.films
        assert (wide.aspect_known, squashed.aspect_known) == (True, False)
        assert [film.load()[0].shape for film in found.films] == [(80, 160), (80, 80)]
        outline = squashed.load()[1]["visible_lung"] == 1
        np.testing.assert_array_equal(outline, masks["masks"])
    assert (open_dataset(town).layout, open_dataset(town).structures) == ("visible-lung", ("visible_lung",))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a,other,p,1,1,5", "line 2 has the split other"),
        ("a,train,p,1,1,good", "line 2 has the match_score good"),
        ("a,train,p,0,1,5", "line 2 has the original_width 0"),
        (",train,p,1,1,5", "line 2 names no film"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, row: str, complaint: str) -> None:
    for part in ("images", "masks"):
        save(tmp_path / part / "a.png", np.zeros((40, 40), np.uint8))
    (tmp_path / "index.csv").write_text(f"stem,split,patient,original_width,original_height,match_score\n{row}\n")
    with pytest.raises(InputError, match=complaint):
        open_dataset(tmp_path)


def test_broken_files_are_named(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "pairs", count=3)
    image = folder / "images" / "CHNCXR_0001_0.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(InputError, match=r"CHNCXR_0001_0\.png: .*cut off"):
        open_dataset(folder).films[1].load()
    folder = pairs(tmp_path / "more", count=3)
    (folder / "masks" / "CHNCXR_0002_0_mask.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"CHNCXR_0002_0_mask\.png: not a picture"):
        open_dataset(folder)
    whole = montgomery(tmp_path / "montgomery", count=3)
    film = open_dataset(whole).films[0]
    (whole / "ManualMask" / "leftMask" / film.name).with_suffix(".png").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        film.load()
    assert len(open_dataset(whole).films) == 2
    scans = tumours(tmp_path / "tumours", count=3)
    with h5py.File(scans / "2.mat", "a") as file:
        del file["cjdata/PID"]
    with pytest.raises(InputError, match=r"2\.mat: not a file of the brain-tumour set"):
        open_dataset(scans)
    (scans / "2.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(InputError, match=r"2\.mat: not a file of the brain-tumour set"):
        open_dataset(scans)


def test_a_layout_can_be_named(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "visible-lung", suffix="", count=3)
    assert open_dataset(folder).layout == "visible-lung"
    assert open_dataset(f"pairs={folder}").layout == "pairs"
    with pytest.raises(InputError, match="no layout is called other"):
        open_dataset(folder, "other")


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
