"""`index.csv` as people write it: read correctly, or refused with the line, the value and the fix."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg_data import Dataset, inspect_dataset
from edge_seg_data.index import read_index

ROWS = [("f0", "p1", "train"), ("f1", "p1", "train"), ("f2", "p2", "val"), ("f3", "p3", "test")]


def folder_with(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    for i in range(len(ROWS)):
        for name, value in (("images", 10 * i + 10), ("masks", 255)):
            (folder / name).mkdir(exist_ok=True)
            picture = np.zeros((16, 16), np.uint8)
            picture[4:9, 4:9] = value
            cv2.imwrite(str(folder / name / f"f{i}.png"), picture)
    (folder / "index.csv").write_bytes(text.encode(encoding))
    return folder


def table(*columns: str, sign: str = ",", end: str = "\n") -> str:
    return end.join(sign.join(row) for row in [columns, *ROWS])


def kinds(dataset: Dataset) -> dict[str, str]:
    assert dataset.report is not None
    return {problem.kind: problem.severity for problem in dataset.report.problems}


@pytest.mark.parametrize(
    "text",
    [
        table("Image Index", "Patient ID", "Split"),
        table("file-name", "patient_id", "SET"),
        table("ImageId", "PatientId", "subset"),
        table("path", "subject", "partition", sign="|"),
        table("stem", "patient", "split", end="\r"),
        "sep=;\r\n" + table("stem", "patient", "split", sign=";", end="\r\n"),
    ],
)
def test_columns_under_the_names_that_people_give_them(tmp_path: Path, text: str) -> None:
    films = inspect_dataset(folder_with(tmp_path, text)).films
    assert [(film.name, film.patient, film.split) for film in films] == ROWS


@pytest.mark.parametrize(
    ("twice", "complaint"),
    [
        ("Patient", "the column patient is there twice, with p1 and p9"),
        ("PATIENT ", "the column patient is there twice, with p1 and p9"),
        ("pa-tient", "the columns patient and pa-tient, which are read alike"),
    ],
)
def test_columns_that_differ_in_case_or_signs_alone_are_refused(tmp_path: Path, twice: str, complaint: str) -> None:
    text = f"stem,patient,split,{twice}\nf0,p1,train,p9\n"
    with pytest.raises(InputError, match=complaint):
        read_index(folder_with(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no rows"),
        ("stem,patient,split\n", "holds no rows"),
        (table("bild", "kranker", "gruppe"), r"has no column of films \(bild, kranker, gruppe\)"),
        (table("stem", "patient", "split").replace("val", "holdout"), "line 4 has the split holdout"),
    ],
)
def test_a_table_that_says_nothing_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_index(folder_with(tmp_path, text))


@pytest.mark.parametrize("other", ["P1", "p1 "])
def test_one_patient_in_two_spellings_is_one(tmp_path: Path, other: str) -> None:
    text = f"stem,patient,split\nf0,p1,train\nf1,p2,train\nf2,p3,val\nf3,{other},test\n"
    assert kinds(inspect_dataset(folder_with(tmp_path, text)))["patients-across-splits"] == "error"


def test_numbers_that_a_spreadsheet_changed_are_one_patient(tmp_path: Path) -> None:
    text = "stem,patient,split\nf0,007,train\nf1,7,\nf2,7.0,\nf3,8,test\n"
    films = inspect_dataset(folder_with(tmp_path, text)).films
    assert [(film.patient, film.split) for film in films] == [("007", "train")] * 3 + [("8", "test")]


@pytest.mark.parametrize("blank", ["nan", "N/A", "unknown", "-"])
def test_words_for_nothing_name_no_patient(tmp_path: Path, blank: str) -> None:
    text = f"stem,patient,split\nf0,p1,train\nf1,{blank},val\nf2,{blank},test\nf3,p2,{blank}\n"
    dataset = inspect_dataset(folder_with(tmp_path, text))
    assert "patients-across-splits" not in kinds(dataset)
    assert kinds(dataset)["blank-patients"] == "warning"


def test_an_index_of_other_films_is_an_error(tmp_path: Path) -> None:
    text = table("stem", "patient", "split").replace("f", "film-")
    assert kinds(inspect_dataset(folder_with(tmp_path, text)))["index-rows-without-film"] == "error"


@pytest.mark.parametrize(("name", "encoding"), [("index.csv", "utf-16"), ("Index.CSV", "utf-8")])
def test_an_index_of_whole_lungs_is_known_in_any_encoding_and_case(tmp_path: Path, name: str, encoding: str) -> None:
    folder = folder_with(tmp_path, "Stem,Match_Score\nf0,9\nf1,9\nf2,9\nf3,9\n", encoding)
    (folder / "index.csv").rename(folder / name)
    assert inspect_dataset(folder).structures == ("right_lung", "left_lung")


def test_a_field_longer_than_tables_hold_is_refused(tmp_path: Path) -> None:
    text = table("stem", "patient", "split") + '\nf4,"' + "x" * 200_000
    with pytest.raises(
        InputError, match=r"index\.csv: cannot be read as a table \(.*\): is a quotation mark left open"
    ):
        read_index(folder_with(tmp_path, text))


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    found = kinds(inspect_dataset(folder_with(tmp_path, table("stem", "person_number", "split"))))
    assert found["index-columns"] == "warning"
    (tmp_path / "index.csv").rename(tmp_path / "metadata.csv")
    assert kinds(inspect_dataset(tmp_path))["unread-tables"] == "note"
