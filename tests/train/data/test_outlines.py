"""What the values of a mask mean, how masks are aligned with films, and which lung is which."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.orientation import Orientation
from edge_seg.phantom import phantom
from edge_seg_data import Options, open_dataset
from edge_seg_data.chest import finish_whole, lungs_by_side
from edge_seg_data.dataset import fit_outlines
from edge_seg_data.index import IndexRow
from edge_seg_data.scores import dice
from hypothesis import given, settings
from hypothesis import strategies as st


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


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


@pytest.mark.parametrize(("inside", "ignored"), [(1, 127), (127, None), (2, None), (40000, None), (255, None)])
def test_a_binary_set_may_have_any_value_and_pixels_to_ignore(tmp_path: Path, inside: int, ignored: int | None) -> None:
    for i in range(3):
        mask = np.zeros((40, 50), np.uint16 if inside > 255 else np.uint8)
        mask[:10] = inside
        if ignored and i:
            mask[20:25] = ignored
        if i == 2:
            mask[:10] = 0  # nothing inside: only the rest of the set shows what 127 means
        save(tmp_path / "images" / f"{i}.png", np.zeros((40, 50), np.uint8))
        save(tmp_path / "masks" / f"{i}.png", mask)
    outlines = [film.load()[1] for film in open_dataset(tmp_path).films]
    assert [set(o) for o in outlines] == [{"object"}] * 3
    assert [int((o["object"] == 1).sum()) for o in outlines] == [500, 500, 0]
    assert [int((o["object"] == 127).sum()) for o in outlines] == [0, *([250, 250] if ignored else [0, 0])]


def test_classes_keep_their_numbers_in_masks_that_hold_one_of_them(tmp_path: Path) -> None:
    for i, classes in enumerate([(1, 2, 3), (2,), (3,), (127, 1)]):
        labels = np.zeros((40, 50), np.uint8)
        for row, value in enumerate(classes):
            labels[10 * row : 10 * row + 10] = value
        save(tmp_path / "images" / f"{i}.png", labels)
        save(tmp_path / "masks" / f"{i}.png", labels)
    outlines = [film.load()[1] for film in open_dataset(tmp_path).films]
    held = [[name for name, plane in o.items() if (plane == 1).any()] for o in outlines]
    assert held == [["class_1", "class_2", "class_3"], ["class_2"], ["class_3"], ["class_1"]]
    assert all((plane[:10] == 127).all() for plane in outlines[3].values())


def test_one_value_is_a_class_number_where_the_classes_are_named(tmp_path: Path) -> None:
    labels = np.zeros((40, 50), np.uint8)
    labels[:10] = 2
    save(tmp_path / "images" / "a.png", labels)
    save(tmp_path / "masks" / "a.png", labels)
    (tmp_path / "classes.txt").write_text("lung\nheart\n")
    _, outlines = open_dataset(tmp_path).films[0].load()
    assert {name: int(plane.sum()) for name, plane in outlines.items()} == {"lung": 0, "heart": 500}
    labels[:5] = 3
    save(tmp_path / "masks" / "a.png", labels)
    with pytest.raises(InputError, match="2 names for 3 classes"):
        open_dataset(tmp_path)


def test_jpeg_masks_lose_their_fringes(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    cv2.circle(mask, (32, 32), 20, 255, -1)
    save(tmp_path / "images" / "a.jpg", mask)
    save(tmp_path / "masks" / "a_mask.jpg", mask)
    _, outlines = open_dataset(tmp_path).films[0].load()
    assert set(np.unique(outlines["object"])) == {0, 1}
    assert np.count_nonzero((outlines["object"] == 1) != (mask > 0)) < 20


def test_masks_of_another_size_are_fitted_and_turned_ones_refused(tmp_path: Path) -> None:
    for name, shape in (("a", (60, 80)), ("b", (60, 80)), ("c", (60, 80))):
        save(tmp_path / "images" / f"{name}.png", np.zeros(shape, np.uint8))
    half = np.zeros((30, 40), np.uint8)
    half[:15] = 255
    save(tmp_path / "masks" / "a.png", half)
    save(tmp_path / "masks" / "b.png", np.zeros((80, 60), np.uint8))
    with pytest.raises(InputError, match=r"b\.png: the mask lies on its side"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, options=Options(skip_bad=True))
    assert [film.name for film in dataset.films] == ["a"]
    film, outlines = dataset.films[0].load()
    assert outlines["object"].shape == film.shape == (60, 80)
    assert outlines["object"][:30].all()
    assert not outlines["object"][30:].any()
    with pytest.raises(InputError, match="lies on its side"):
        fit_outlines(film, {"object": np.zeros((80, 60), np.uint8)})


def test_masks_that_are_neither_binary_nor_labels_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", np.zeros((40, 40), np.uint8))
    save(tmp_path / "masks" / "a.png", np.arange(1600, dtype=np.uint8).reshape(40, 40))
    with pytest.raises(InputError, match="neither a binary mask nor class labels"):
        open_dataset(tmp_path)


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


def test_one_lung_alone_is_not_cut_in_two() -> None:
    mask = np.zeros((50, 100), np.uint8)
    mask[10:40, 60:90] = 1
    apart = lungs_by_side(mask)
    assert (int(apart["right_lung"].sum()), int(apart["left_lung"].sum())) == (0, 900)
    apart = lungs_by_side(mask[:, ::-1].copy())
    assert (int(apart["right_lung"].sum()), int(apart["left_lung"].sum())) == (900, 0)


@pytest.mark.slow
@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_both_sides_together_are_the_whole_lung(seed: int) -> None:
    made = phantom(96, 80, seed=seed)
    whole = (made.masks["right_lung"] | made.masks["left_lung"]).astype(np.uint8)
    apart = lungs_by_side(whole)
    np.testing.assert_array_equal(apart["right_lung"] + apart["left_lung"], whole)
    for side in ("right_lung", "left_lung"):
        assert dice(apart[side] == 1, made.masks[side] == 1) > 0.9


def test_lungs_are_told_apart_on_a_film_stored_as_a_mirror_image() -> None:
    made = phantom(96, 80, seed=3)
    mirrored = {name: np.ascontiguousarray(mask[:, ::-1]) for name, mask in made.masks.items()}
    both = (mirrored["right_lung"] | mirrored["left_lung"]).astype(np.uint8)
    row = IndexRow(2, "f", "", "", values={"original_width": "1600", "original_height": "960"})
    film = Film(np.ascontiguousarray(made.film.pixels[:, ::-1]), orientation=Orientation(columns_reversed=True))
    stretched, outlines = finish_whole(film, {"whole_lung": both}, row)
    assert stretched.orientation.mirrored
    wide = cv2.resize(mirrored["right_lung"].astype(np.uint8), (160, 96), interpolation=cv2.INTER_NEAREST_EXACT)
    assert dice(outlines["right_lung"] == 1, wide == 1) > 0.9
