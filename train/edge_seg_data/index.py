"""`index.csv`: each film's patient, split, and other facts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from edge_seg.errors import InputError

from edge_seg_data.files import key_of, stem_of
from edge_seg_data.text import read_table

INDEX_NAME = "index.csv"

# Column names without spaces and punctuation, in the order in which they are tried.
_FILM = (
    *("stem", "film", "image", "filename", "filepath", "imagepath", "imageindex", "imagename", "imagefile"),
    *("path", "file", "name", "imageid", "imgid", "id"),
)
_PATIENT = ("patient", "patientid", "patientname", "subject", "subjectid", "person", "personid", "case", "caseid")
_SPLIT = ("split", "set", "subset", "partition")
_ATTRIBUTES = ("finding", "view", "label", "source_set")
_POSITIVE = ("match_score", "original_width", "original_height")
KEPT_COLUMNS = (*_POSITIVE, *_ATTRIBUTES, "aspect_known")
"""Columns with facts about the film itself, apart from its patient and split."""

# What spreadsheets and data frames write for missing values.
_BLANK = frozenset({"nan", "none", "null", "na", "n/a", "#n/a", "unknown", "unnamed", "?", "-", "--"})

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Common names of the splits, and their names here."""


@dataclass(frozen=True)
class IndexRow:
    """A film's row in the index.

    Attributes:
        line: of the file, from 1.
        stem: the film's file name without suffix.
        patient: empty if not named.
        split: `train`, `val`, `test`, or empty.
        attributes: `finding`, `view`, ...
        values: every column, by its name.
    """

    line: int
    stem: str
    patient: str
    split: str
    attributes: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def number(self, column: str) -> float | None:
        """A column's number, `None` if blank."""
        text = self.values.get(column, "")
        return float(text) if text else None


@dataclass(frozen=True)
class Index:
    """An `index.csv`.

    Attributes:
        rows: by film key, see `files.key_of`.
        unread: columns that are not read.
        names_patients, names_splits: whether there is a column for them.
    """

    rows: dict[str, IndexRow]
    unread: tuple[str, ...] = ()
    names_patients: bool = True
    names_splits: bool = True


def read_index(folder: Path) -> Index | None:
    """A folder's `index.csv`, `None` if there is no such file.

    Raises:
        InputError: the file has no rows, no column of films, or two columns with one meaning; or a row names no film,
            an unknown split, the film of another row, or an invalid number.
    """
    path = index_file(folder)
    if path is None:
        return None
    table = read_table(path)
    if not table:
        raise InputError(f"{path}: holds no rows: give each film one (stem,patient,split), or remove the file")
    columns = list(table[0])
    _require_one_of_each(path, columns)
    rows: dict[str, IndexRow] = {}
    patients: dict[str, str] = {}
    for line, values in enumerate(table, 2):
        row = _row(path, line, values, patients)
        key = key_of(row.stem)
        if key in rows:
            raise InputError(f"{path}: lines {rows[key].line} and {line} both name {row.stem}: leave one")
        rows[key] = row
    known = {*_FILM, *_PATIENT, *_SPLIT, *map(_plain, KEPT_COLUMNS)}
    unread = tuple(name for name in columns if name and _plain(name) not in known)
    plain = set(map(_plain, columns))
    return Index(rows, unread, bool(plain & set(_PATIENT)), bool(plain & set(_SPLIT)))


def index_file(folder: Path) -> Path | None:
    """A folder's `index.csv`, in capitals or not, if any."""
    return next((path for path in folder.iterdir() if path.name.lower() == INDEX_NAME), None)


def _require_one_of_each(path: Path, columns: list[str]) -> None:
    """Refuse columns with one meaning, only one of which could count."""
    seen: dict[str, str] = {}
    for name in filter(None, columns):
        before = seen.setdefault(_plain(name), name)
        if before != name and _plain(name) in {*_FILM, *_PATIENT, *_SPLIT}:
            raise InputError(f"{path}: has the columns {before} and {name}, which are read alike: remove one")


def _row(path: Path, line: int, values: dict[str, str], patients: dict[str, str]) -> IndexRow:
    """A row; `patients` holds each patient's first spelling, so that `P1` and `p1` are one."""
    if not set(map(_plain, values)) & set(_FILM):
        names = ", ".join(filter(None, values))[:200]
        raise InputError(f"{path}: has no column of films ({names}): call the one with their file names `stem`")
    film = _first(values, _FILM)
    if not film:
        raise InputError(f"{path}: line {line} names no film: give its file name without suffix as `stem`")
    split = _first(values, _SPLIT)
    if split and split.lower() not in SPLIT_NAMES:
        raise InputError(f"{path}: line {line} has the split {split}: use train, val, test, or none")
    patient = _first(values, _PATIENT)
    for column in _POSITIVE:
        if values.get(column) and not _is_positive(values[column]):
            raise InputError(f"{path}: line {line} has the {column} {values[column]}: give a number above 0")
    return IndexRow(
        line,
        stem_of(film.replace("\\", "/").rpartition("/")[2]),
        patients.setdefault(same_patient(patient), patient) if patient else "",
        SPLIT_NAMES.get(split.lower(), ""),
        {name: values[name] for name in _ATTRIBUTES if values.get(name)},
        values,
    )


def _first(values: dict[str, str], columns: tuple[str, ...]) -> str:
    plain = {_plain(name): value for name, value in values.items() if value.lower() not in _BLANK}
    return next((plain[column] for column in columns if plain.get(column)), "")


def _plain(column: str) -> str:
    """A column's name normalised for lookup: `Patient ID`, `patient-id` and `PatientId` are one."""
    return re.sub(r"[\W_]", "", column.casefold())


def same_patient(patient: str) -> str:
    """A key that ignores case and how spreadsheets change numbers (`007`, `7`, `7.0`)."""
    number = re.fullmatch(r"0*(\d+)(?:\.0+)?", patient)
    return number[1] if number else key_of(patient)


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
