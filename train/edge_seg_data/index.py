"""`index.csv`: which patient a film is of, which split it belongs to, and what else is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_seg.errors import InputError

from edge_seg_data.files import key_of, stem_of
from edge_seg_data.text import read_table

INDEX_NAME = "index.csv"

_FILM = ("stem", "film", "image", "filename", "file_name", "file", "name", "image_id", "id")
_PATIENT = ("patient", "patient_id", "patientid", "subject", "subject_id", "person", "case")
_SPLIT = ("split", "set", "subset", "partition")
_ATTRIBUTES = ("finding", "view", "label", "source_set")
_POSITIVE = ("match_score", "original_width", "original_height")

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
"""What people call the splits, and what they are called here."""


@dataclass(frozen=True)
class IndexRow:
    """What the index says of one film.

    Attributes:
        line: of the file, from 1.
        stem: the film's file name without suffix.
        patient: empty where it is not named.
        split: `train`, `val`, `test`, or empty.
        attributes: `finding`, `view`, ...
        values: all other columns.
    """

    line: int
    stem: str
    patient: str
    split: str
    attributes: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def number(self, column: str) -> float | None:
        """A column's number, `None` where it is blank."""
        text = self.values.get(column, "")
        return float(text) if text else None


def read_index(folder: Path) -> dict[str, IndexRow] | None:
    """The rows of a folder's `index.csv` by film key (see `files.key_of`), `None` where there is no such file.

    Raises:
        InputError: a row names no film, an unknown split, the film of another row, or a number that is none.
    """
    path = next((p for p in folder.iterdir() if p.name.lower() == INDEX_NAME), None)
    if path is None:
        return None
    rows: dict[str, IndexRow] = {}
    for line, values in enumerate(read_table(path), 2):
        row = _row(path, line, values)
        key = key_of(row.stem)
        if key in rows:
            raise InputError(f"{path}: lines {rows[key].line} and {line} both name {row.stem}: leave one")
        rows[key] = row
    return rows


def _row(path: Path, line: int, values: dict[str, str]) -> IndexRow:
    film = _first(values, _FILM)
    if not film:
        raise InputError(f"{path}: line {line} names no film: give its file name without suffix as `stem`")
    split = _first(values, _SPLIT)
    if split and split.lower() not in SPLIT_NAMES:
        raise InputError(f"{path}: line {line} has the split {split}: use train, val, test, or none")
    for column in _POSITIVE:
        if values.get(column) and not _is_positive(values[column]):
            raise InputError(f"{path}: line {line} has the {column} {values[column]}: give a number above 0")
    return IndexRow(
        line,
        stem_of(film.replace("\\", "/").rpartition("/")[2]),
        _first(values, _PATIENT),
        SPLIT_NAMES.get(split.lower(), ""),
        {name: values[name] for name in _ATTRIBUTES if values.get(name)},
        values,
    )


def _first(values: dict[str, str], columns: tuple[str, ...]) -> str:
    return next((values[column] for column in columns if values.get(column)), "")


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
