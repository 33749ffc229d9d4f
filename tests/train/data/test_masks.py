"""The formats in which people save masks: read correctly, or refused with the file, the value and the fix."""

from __future__ import annotations

import gzip
import struct
import unicodedata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg_data import Dataset, Options, inspect_dataset, open_dataset
from PIL import Image

SIDE = 96


def areas() -> np.ndarray:
    """Three structures that touch, numbered 1 to 3, and background."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(labels, (30, 48), (16, 34), 5, 0, 360, 1, -1)
    cv2.ellipse(labels, (68, 48), (16, 34), -5, 0, 360, 2, -1)
    cv2.circle(labels, (56, 62), 14, 3, -1)
    return labels


def films(folder: Path, count: int = 4) -> Path:
    chance = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / "images" / f"f{i}.png"), chance.integers(0, 255, (SIDE, SIDE), np.uint8))
    return folder


def masks(folder: Path, mask: np.ndarray, suffix: str = ".png", mode: str | None = None, count: int = 4) -> Path:
    """A data set whose masks are all this array."""
    films(folder, count)
    for i in range(count):
        picture = Image.fromarray(mask)
        picture = picture.convert(mode) if mode else picture
        picture.save(folder / "masks" / f"f{i}{suffix}", quality=90) if suffix == ".jpg" else picture.save(
            folder / "masks" / f"f{i}{suffix}"
        )
    return folder


def shares(dataset: Dataset) -> dict[str, float]:
    _, outlines = dataset.films[0].load()
    return {name: float((plane == 1).mean()) for name, plane in outlines.items()}


def of(*numbers: int) -> float:
    return float(np.isin(areas(), numbers).mean())


def test_a_jpeg_of_0_and_255_loses_its_fringes(tmp_path: Path) -> None:
    found = shares(open_dataset(masks(tmp_path, np.where(areas() > 0, 255, 0).astype(np.uint8), ".jpg")))
    assert found == {"object": pytest.approx(of(1, 2, 3), abs=2e-3)}


def test_half_a_mask_that_was_given_an_end_is_refused(tmp_path: Path) -> None:
    folder = masks(tmp_path, np.where(areas() > 0, 255, 0).astype(np.uint8), ".jpg")
    path = folder / "masks" / "f2.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3] + b"\xff\xd9")
    with pytest.raises(InputError, match=r"f2\.jpg: the mask is damaged \(Corrupt JPEG data: .*copy it again"):
        open_dataset(folder)


def test_a_jpeg_of_grey_classes_keeps_them_apart_without_rings(tmp_path: Path) -> None:
    dataset = open_dataset(masks(tmp_path, areas() * np.uint8(85), ".jpg"))
    found = shares(dataset)
    assert list(found) == ["class_1", "class_2", "class_3"]
    for number, share in enumerate(found.values(), 1):
        assert share == pytest.approx(of(number), abs=4e-3)
    assert dataset.report is not None
    assert any("grey levels 85, 170, 255" in problem.text for problem in dataset.report.problems)


@pytest.mark.parametrize("factor", [1, 3])
def test_a_jpeg_of_small_numbers_is_refused(tmp_path: Path, factor: int) -> None:
    with pytest.raises(InputError, match=r"f\d\.jpg: holds the values 0 to .*JPEG.*save the masks as PNG"):
        open_dataset(masks(tmp_path, areas() * np.uint8(factor), ".jpg"))


def test_smoothed_edges_are_cut_half_way_and_no_clean_file_is_blamed(tmp_path: Path) -> None:
    mask = np.where(areas() > 0, 255, 0).astype(np.uint8)
    folder = masks(tmp_path, mask)
    large = cv2.resize(mask, (SIDE * 4, SIDE * 4), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "masks" / "f2.png"), cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    dataset = open_dataset(folder)
    outlines = [film.load()[1] for film in dataset.films]
    assert [set(o) for o in outlines] == [{"object"}] * 4
    assert all(float((o["object"] == 1).mean()) == pytest.approx(of(1, 2, 3), abs=2e-3) for o in outlines)


def test_a_film_in_place_of_a_mask_is_refused_by_name(tmp_path: Path) -> None:
    folder = masks(tmp_path, np.where(areas() > 0, 255, 0).astype(np.uint8))
    noise = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE), np.uint8)
    cv2.imwrite(str(folder / "masks" / "f3.png"), noise)
    with pytest.raises(InputError, match=r"f3\.png: holds grey \d+ .*neither a binary mask nor class labels"):
        open_dataset(folder)


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_a_palette_gives_class_numbers_by_its_indices(tmp_path: Path, suffix: str) -> None:
    films(tmp_path)
    palette = [0, 0, 0, 90, 0, 0, 0, 90, 0, 0, 0, 90] + [0] * 756
    for i in range(4):
        picture = Image.fromarray(areas()).convert("P")
        picture.putdata(areas().ravel().tolist())
        picture.putpalette(palette)
        picture.save(tmp_path / "masks" / f"f{i}{suffix}")
    found = list(shares(open_dataset(tmp_path)).values())
    assert found == [pytest.approx(of(number)) for number in (1, 2, 3)]


COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 130, 0], [0, 0, 64]], np.uint8)


def test_colours_are_told_apart_even_dark_ones_and_those_of_one_grey(tmp_path: Path) -> None:
    found = shares(open_dataset(masks(tmp_path, COLOURS[areas()])))
    assert found == {
        "red": pytest.approx(of(1)), "colour_008200": pytest.approx(of(2)), "colour_000040": pytest.approx(of(3)),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "#ff0000 = right lung\n#008200 = left lung\n#000040 = heart\n",
        "255,0,0 right lung\n0,130,0 left lung\n0,0,64 heart\n",
    ],
)
def test_colours_are_named_in_classes_txt(tmp_path: Path, text: str) -> None:
    folder = masks(tmp_path, COLOURS[areas()])
    (folder / "classes.txt").write_text(text)
    assert list(shares(open_dataset(folder))) == ["right_lung", "left_lung", "heart"]
    (folder / "classes.txt").write_text("right lung\nleft lung\nheart\n")
    with pytest.raises(InputError, match=r"f0\.png: holds #[0-9a-f]{6}, .*names no colours: write `#RRGGBB = NAME`"):
        open_dataset(folder)
    (folder / "classes.txt").write_text("#ff0000 = right lung\n")
    with pytest.raises(InputError, match=r"f0\.png: holds #[0-9a-f]{6}, which .*classes\.txt does not name"):
        open_dataset(folder)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_painted_into_the_alpha_channel(tmp_path: Path, mode: str) -> None:
    films(tmp_path)
    for i in range(4):
        picture = Image.new(mode, (SIDE, SIDE), (255,) * len(mode))
        picture.putalpha(Image.fromarray(np.where(areas() > 0, 255, 0).astype(np.uint8)))
        picture.save(tmp_path / "masks" / f"f{i}.png")
    assert shares(open_dataset(tmp_path)) == {"object": pytest.approx(of(1, 2, 3))}


def test_colours_under_an_alpha_channel_count_where_they_are_painted(tmp_path: Path) -> None:
    rgba = np.dstack([np.where(areas()[..., None] > 0, COLOURS[areas()], 200), np.where(areas() > 0, 255, 0)])
    found = shares(open_dataset(masks(tmp_path, rgba.astype(np.uint8))))
    assert sorted(found.values()) == pytest.approx(sorted(of(number) for number in (1, 2, 3)))


@pytest.mark.parametrize("middle", [127, 128])
def test_a_value_half_way_is_asked_for_and_the_answer_stands_in_classes_txt(tmp_path: Path, middle: int) -> None:
    folder = masks(tmp_path, np.array([0, middle, 255, 255], np.uint8)[areas()])
    with pytest.raises(InputError, match=rf"f0\.png: holds grey {middle} beside 255, a class or pixels to ignore"):
        open_dataset(folder)
    (folder / "classes.txt").write_text(f"{middle} = ignore\n255 = lung\n")
    _, outlines = open_dataset(folder).films[0].load()
    assert float((outlines["lung"] == 127).mean()) == pytest.approx(of(1))
    (folder / "classes.txt").write_text(f"{middle} = right\n255 = left\n")
    assert shares(open_dataset(folder)) == {"right": pytest.approx(of(1)), "left": pytest.approx(of(2, 3))}


def test_a_value_half_way_in_a_jpeg_is_asked_for_too(tmp_path: Path) -> None:
    folder = masks(tmp_path, np.array([0, 127, 255, 255], np.uint8)[areas()], ".jpg")
    with pytest.raises(InputError, match=r"f0\.jpg: holds grey 12\d beside 255, a class or pixels to ignore"):
        open_dataset(folder)


def test_255_beside_class_numbers_is_asked_for(tmp_path: Path) -> None:
    folder = masks(tmp_path, np.array([0, 1, 2, 255], np.uint8)[areas()])
    with pytest.raises(InputError, match=r"holds grey 255 beside 1, 2"):
        open_dataset(folder)


def test_a_set_without_black_asks_for_its_background(tmp_path: Path) -> None:
    folder = masks(tmp_path, areas() + np.uint8(1))
    with pytest.raises(InputError, match=r"f0\.png: no mask of the set holds 0 for background, grey 1"):
        open_dataset(folder)
    (folder / "classes.txt").write_text("1 = background\n2 = right\n3 = left\n4 = heart\n")
    assert shares(open_dataset(folder))["heart"] == pytest.approx(of(3))


@pytest.mark.parametrize(
    "name", ["फेफड़ा", "ปอด_หัวใจ", "หัวใจ", "phổi", unicodedata.normalize("NFD", "phổi"), "右肺", "رئة", "ลิ้น-1"]
)
def test_a_class_has_a_name_in_any_script(name: str, tmp_path: Path) -> None:
    folder = masks(tmp_path, areas())
    (folder / "classes.txt").write_text(f"1 = {name}\n2 = left\n3 = heart\n", encoding="utf-8")
    assert open_dataset(folder).structures[0] == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1 = \u0301a\n2 = left\n3 = heart", "cannot be part of a file name"),
        ("1 = a" + "\u0300" * 65 + "\n2 = left\n3 = heart", "cannot be part of a file name"),
        ("1 = a\u200bb\n2 = left\n3 = heart", "cannot be part of a file name"),
        ("Lung\nlung\nheart", "lung is there twice"),
        ("a" * 300, "cannot be part of a file name"),
        ("right\nleft\nheart/aorta\n", "line 3: heart/aorta cannot be part of a file name"),
        ("right\nleft\nright\n", "right is there twice"),
        ("right\nbackground\nleft\n", "background is value 0"),
        ("right\n2 = left\n", "right has no value"),
        ("right\nleft\n", "2 names for 3 classes"),
    ],
)
def test_names_that_make_no_sense_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    folder = masks(tmp_path, areas())
    (folder / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=complaint):
        open_dataset(folder)


def test_a_name_in_decomposed_letters_is_composed(tmp_path: Path) -> None:
    folder = masks(tmp_path, areas())
    (folder / "classes.txt").write_text("right\nleft\nco\u0308r\n", encoding="utf-8")
    assert open_dataset(folder).structures == ("right", "left", "c\u00f6r")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_first_line_background_is_value_0_and_told(tmp_path: Path, encoding: str) -> None:
    folder = masks(tmp_path, areas())
    (folder / "classes.txt").write_text("Background\nright lung\nleft lung\nc\u0153ur\n", encoding=encoding)
    dataset = open_dataset(folder)
    assert dataset.structures == ("right_lung", "left_lung", "c\u0153ur")
    assert shares(dataset)["right_lung"] == pytest.approx(of(1))
    assert dataset.report is not None
    assert any("starts with background" in problem.text for problem in dataset.report.problems)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_film_that_its_exif_tag_turns_is_refused(tmp_path: Path, orientation: int) -> None:
    folder = masks(tmp_path, np.where(areas() > 0, 255, 0).astype(np.uint8))
    (folder / "images" / "f0.png").unlink()
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(areas() * np.uint8(60)).save(folder / "images" / "f0.jpg", exif=exif)
    with pytest.raises(InputError, match=rf"f0\.jpg: its EXIF orientation is {orientation}, .*remove the tag"):
        open_dataset(folder)


@pytest.mark.parametrize("place", ["Classes.TXT", "masks/classes.txt"])
def test_names_of_classes_are_found_beside_the_masks_and_case_blind(tmp_path: Path, place: str) -> None:
    folder = masks(tmp_path, areas())
    (folder / "labelmap.txt").write_text("lung:255,0,0::")
    report = open_dataset(folder).report
    assert report is not None
    assert {"unread-classes", "encoding"} <= {one.kind for one in report.problems}
    (folder / place).write_text("right\nleft\nheart\n")
    assert open_dataset(folder).structures == ("right", "left", "heart")
    (folder / "images" / "classes.txt").write_text("left\nright\nheart\n")
    if place != "Classes.TXT":
        with pytest.raises(InputError, match="names other classes: leave one"):
            open_dataset(folder)


def test_masks_of_another_aspect_are_refused(tmp_path: Path) -> None:
    folder = masks(tmp_path, np.where(areas() > 0, 255, 0).astype(np.uint8)[:60])
    with pytest.raises(InputError, match=r"f0\.png: the mask has 96 x 60 pixels, another aspect than"):
        open_dataset(folder)


def test_all_unreadable_files_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    folder = masks(tmp_path, np.where(areas() > 0, 255, 0).astype(np.uint8), count=8)
    for name in ("images/f1.png", "images/f5.png", "masks/f6.png"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        InputError, match=r"2 films .*--skip-bad.*\(images/f1\.png, images/f5\.png\); and 1 more: edge-seg check"
    ):
        open_dataset(folder)
    report = inspect_dataset(folder).report
    assert report is not None
    named = {Path(file).name for problem in report.errors for file in problem.files}
    assert named == {"f1.png", "f5.png", "f6.png"}
    kept = open_dataset(folder, options=Options(skip_bad=True))
    assert sorted(film.name for film in kept.films) == ["f0", "f2", "f3", "f4", "f7"]


def test_grey_levels_that_jpeg_mixes_are_refused(tmp_path: Path) -> None:
    values = np.array([0, 100, 120, 140], np.uint8)
    with pytest.raises(InputError, match=r"f0\.jpg: holds grey 100 and grey 120, which JPEG does not keep apart"):
        open_dataset(masks(tmp_path, values[areas()], ".jpg"))


def test_masks_of_two_scales_are_asked_for_and_may_have_one_name(tmp_path: Path) -> None:
    folder = masks(tmp_path, (areas() > 0).astype(np.uint8) * np.uint8(255))
    Image.fromarray((areas() > 0).astype(np.uint8)).save(folder / "masks" / "f1.png")
    with pytest.raises(InputError, match=r"f0\.png: holds 0 and 255, and f1\.png 0 and 1: .*`1 = NAME`, `255 = NAME`"):
        open_dataset(folder)
    (folder / "classes.txt").write_text("0 = background\n1 = lung\n255 = lung\n")
    dataset = open_dataset(folder)
    assert [float(film.load()[1]["lung"].mean()) for film in dataset.films] == [of(1, 2, 3)] * 4


@pytest.mark.parametrize("first", ["unlabeled", "_background_", "__ignore__\n_background_"])
def test_other_words_for_the_background_are_value_0(tmp_path: Path, first: str) -> None:
    folder = masks(tmp_path, areas())
    (folder / "classes.txt").write_text(f"{first}\nright\nleft\nheart\n")
    assert shares(open_dataset(folder)) == {"right": of(1), "left": of(2), "heart": of(3)}


def layers(folder: Path, *numbers: tuple[int, ...]) -> Path:
    """Masks painted on a transparent layer, red for structure 1 and blue for 2, of these structures for each film."""
    films(folder, len(numbers))
    for i, shown in enumerate(numbers):
        painted = np.where(np.isin(areas(), shown), areas(), 0)
        rgba = np.zeros((SIDE, SIDE, 4), np.uint8)
        rgba[painted == 1], rgba[painted == 2] = (255, 0, 0, 255), (0, 0, 255, 255)
        Image.fromarray(rgba).save(folder / "masks" / f"f{i}.png")
    return folder


@pytest.mark.parametrize("last", [(1, 2), (2,)])
def test_a_layer_painted_in_one_colour_keeps_it_among_others(tmp_path: Path, last: tuple[int, ...]) -> None:
    dataset = open_dataset(layers(tmp_path, (1,), (), last))
    assert set(dataset.structures) == {"red", "blue"}
    first, second, third = (film.load()[1] for film in dataset.films)
    assert {name: float(plane.mean()) for name, plane in first.items()} == {"red": of(1), "blue": 0}
    assert not any(plane.any() for plane in second.values())
    assert float(third["blue"].mean()) == of(2)


def test_layers_in_a_folder_of_one_structure_may_have_any_colours(tmp_path: Path) -> None:
    layers(tmp_path, (1,), (2,))
    (tmp_path / "masks").rename(tmp_path / "lung")
    assert shares(open_dataset(tmp_path)) == {"lung": of(1)}


def test_a_layer_of_one_colour_goes_by_the_name_of_that_colour(tmp_path: Path) -> None:
    folder = layers(tmp_path, (1,), (1,))
    (folder / "classes.txt").write_text("#ff0000 = right lung\n#0000ff = left lung\n")
    assert shares(open_dataset(folder)) == {"right_lung": of(1), "left_lung": 0}


@pytest.mark.parametrize("kind", ["wrong value", "wrong byte", "wrong type", "cut off", "no header"])
def test_damage_in_a_compressed_nifti_mask_is_found(tmp_path: Path, kind: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    films(tmp_path)
    for i in range(4):
        mask = nibabel.Nifti1Image((areas() > 0).T.astype(np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0]))
        nibabel.save(mask, tmp_path / "masks" / f"f{i}.nii.gz")
    path = tmp_path / "masks" / "f2.nii.gz"
    packed = path.read_bytes()
    plain = gzip.decompress(packed)
    stored = bytearray(gzip.compress(plain, compresslevel=0))
    stored[-100] ^= 1  # one pixel, which the checksum alone shows
    damaged = {
        "wrong value": bytes(stored),
        "wrong byte": packed[:40] + bytes([packed[40] ^ 255]) + packed[41:],
        "wrong type": gzip.compress(plain[:70] + b"\x0f\x27" + plain[72:]),
        "cut off": packed[:-12],
        "no header": gzip.compress(b"nothing"),
    }
    path.write_bytes(damaged[kind])
    with pytest.raises(InputError, match=r"f2\.nii\.gz: not a readable NIfTI file"):
        open_dataset(tmp_path)
    kept = open_dataset(tmp_path, options=Options(skip_bad=True))
    assert [film.name for film in kept.films] == ["f0", "f1", "f3"]
    assert shares(kept) == {"object": of(1, 2, 3)}


@pytest.mark.parametrize("spacing", [1.0, 0.143])
def test_a_square_nifti_mask_without_directions_is_refused(tmp_path: Path, spacing: float) -> None:
    nibabel = pytest.importorskip("nibabel")
    films(tmp_path, 1)
    affine = np.diag([spacing, spacing, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image((areas() > 0).astype(np.uint8), affine), tmp_path / "masks" / "f0.nii.gz")
    with pytest.raises(InputError, match=r"f0\.nii\.gz: its affine does not say how rows and columns lie"):
        open_dataset(tmp_path)


def saved(folder: Path, *pictures: Image.Image, suffix: str = ".png", **options: Any) -> Path:
    """A data set of one film for each mask."""
    films(folder, len(pictures))
    for i, picture in enumerate(pictures):
        picture.save(folder / "masks" / f"f{i}{suffix}", **options)
    return folder


def binary(value: int = 255) -> np.ndarray:
    return np.where(areas() > 0, value, 0).astype(np.uint8)


def with_palette(indices: np.ndarray, greys: list[int]) -> Image.Image:
    picture = Image.fromarray(indices.astype(np.uint8), "P")
    picture.putpalette([grey for grey in greys for _ in range(3)])
    return picture


def asked(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_dataset(folder)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["quantized", "white first", "orders"])
def test_a_grey_mask_with_a_palette_is_read_by_its_greys(tmp_path: Path, kind: str) -> None:
    white, black = with_palette(areas() == 0, [255, 0]), with_palette(areas() > 0, [0, 255])
    pictures = {
        "quantized": (Image.fromarray(binary()), Image.fromarray(binary()).quantize(2)),
        "white first": (white, white),
        "orders": (black, white),
    }
    for film in open_dataset(saved(tmp_path, *pictures[kind])).films:
        assert float((film.load()[1]["object"] == 1).mean()) == of(1, 2, 3)


PAINTS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def painted(*opacities: int) -> Image.Image:
    """A transparent layer with each structure in a colour and at an opacity of its own."""
    return Image.fromarray(np.dstack([PAINTS[areas()], np.array([0, *opacities], np.uint8)[areas()]]))


@pytest.mark.parametrize("opacities", [(76, 76, 76), (127, 127, 127), (255, 255, 90)])
def test_a_layer_painted_at_any_opacity_keeps_its_colours(tmp_path: Path, opacities: tuple[int, ...]) -> None:
    folder = saved(tmp_path, painted(*opacities), painted(opacities[0], 0, 0))
    assert shares(open_dataset(folder)) == {"blue": of(3), "green": of(2), "red": of(1)}
    assert float(open_dataset(folder).films[1].load()[1]["red"].mean()) == of(1)


def test_the_soft_edge_of_a_layer_is_cut_half_way(tmp_path: Path) -> None:
    alpha = cv2.GaussianBlur(binary(), (0, 0), 4)
    colours = PAINTS[cv2.dilate(areas(), np.ones((25, 25), np.uint8))]
    found = shares(open_dataset(saved(tmp_path, Image.fromarray(np.dstack([colours, alpha])))))
    assert sum(found.values()) == pytest.approx(float((alpha >= 128).mean()))


@pytest.mark.parametrize("width", [6, 8, 12])
def test_a_wide_soft_edge_is_cut_half_way_too(tmp_path: Path, width: int) -> None:
    alpha = cv2.GaussianBlur(binary(), (0, 0), width)
    colours = np.repeat(PAINTS[1:3], SIDE // 2, axis=0)[None].repeat(SIDE, axis=0)
    found = shares(open_dataset(saved(tmp_path, Image.fromarray(np.dstack([colours, alpha])))))
    assert set(found) == {"red", "green"}
    assert sum(found.values()) == pytest.approx(float((alpha >= (int(alpha.max()) + 1) // 2).mean()))


def test_a_faint_spot_in_a_colour_of_its_own_is_kept_beside_large_areas(tmp_path: Path) -> None:
    layer = np.array(painted(255, 255, 255))
    layer[4:9, 4:9] = (255, 255, 0, 60)
    found = shares(open_dataset(saved(tmp_path, Image.fromarray(layer))))
    assert found["yellow"] == 25 / SIDE**2


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_hidden_by_its_transparency_is_refused_and_an_empty_layer_is_not(tmp_path: Path, mode: str) -> None:
    clear = Image.fromarray(np.zeros((SIDE, SIDE), np.uint8))
    shown, hidden, empty = (Image.fromarray(binary()).convert(mode) for _ in range(3))
    hidden.putalpha(clear)
    empty.paste((255,) * len(mode), (0, 0, SIDE, SIDE))
    empty.putalpha(clear)
    folder = saved(tmp_path, shown, empty)
    assert [float(film.load()[1]["object"].mean()) for film in open_dataset(folder).films] == [of(1, 2, 3), 0]
    hidden.save(folder / "masks" / "f1.png")
    assert "f1.png: the mask is all transparent, with colours beneath: save it without transparency" in asked(folder)


def test_the_unused_byte_of_a_bmp_is_no_transparency(tmp_path: Path) -> None:
    films(tmp_path, 1)
    pixels = np.dstack([binary(), binary(), binary(), binary(0)])[::-1].tobytes()
    sizes = (54 + len(pixels), 0, 54, 40, SIDE, SIDE)
    head = b"BM" + struct.pack("<IIIIiiHHIIiiII", *sizes, 1, 32, 0, len(pixels), 2835, 2835, 0, 0)
    (tmp_path / "masks" / "f0.bmp").write_bytes(head + pixels)
    assert shares(open_dataset(tmp_path)) == {"object": of(1, 2, 3)}


def tiff(*planes: np.ndarray, photometric: int) -> bytes:
    """A 16-bit TIFF that holds one plane behind another."""
    count, size = len(planes), planes[0].nbytes
    pixels = b"".join(plane.astype("<u2").tobytes() for plane in planes)
    behind = 8 + len(pixels)
    places = [8 + k * size for k in range(count)]
    lists = struct.pack(f"<{2 * count}I{count}H", *places, *[size] * count, *[16] * count)
    several = count > 1
    entries = (
        (256, 4, 1, SIDE),
        (257, 4, 1, SIDE),
        (258, 3, count, behind + 8 * count if several else 16),
        (259, 4, 1, 1),
        (262, 4, 1, photometric),
        (273, 4, count, behind if several else 8),
        (277, 4, 1, count),
        (278, 4, 1, SIDE),
        (279, 4, count, behind + 4 * count if several else size),
        (284, 4, 1, 2),
    )
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", behind + len(lists)) + pixels + lists + directory


@pytest.mark.parametrize("kind", ["planes", "white is zero"])
def test_a_16_bit_tiff_is_read_as_a_film_is(tmp_path: Path, kind: str) -> None:
    films(tmp_path, 1)
    mask = binary().astype(np.uint16) * 257
    data = tiff(mask, mask, mask, photometric=2) if kind == "planes" else tiff(65535 - mask, photometric=0)
    (tmp_path / "masks" / "f0.tif").write_bytes(data)
    assert shares(open_dataset(tmp_path)) == {"object": of(1, 2, 3)}


def test_jpeg_inside_a_tiff_loses_its_fringes_too(tmp_path: Path) -> None:
    small = Image.fromarray(binary(9)).convert("RGB")
    folder = saved(tmp_path, small, suffix=".tif", compression="jpeg", quality=90)
    assert "which JPEG does not keep apart" in asked(folder)
    Image.fromarray(binary()).convert("RGB").save(folder / "masks" / "f0.tif", compression="jpeg", quality=90)
    assert shares(open_dataset(folder)) == {"object": pytest.approx(of(1, 2, 3), abs=2e-3)}


def test_a_lossless_webp_keeps_class_numbers(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "a camera"
    numbers = Image.fromarray(areas()).convert("RGB")
    folder = saved(tmp_path, numbers, suffix=".webp", lossless=True, exif=exif)
    assert shares(open_dataset(folder)) == {f"class_{number}": of(number) for number in (1, 2, 3)}


def test_a_picture_of_three_16_bit_channels_keeps_class_numbers(tmp_path: Path) -> None:
    films(tmp_path, 1)
    cv2.imwrite(str(tmp_path / "masks" / "f0.png"), np.dstack([areas().astype(np.uint16)] * 3))
    assert shares(open_dataset(tmp_path)) == {f"class_{number}": of(number) for number in (1, 2, 3)}


@pytest.mark.parametrize("kind", ["ramp", "palette", "16 bit"])
def test_a_value_half_way_is_asked_for_however_it_is_saved(tmp_path: Path, kind: str) -> None:
    levels, numbers = np.array([0, 127, 255, 255], np.uint8)[areas()], np.array([0, 1, 2, 2], np.uint8)[areas()]
    pictures = {
        "ramp": with_palette(levels, list(range(256))),
        "palette": with_palette(numbers, [0, 127, 255]),
        "16 bit": Image.fromarray(np.array([0, 32767, 65535, 65535], np.uint16)[areas()]),
    }
    folder = saved(tmp_path, pictures[kind])
    assert "a class or pixels to ignore" in asked(folder)
    value, rest = {"ramp": (127, 255), "palette": (1, 2), "16 bit": (32767, 65535)}[kind]
    (folder / "classes.txt").write_text(f"{value} = ignore\n{rest} = lung\n")
    assert float((open_dataset(folder).films[0].load()[1]["lung"] == 127).mean()) == of(1)


@pytest.mark.parametrize(("low", "high"), [(100, 255), (254, 255), (127, 255), (255, 65535)])
def test_levels_that_no_mask_holds_together_are_asked_for(tmp_path: Path, low: int, high: int) -> None:
    lower, higher = (
        Image.fromarray(np.where(areas() > 0, v, 0).astype("u2" if v > 255 else "u1")) for v in (low, high)
    )
    folder = saved(tmp_path, lower, lower, higher)
    assert f"f2.png: holds 0 and {high}, and f0.png 0 and {low}: save both alike" in asked(folder)
    (folder / "classes.txt").write_text(f"{low} = lung\n{high} = lung\n")
    assert [float(film.load()[1]["lung"].mean()) for film in open_dataset(folder).films] == [of(1, 2, 3)] * 3


def test_levels_that_one_mask_holds_together_are_classes(tmp_path: Path) -> None:
    first, second = np.array([0, 100, 100, 0], np.uint8)[areas()], np.array([0, 100, 0, 200], np.uint8)[areas()]
    folder = saved(tmp_path, Image.fromarray(first), Image.fromarray(second))
    assert open_dataset(folder).structures == ("class_1", "class_2")


def test_127_is_ignored_in_a_folder_of_one_structure_only_beside_its_value(tmp_path: Path) -> None:
    folder = saved(tmp_path, *[Image.fromarray(binary(value)) for value in (127, 127, 127, 255)])
    (folder / "masks").rename(folder / "right_lung")
    assert "f0.png: holds grey 127, and other masks of right_lung hold grey 255" in asked(folder)
    both = np.array([0, 127, 255, 255], np.uint8)[areas()]
    Image.fromarray(both).save(folder / "right_lung" / "f3.png")
    outlines = [film.load()[1]["right_lung"] for film in open_dataset(folder).films]
    assert [float((plane == 127).mean()) for plane in outlines] == [of(1, 2, 3)] * 3 + [of(1)]


def test_a_list_of_names_whose_last_is_in_no_mask_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, Image.fromarray(areas()), Image.fromarray(np.where(areas() == 1, 1, 0).astype(np.uint8)))
    (folder / "classes.txt").write_text("Hintergrund\nright_lung\nleft_lung\nheart\n")
    assert "no mask holds 4 for heart: call the first line `background`" in asked(folder)
    known = "right_lung\nleft_lung\nheart\nclavicles\n"
    for names in (f"background\n{known}", "".join(f"{n} = {name}\n" for n, name in enumerate(known.split(), 1))):
        (folder / "classes.txt").write_text(names)
        assert shares(open_dataset(folder)) == {
            "right_lung": of(1), "left_lung": of(2), "heart": of(3), "clavicles": 0,
        }  # fmt: skip


@pytest.mark.parametrize("colour", [(0, 0, 255), (255, 255, 0)])
@pytest.mark.parametrize("smooth", [False, True])
def test_a_thin_structure_in_a_colour_of_its_own_is_asked_for(
    tmp_path: Path, colour: tuple[int, int, int], smooth: bool
) -> None:
    mask: np.ndarray = PAINTS[np.where(areas() == 3, 0, areas())]
    mask = cv2.GaussianBlur(mask, (5, 5), 0) if smooth else mask
    folder = saved(tmp_path, *[Image.fromarray(mask)] * 2)
    assert set(open_dataset(folder).structures) == {"red", "green"}
    mask = mask.copy()
    mask[10:80, 47:49] = colour
    Image.fromarray(mask).save(folder / "masks" / "f1.png")
    value = "#{:02x}{:02x}{:02x}".format(*colour)
    assert f"f1.png: holds {value} in 140 pixels, a thin structure or stray pixels" in asked(folder)
    (folder / "classes.txt").write_text(f"#ff0000 = right_lung\n#00ff00 = left_lung\n{value} = tube\n")
    assert (open_dataset(folder).films[1].load()[1]["tube"][10:80, 47:49] == 1).all()


def test_a_colour_that_resampling_makes_is_no_structure(tmp_path: Path) -> None:
    dull = np.array([[0, 0, 0], [200, 30, 30], [30, 180, 40], [60, 60, 200]], np.uint8)[areas()]
    large = Image.fromarray(dull).resize((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
    assert open_dataset(saved(tmp_path, large)).structures == ("colour_1eb428", "colour_3c3cc8", "colour_c81e1e")


@pytest.mark.parametrize("picture", ["mask", "film"])
def test_an_orientation_that_turns_nothing_is_not_refused(tmp_path: Path, picture: str) -> None:
    folder = saved(tmp_path, Image.fromarray(binary()), Image.fromarray(binary()))
    path = folder / {"mask": "masks", "film": "images"}[picture] / "f0.png"
    exif = Image.Exif()
    exif[274] = 9
    Image.open(path).save(path, exif=exif)
    assert shares(open_dataset(folder)) == {"object": of(1, 2, 3)}


def white_layer(alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([np.full((SIDE, SIDE, 3), 255, np.uint8), alpha]))


def test_two_opacities_of_white_are_two_classes_though_some_layers_hold_only_one(tmp_path: Path) -> None:
    both = np.array([0, 100, 200, 0], np.uint8)[areas()]
    one = np.where(areas() == 2, 200, 0).astype(np.uint8)
    folder = saved(tmp_path, white_layer(both), white_layer(one))
    assert shares(open_dataset(folder)) == {"class_1": of(1), "class_2": of(2)}


def test_opacities_of_white_that_no_layer_holds_together_are_asked_for(tmp_path: Path) -> None:
    folder = saved(tmp_path, white_layer(binary(100)), white_layer(binary(200)))
    assert "f1.png: holds 0 and 200, and f0.png 0 and 100: save both alike" in asked(folder)


def with_catheter(mask: np.ndarray, value: int | tuple[int, ...]) -> Image.Image:
    """A mask with a line of 2 x 70 pixels across its structures and the background between them."""
    mask = mask.copy()
    mask[10:80, 47:49] = value
    return Image.fromarray(mask)


@pytest.mark.parametrize("place", ["masks", "lungs", "one name"])
@pytest.mark.parametrize("value", [60, 128])
def test_a_thin_structure_in_a_grey_of_its_own_is_asked_for(tmp_path: Path, value: int, place: str) -> None:
    folder = saved(tmp_path, Image.fromarray(binary()), with_catheter(binary(), value))
    if place == "lungs":
        (folder / "masks").rename(folder / "lungs")
    elif place == "one name":
        (folder / "classes.txt").write_text("lungs\n")
    message = asked(folder)
    assert f"f1.png: holds grey {value} in 140 pixels, a thin structure or stray pixels" in message
    if place == "lungs":
        assert "a folder of one structure has masks of 0 and one other value" in message
    else:
        (folder / "classes.txt").write_text(f"{value} = catheter\n255 = lungs\n")
        outlines = open_dataset(folder).films[1].load()[1]
        assert float(outlines["catheter"].mean()) == 140 / SIDE**2


def test_a_second_thin_colour_in_a_folder_of_one_structure_is_asked_for(tmp_path: Path) -> None:
    red = np.dstack([binary(), binary(0), binary(0)])
    folder = saved(tmp_path, Image.fromarray(red), with_catheter(red, (0, 0, 255)))
    (folder / "masks").rename(folder / "lungs")
    assert "f1.png: holds #0000ff in 140 pixels, a thin structure or stray pixels: a folder of one" in asked(folder)


def test_a_thin_structure_in_a_darker_shade_of_another_is_asked_for(tmp_path: Path) -> None:
    red = np.dstack([binary(), binary(0), binary(0)])
    folder = saved(tmp_path, Image.fromarray(red), with_catheter(red, (128, 0, 0)))
    assert "f1.png: holds #800000 in 140 pixels, a thin structure or stray pixels" in asked(folder)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("colour", [False, True])
def test_edges_that_halving_one_side_makes_are_no_structure(tmp_path: Path, axis: int, colour: bool) -> None:
    mask = np.dstack([binary(), binary(0), binary(0)]) if colour else binary()
    long = np.roll(np.repeat(mask, 2, axis), 1, axis)
    half = cv2.resize(long, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert len(np.unique(half)) == 3
    (found,) = shares(open_dataset(saved(tmp_path, Image.fromarray(half)))).values()
    assert found == float((half >= 128).any(axis=2).mean() if colour else (half >= 128).mean())
