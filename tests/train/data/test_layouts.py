"""Folders as people have them: which mask belongs to which film, split and patient."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom
from edge_seg_data import Dataset, Options, inspect_dataset, open_dataset
from edge_seg_data.dataset import LabelledFilm
from edge_seg_data.splits import split_by_patient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

COUNT = 4
_MADE = [phantom(80, 72, seed=seed) for seed in range(12)]


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = picture.astype(np.uint8) * np.uint8(255) if picture.dtype == bool else picture
    if path.suffix == ".gif":
        Image.fromarray(picture).save(path)
    else:
        assert cv2.imwrite(str(path), picture)


def whole(seed: int) -> np.ndarray:
    return _MADE[seed].masks["right_lung"] | _MADE[seed].masks["left_lung"]


@pytest.mark.parametrize(
    ("film", "mask"),
    [
        ("CXR_png/MCUCXR_{0:04d}_0.png", "masks/MCUCXR_{0:04d}_0.png"),
        ("CXR_png/CHNCXR_{0:04d}_0.png", "masks/CHNCXR_{0:04d}_0_mask.png"),
        ("imgs/{0}.png", "masks/{0}.png"),
        ("images/{0}.png", "labels/{0}.png"),
        ("img/{0}.jpg", "ann/{0}.png"),
        ("Images/A{0}.PNG", "Masks/a{0}.png"),
        ("images/image_{0}.png", "masks/mask_{0}.png"),
        ("images/case-{0}.png", "masks/case-{0}_segmentation.png"),
        ("images/{0}.png", "masks/{0}mask.png"),
        ("images/{0}.bmp", "masks/seg-{0}.gif"),
        ("images/{0}.webp", "masks/{0}.tif"),
        ("images/{0}.gif", "masks/{0}.png"),
        ("{0}.png", "{0}_mask.png"),
        ("image_{0}.png", "mask_{0}.png"),
        ("case{0}/image.png", "case{0}/mask.png"),
        ("images/p{0}/film.png", "masks/p{0}/film.png"),
        ("set/images/{0}.png", "set/masks/{0}.png"),
        ("set/data/images/{0}.png", "set/data/masks/{0}.png"),
        ("images/image_{0}.png", "masks/mask_{0:03d}.png"),
        ("images/{0:04d}.png", "masks/{0}.png"),
        ("images/{0}.jpg", "masks/{0}.jpg_mask.png"),
        ("images/{0}.png", "masks/Mask of {0}.png"),
        ("imagesTr/case_{0:03d}_0000.png", "labelsTr/case_{0:03d}.png"),
        ("JPEGImages/{0}.jpg", "SegmentationClass/{0}.png"),
        ("train_images/{0}.png", "train_masks/{0}.png"),
    ],
)
def test_every_film_gets_its_own_mask(tmp_path: Path, film: str, mask: str) -> None:
    for i in range(12):
        save(tmp_path / film.format(i), _MADE[i].film.pixels)
        save(tmp_path / mask.format(i), whole(i))
    dataset = open_dataset(tmp_path)
    assert len(dataset.films) == 12
    assert dataset.structures == ("object",)
    for labelled in dataset.films:
        picture, outlines = labelled.load()
        errors = [np.mean(np.abs(picture.pixels.astype(int) - made.film.pixels)) for made in _MADE]
        np.testing.assert_array_equal(outlines["object"] == 1, whole(int(np.argmin(errors))))


@pytest.mark.parametrize(
    ("films", "masks"),
    [
        ("{0}_images", "{0}_masks"),
        ("images_{0}", "masks_{0}"),
        ("{0}-img", "{0}-labels"),
        ("{0}Images", "{0}Masks"),
        ("X_{0}", "y_{0}"),
        ("{0}", "{0}_masks"),
    ],
)
def test_folders_may_say_what_they_hold_and_of_which_split(tmp_path: Path, films: str, masks: str) -> None:
    splits = ["train"] * 6 + ["valid"] * 3 + ["test"] * 3
    for i, split in enumerate(splits):
        save(tmp_path / films.format(split) / f"{i}.png", _MADE[i].film.pixels)
        save(tmp_path / masks.format(split) / f"{i}.png", whole(i))
    dataset = open_dataset(tmp_path)
    found = {int(Path(film.name).stem): film for film in dataset.films}
    assert [found[i].split for i in range(12)] == [split.replace("valid", "val") for split in splits]
    for i, film in found.items():
        np.testing.assert_array_equal(film.load()[1]["object"] == 1, whole(i))


def test_films_beside_those_of_a_split_are_trained_on(tmp_path: Path) -> None:
    for i in range(12):
        words = "" if i < 8 else "val_" if i < 10 else "test_"
        save(tmp_path / f"{words}images" / f"{i}.png", _MADE[i].film.pixels)
        save(tmp_path / f"{words}masks" / f"{i}.png", whole(i))
    save(tmp_path / "more" / "scan.png", _MADE[0].film.pixels)
    dataset = open_dataset(tmp_path)
    assert [film.split for film in dataset.films].count("train") == 8
    assert dataset.report is not None
    assert [p.text for p in dataset.report.problems if p.kind == "ignored-folders"] == [
        "folders that are not read: more"
    ]


@pytest.mark.parametrize(
    "pattern",
    ["{1}/{0}.png", "masks/{1}/{0}.png", "masks/{0}_{1}.png", "masks/{0}-{1}_mask.png", "masks/{1}_{0}.png"],
)
def test_one_file_a_structure_for_any_structures(tmp_path: Path, pattern: str) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / pattern.format(f"f{i}", "left_lung"), _MADE[i].masks["left_lung"])
        save(tmp_path / pattern.format(f"f{i}", "aorta"), _MADE[i].masks["cardiomediastinum"])
    dataset = open_dataset(tmp_path)
    assert set(dataset.structures) == {"left_lung", "aorta"}
    for i, film in enumerate(dataset.films):
        _, outlines = film.load()
        np.testing.assert_array_equal(outlines["left_lung"] == 1, _MADE[i].masks["left_lung"])
        np.testing.assert_array_equal(outlines["aorta"] == 1, _MADE[i].masks["cardiomediastinum"])


def test_several_mask_files_of_one_film_are_pieces_of_one_structure(tmp_path: Path) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"f{i}_mask.png", _MADE[i].masks["right_lung"])
        save(tmp_path / "masks" / f"f{i}_mask_1.png", _MADE[i].masks["left_lung"])
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.films[2].load()[1]["object"] == 1, whole(2))
    assert dataset.report is not None
    assert any("several mask files" in problem.text for problem in dataset.report.problems)


@pytest.mark.parametrize("other", ["f{0}_lungmask", "f{0}_mask"])
def test_half_of_the_masks_may_be_named_otherwise(tmp_path: Path, other: str) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"{(other if i % 2 else 'f{0}').format(i)}.png", whole(i))
    assert [film.name for film in open_dataset(tmp_path).films] == [f"f{i}" for i in range(COUNT)]


def test_composed_and_decomposed_letters_are_one_name(tmp_path: Path) -> None:
    for i in range(COUNT):
        name = f"M\u00fcller{i}"
        save(tmp_path / "images" / f"{unicodedata.normalize('NFC', name)}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"{unicodedata.normalize('NFD', name)}.png", whole(i))
    assert len(open_dataset(tmp_path).films) == COUNT


@pytest.mark.parametrize("pattern", ["{1}/images/{0}.png {1}/masks/{0}.png", "images/{1}/{0}.png masks/{1}/{0}.png"])
def test_folders_name_the_splits(tmp_path: Path, pattern: str) -> None:
    for split, seeds in (("train", range(5)), ("valid", range(5, 7)), ("test", range(7, 9))):
        for i in seeds:
            film, mask = pattern.format(f"f{i}", split).split()
            save(tmp_path / film, _MADE[i].film.pixels)
            save(tmp_path / mask, whole(i))
    dataset = open_dataset(tmp_path)
    assert Counter(film.split for film in dataset.films) == {"train": 5, "val": 2, "test": 2}


def test_films_may_be_dicom(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(COUNT):
        write_dicom(_MADE[i], tmp_path / "images" / f"f{i}.dcm")
        save(tmp_path / "masks" / f"f{i}.png", whole(i))
    dataset = open_dataset(tmp_path)
    assert [film.name for film in dataset.films] == [f"f{i}" for i in range(COUNT)]
    assert dataset.films[1].load()[0].polarity_known


def test_names_that_do_not_fit_are_refused_and_all_of_them_listed(tmp_path: Path) -> None:
    for i in range(8):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / (f"f{i}.png" if i < 4 else f"g{i}.png"), whole(i))
    with pytest.raises(InputError, match="4 films without a mask"):
        open_dataset(tmp_path)
    report = inspect_dataset(tmp_path).report
    assert report is not None
    assert {problem.kind: len(problem.files) for problem in report.errors} == {
        "unmatched-films": 4,
        "unmatched-masks": 4,
    }


def test_folders_that_are_not_read_are_told(tmp_path: Path) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"f{i}.png", whole(i))
        save(tmp_path / "overlays" / f"f{i}.png", whole(i))
    report = open_dataset(tmp_path).report
    assert report is not None
    assert [p.text for p in report.problems if p.kind == "ignored-folders"] == ["folders that are not read: overlays"]


@pytest.mark.parametrize("folder", ["old", "Previews"])
def test_masks_put_aside_are_no_pieces_of_others(tmp_path: Path, folder: str) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"f{i}.png", _MADE[i].masks["left_lung"])
        save(tmp_path / "masks" / folder / f"f{i}.png", whole(i))
    dataset = open_dataset(tmp_path)
    for i, film in enumerate(dataset.films):
        np.testing.assert_array_equal(film.load()[1]["object"] == 1, _MADE[i].masks["left_lung"])
    assert not_read(dataset) == [f"folders that are not read: masks/{folder}"]


def not_read(dataset: Dataset) -> list[str]:
    assert dataset.report is not None
    return [problem.text for problem in dataset.report.problems if problem.kind == "ignored-folders"]


@pytest.mark.parametrize("where", [".", "masks"])
@pytest.mark.parametrize("name", ["old_fracture", "backup pump"])
def test_a_structure_may_have_a_word_for_what_is_put_aside_in_its_name(tmp_path: Path, where: str, name: str) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / where / "lung" / f"f{i}.png", whole(i))
        save(tmp_path / where / name / f"f{i}.png", _MADE[i].masks["left_lung"])
    dataset = open_dataset(tmp_path)
    assert (set(dataset.structures), not_read(dataset)) == ({"lung", name.replace(" ", "_")}, [])


@pytest.mark.parametrize("name", ["old", "backup", "old_masks", "overlays"])
def test_folders_beside_those_of_structures_in_the_masks_are_told_too(tmp_path: Path, name: str) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / "lung" / f"f{i}.png", whole(i))
        save(tmp_path / "masks" / name / f"f{i}.png", _MADE[i].masks["left_lung"])
    dataset = open_dataset(tmp_path)
    assert (dataset.structures, not_read(dataset)) == (("lung",), [f"folders that are not read: masks/{name}"])


def test_masks_that_lie_only_in_a_folder_such_as_data_are_read_and_nothing_is_told(tmp_path: Path) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / "data" / f"f{i}.png", whole(i))
    dataset = open_dataset(tmp_path)
    assert (len(dataset.films), not_read(dataset)) == (COUNT, [])


def test_films_that_nobody_outlined_are_for_training_alone(tmp_path: Path) -> None:
    folder = tmp_path / "unlabelled"
    for i in range(COUNT):
        save(folder / "images" / f"f{i}.png", _MADE[i].film.pixels)
    dataset = open_dataset(folder)
    assert (dataset.layout, dataset.structures, dataset.report and dataset.report.problems) == ("unlabelled", (), ())
    assert [film.split for film in dataset.films] == ["train"] * COUNT
    assert dataset.films[0].load()[1] == {}
    renamed = folder.rename(tmp_path / "other")
    with pytest.raises(InputError, match="no layout fits"):
        open_dataset(renamed)
    assert len(open_dataset(f"unlabelled={renamed}").films) == COUNT


def test_a_bare_name_is_a_path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pairs", "montgomery"):
        for i in range(COUNT):
            save(Path(name) / "images" / f"f{i}.png", _MADE[i].film.pixels)
            save(Path(name) / "masks" / f"f{i}.png", whole(i))
        assert open_dataset(name).layout == "pairs"
    with pytest.raises(InputError, match="is not laid out as `montgomery`"):
        open_dataset("montgomery=pairs")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_an_index_as_spreadsheets_save_it_for_any_layout(tmp_path: Path, encoding: str, delimiter: str) -> None:
    rows = [("Filename", "Patient", "Split")]
    for i in range(6):
        save(tmp_path / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / f"f{i}_mask.png", whole(i))
        rows.append((f"f{i}.png", f"M\u00fcller{i // 2}", ("train", "val", "test")[i // 2]))
    text = "\r\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "index.csv").write_bytes(text.encode(encoding))
    films = open_dataset(tmp_path).films
    assert [(f.patient, f.split) for f in films] == [row[1:] for row in rows[1:]]


def index(folder: Path, rows: list[str], columns: str = "stem,patient,split") -> Path:
    for i, _ in enumerate(rows):
        save(folder / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(folder / "masks" / f"f{i}.png", whole(i))
    (folder / "index.csv").write_text("\n".join([columns, *rows]))
    return folder


def test_one_blank_split_follows_its_patient_and_discards_nothing(tmp_path: Path) -> None:
    folder = index(tmp_path, ["f0,a,train", "f1,b,val", "f2,c,test", "f3,b,", "f4,a,train"])
    assert [film.split for film in open_dataset(folder).films] == ["train", "val", "test", "val", "train"]


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    folder = index(tmp_path, ["f0,a,train", "f1,a,val", "f2,c,test"])
    with pytest.raises(InputError, match=r"1 patient with films in two splits \(a\)"):
        open_dataset(folder)


def test_equal_films_in_two_splits_are_refused_under_any_name(tmp_path: Path) -> None:
    folder = index(tmp_path, ["f0,a,train", "f1,b,val", "f2,c,test"])
    (folder / "images" / "f2.png").write_bytes((folder / "images" / "f0.png").read_bytes())
    with pytest.raises(InputError, match="1 film in two splits under different names"):
        open_dataset(folder)


def test_equal_films_without_patients_keep_to_one_split(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i // 3].film.pixels)
        save(tmp_path / "masks" / f"f{i}.png", whole(i // 3))
    owners = {(film.patient, film.split) for film in open_dataset(tmp_path).films}
    assert len(owners) == 4


def unread() -> tuple[object, object]:
    raise AssertionError("splitting reads no film")


def split_of(patients: list[str], known: dict[str, str] | None = None) -> dict[str, str]:
    films = [LabelledFilm(str(i), patient, "", unread) for i, patient in enumerate(patients)]  # type: ignore[arg-type]
    return {film.patient: film.split for film in split_by_patient(films, known)}


@given(st.integers(8, 60), st.integers(1, 200), st.integers(0, 10_000))
def test_no_trained_film_comes_into_another_split_when_a_set_grows(first: int, more: int, seed: int) -> None:
    names = [f"{seed}-{i}" for i in range(first + more)]
    before, after = split_of(names[:first]), split_of(names)
    trained = [name for name, split in before.items() if split == "train"]
    assert trained
    assert [name for name in trained if after[name] != "train"] == []


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 10_000))
def test_the_splits_of_an_earlier_run_stay_however_few_there_were(first: int, more: int, seed: int) -> None:
    names = [f"{seed}-{i}" for i in range(first + more)]
    before = split_of(names[:first])
    after = split_of(names, before)
    assert {name: after[name] for name in before} == before


def test_known_splits_reach_the_reader(tmp_path: Path) -> None:
    folder = index(tmp_path, ["f0,a", "f1,b", "f2,c"], "stem,patient")
    known = {"a": "val", "b": "train", "c": "test"}
    assert {f.patient: f.split for f in open_dataset(folder, options=Options(known=known)).films} == known


@pytest.mark.parametrize("second", ["{0}_mask2.png", "{0}_mask (2).png", "{0}_1.png", "{0}_mask_1.png"])
def test_a_second_mask_file_is_a_piece_of_the_structure(tmp_path: Path, second: str) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"f{i}_mask.png", _MADE[i].masks["right_lung"])
        save(tmp_path / "masks" / second.format(f"f{i}"), _MADE[i].masks["left_lung"])
    dataset = open_dataset(tmp_path)
    assert dataset.structures == ("object",)
    assert all((film.load()[1]["object"] == whole(i)).all() for i, film in enumerate(dataset.films))


def test_folders_that_a_number_tells_apart_are_structures_of_their_own(tmp_path: Path) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "lobe_1" / f"f{i}.png", _MADE[i].masks["right_lung"])
        save(tmp_path / "lobe_2" / f"f{i}.png", _MADE[i].masks["left_lung"])
    assert open_dataset(tmp_path).structures == ("lobe_1", "lobe_2")


def test_a_structure_whose_masks_belong_to_no_film_is_refused(tmp_path: Path) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "right_lung" / f"f{i}.png", _MADE[i].masks["right_lung"])
        save(tmp_path / "left_lung" / f"x{i}.png", _MADE[i].masks["left_lung"])
    with pytest.raises(InputError, match="4 masks without a film"):
        open_dataset(tmp_path)


def test_the_parts_of_a_split_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    for i, split in enumerate(("Train", "Train", "Val", "Test")):
        for part in ("covid", "normal"):
            save(tmp_path / split / part / "images" / f"{part}{i}.png", _MADE[i + 4 * (part == "normal")].film.pixels)
            save(tmp_path / split / part / "lung masks" / f"{part}{i}.png", whole(i))
    dataset = open_dataset(tmp_path)
    assert Counter(film.split for film in dataset.films) == {"train": 4, "val": 2, "test": 2}
    assert dataset.structures == ("lung",)


def test_several_data_sets_in_a_folder_are_named(tmp_path: Path) -> None:
    for part in ("a", "b"):
        save(tmp_path / part / "images" / "f.png", _MADE[0].film.pixels)
        save(tmp_path / part / "masks" / "f.png", whole(0))
    with pytest.raises(InputError, match=r"holds several data sets: name each \(.*a .*b\)"):
        open_dataset(tmp_path)


def test_a_data_set_one_folder_further_down_is_named(tmp_path: Path) -> None:
    for room in ("images", "masks"):
        save(tmp_path / "set" / room / "f.png", _MADE[0].film.pixels if room == "images" else whole(0))
    (tmp_path / "HOW.txt").write_text("Unpack, and look.")
    with pytest.raises(InputError, match=r"lies in a folder below: name that \(.*set\)"):
        open_dataset(tmp_path)


def test_a_folder_that_nothing_recognises_is_described(tmp_path: Path) -> None:
    save(tmp_path / "images" / "f.png", _MADE[0].film.pixels)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "f.txt").write_text("0 0.1 0.1 0.2 0.2 0.1 0.2")
    with pytest.raises(InputError, match=r"it holds 1 \.png in images/, 1 \.txt in labels/: put films into images/"):
        open_dataset(tmp_path)


def flat(folder: Path, suffix: str = ".png") -> None:
    """Ten patients' films with their masks beside them, in folders named after their splits."""
    for i in range(10):
        split = ("train", "val", "test")[i % 3]
        save(folder / split / f"f{i}{suffix}", _MADE[i].film.pixels)
        save(folder / split / f"f{i}_mask.png", whole(i))


def facts_of(folder: Path) -> dict[str, tuple[str, str]]:
    return {Path(film.source).name: (film.patient, film.split) for film in open_dataset(folder).films}


def test_the_folder_around_a_data_set_gives_the_same_patients_and_splits(tmp_path: Path) -> None:
    inner = tmp_path / "unzipped" / "dataset"
    flat(inner)
    (inner / "index.csv").write_text("\n".join(["stem,patient", *(f"f{i},p{i}" for i in range(10))]))
    facts = facts_of(inner)
    assert facts == {f"f{i}.png": (f"p{i}", ("train", "val", "test")[i % 3]) for i in range(10)}
    assert facts_of(inner.parent) == facts
    assert open_dataset(inner.parent).name == "unzipped"


@pytest.mark.parametrize("folder", ["images", "data"])
def test_split_folders_count_below_another_folder(tmp_path: Path, folder: str) -> None:
    flat(tmp_path / folder)
    (tmp_path / "README.md").write_text("Three folders.")
    splits = {name: split for name, (_, split) in facts_of(tmp_path).items()}
    assert splits == {f"f{i}.png": ("train", "val", "test")[i % 3] for i in range(10)}


@pytest.mark.parametrize("above", [False, True])
def test_an_index_below_the_data_set_is_refused(tmp_path: Path, above: bool) -> None:
    folder = index(tmp_path / "set", ["f0,a,train", "f1,b,val", "f2,c,test"])
    text = (folder / "index.csv").read_text()
    if not above:
        (folder / "index.csv").unlink()
    (folder / "images" / "Index.csv").write_text(text)
    with pytest.raises(InputError, match=r"images/Index\.csv: is not read here: move it to .*set, or out of"):
        open_dataset(folder)


def test_all_folders_of_one_split_are_read(tmp_path: Path) -> None:
    for i, split in enumerate(("train1", "train1", "train2", "val", "test")):
        save(tmp_path / split / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / split / "masks" / f"f{i}.png", whole(i))
    assert [film.split for film in open_dataset(tmp_path).films] == ["test", "train", "train", "train", "val"]


def test_links_to_folders_inside_a_data_set_are_told(tmp_path: Path) -> None:
    real, folder = tmp_path / "real", tmp_path / "set"
    for i in range(COUNT):
        save(real / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(folder / "masks" / f"f{i}.png", whole(i))
        save(tmp_path / "more" / f"g{i}.png", _MADE[i].film.pixels)
    (folder / "images").symlink_to(real / "images")
    report = open_dataset(folder).report
    assert report is not None
    assert "linked-folders" not in {one.kind for one in report.problems}
    (real / "images" / "more").symlink_to(tmp_path / "more")
    report = open_dataset(folder).report
    assert report is not None
    assert [one.files for one in report.problems if one.kind == "linked-folders"] == [
        (str(folder / "images" / "more"),)
    ]


def test_a_link_is_read_as_the_folder_it_leads_to(tmp_path: Path) -> None:
    folder = tmp_path / "visible-lung"
    for i in range(COUNT):
        save(folder / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(folder / "masks" / f"f{i}.png", whole(i))
    (tmp_path / "current").symlink_to(folder)
    dataset = open_dataset(tmp_path / "current")
    assert (dataset.name, dataset.layout, dataset.structures) == ("current", "visible-lung", ("visible_lung",))


def test_a_set_is_named_after_its_folder_also_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = index(tmp_path / "clinic", ["f0,a,train", "f1,b,val", "f2,c,test"])
    monkeypatch.chdir(folder)
    assert open_dataset(".").name == "clinic"
    monkeypatch.chdir(folder / "images")
    assert open_dataset("..").name == "clinic"


def test_films_of_one_name_are_called_after_their_folders(tmp_path: Path) -> None:
    for i in range(COUNT):
        folder = "ward" if i % 2 else "clinic/room"
        save(tmp_path / "images" / folder / f"{i // 2}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / folder / f"{i // 2}.png", whole(i))
    save(tmp_path / "images" / "ward" / "9.1.png", _MADE[9].film.pixels)
    save(tmp_path / "masks" / "ward" / "9.1.png", whole(9))
    names = [film.name for film in open_dataset(tmp_path).films]
    assert names == ["clinic/room/0", "clinic/room/1", "ward/0", "ward/1", "9.1"]


def test_masks_of_films_that_only_a_suffix_tells_apart_go_by_it(tmp_path: Path) -> None:
    for i, name in enumerate(("001.jpg", "001.png", "002.png")):
        save(tmp_path / "images" / name, _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"{name}.png", whole(i))
    films = open_dataset(tmp_path).films
    assert [film.name for film in films] == ["001.jpg", "001.png", "002"]
    assert all((film.load()[1]["object"] == whole(i)).all() for i, film in enumerate(films))


@pytest.mark.parametrize("names", [("001.jpg", "001.png"), ("IMG_7.png", "img_7.png")])
def test_a_mask_that_fits_two_films_is_given_to_neither(tmp_path: Path, names: tuple[str, str]) -> None:
    for i in range(COUNT):
        save(tmp_path / "images" / f"f{i}.png", _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"f{i}.png", whole(i))
    for i, name in enumerate(names):
        save(tmp_path / "images" / name, _MADE[i].film.pixels)
        save(tmp_path / "masks" / f"{Path(name).stem}_{i}.png", whole(i))
    dataset = inspect_dataset(tmp_path)
    assert [film.name for film in dataset.films] == [f"f{i}" for i in range(COUNT)]
    assert dataset.report is not None
    found = {one.kind: one for one in dataset.report.errors}
    assert {kind: len(one.files) for kind, one in found.items()} == {"unmatched-films": 2, "unmatched-masks": 2}
    assert any(f"({', '.join(names)})" in one.text for one in dataset.report.problems if one.kind == "names")


def test_films_that_nobody_outlined_follow_the_known_split_of_their_patient(tmp_path: Path) -> None:
    folder = index(tmp_path / "unlabelled", ["f0,7", "f1,b", "f2,c"], "stem,patient")
    for path in (folder / "masks").iterdir():
        path.unlink()
    (folder / "masks").rmdir()
    films = open_dataset(folder, options=Options(known={"007": "test", "b": "val"})).films
    assert [film.split for film in films] == ["test", "val", "train"]


def test_a_patient_that_a_spreadsheet_spells_anew_keeps_its_split() -> None:
    known = {"007": "test", "Smith": "val", "12": "train"}
    assert split_of(["7", "smith", "12.0"], known) == {"7": "test", "smith": "val", "12.0": "train"}
    assert split_of(["7"], {"007": "test", "7": "val"}) == {"7": "val"}
