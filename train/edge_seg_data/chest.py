"""Chest films in the project's own layouts: per-structure outlines, whole-lung masks, visible-lung masks."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.pixels import IGNORE
from edge_seg.structures import CHEST

from edge_seg_data.dataset import (
    PICTURES,
    SPLITS,
    Dataset,
    LabelledFilm,
    Outlines,
    picture_files,
    read_film,
    read_mask,
    split_by_patient,
)

STRUCTURES = tuple(structure.name for structure in CHEST)

WEAKEST_MATCH = 6.0
"""Pairs of film and mask with a lower `match_score` are too doubtful to score against."""


def recognises(folder: Path) -> bool:
    """Whether the folder holds outlines per structure."""
    return (folder / "images").is_dir() and any((folder / name).is_dir() for name in STRUCTURES)


def recognises_whole(folder: Path) -> bool:
    """Whether the folder holds whole-lung masks with an index that tells how well each matches its film."""
    index = folder / "index.csv"
    return (folder / "masks").is_dir() and index.is_file() and "match_score" in index.open().readline()


def recognises_visible(folder: Path) -> bool:
    """Whether the folder holds visible-lung masks; nothing but its name can tell."""
    return folder.name == "visible-lung" and (folder / "masks").is_dir()


def read(folder: Path) -> Dataset:
    """Films with a folder of outlines per structure; a film without an outline has no label for it."""
    films = [_labelled(folder, row, partial(_read_structures, folder, row["stem"])) for row in _index(folder)]
    return _dataset(folder, "chest", films)


def read_whole(folder: Path) -> Dataset:
    """Films with one mask for both whole lungs, told apart by side of the midline."""
    films = [_labelled(folder, row, partial(_read_whole, folder, row)) for row in _index(folder)]
    return _dataset(folder, "whole-lung", films)


def read_visible(folder: Path) -> Dataset:
    """Films with one mask of the visible lung field; where no `index.csv` splits them, all are test films."""
    splits = {row["stem"]: (row.get("patient") or row["stem"], row.get("split") or "test") for row in _index(folder)}
    films = [
        LabelledFilm(path.stem, *splits[path.stem], partial(_read_visible, folder, path))
        for path in picture_files(folder / "images")
        if path.stem in splits and _picture(folder / "masks", path.stem).is_file()
    ]
    return Dataset(folder.name, "visible-lung", ("visible_lung",), tuple(films))


def lungs_by_side(mask: np.ndarray) -> Outlines:
    """Right and left lung from a mask of both: pieces by the side their centroid lies on.

    The midline is the middle between the mask's outermost columns, or the picture's where the mask keeps to one half of
    it: that is one lung. A piece that reaches well across the midline is both lungs grown together
    and is cut there. The picture's left is the patient's right.

    Args:
        mask: `(height, width)` uint8 of 0, 1 and `IGNORE`.
    """
    inside = (mask == 1).astype(np.uint8)
    columns = np.flatnonzero(inside.any(axis=0))
    middle = mask.shape[1] / 2
    if columns.size and columns[0] < middle <= columns[-1]:
        middle = (columns[0] + columns[-1] + 1) / 2
    right = np.zeros_like(inside)
    _, pieces, stats, centres = cv2.connectedComponentsWithStats(inside, connectivity=8)
    on_right = np.arange(mask.shape[1]) < middle
    for piece in range(1, len(stats)):
        area = pieces == piece
        share = np.count_nonzero(area & on_right) / np.count_nonzero(area)
        if 0.25 < share < 0.75:
            right[area & on_right] = 1
        elif centres[piece][0] < middle:
            right[area] = 1
    left = inside - right
    ignored = mask == IGNORE
    return {
        "right_lung": np.where(ignored, IGNORE, right).astype(np.uint8),
        "left_lung": np.where(ignored, IGNORE, left).astype(np.uint8),
    }


def _index(folder: Path) -> list[dict[str, str]]:
    index = folder / "index.csv"
    if not index.is_file():
        return [{"stem": path.stem} for path in picture_files(folder / "images")]
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for line, row in enumerate(rows, 2):
        if not row.get("stem"):
            raise InputError(f"{index}: line {line} names no film: give its file name without suffix as `stem`")
        if row.get("split", "") not in ("", *SPLITS):
            raise InputError(f"{index}: line {line} has the split {row['split']}: use {', '.join(SPLITS)}, or none")
        for column in ("match_score", "original_width", "original_height"):
            if row.get(column) and not _is_positive(row[column]):
                raise InputError(f"{index}: line {line} has the {column} {row[column]}: give a number above 0")
    return rows


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _labelled(folder: Path, row: dict[str, str], read: partial[tuple[Film, Outlines]]) -> LabelledFilm:
    return LabelledFilm(
        name=row["stem"],
        patient=row.get("patient") or row["stem"],
        split=row.get("split", ""),
        read=read,
        attributes={key: row[key] for key in ("finding", "view") if row.get(key)},
        scored=float(row.get("match_score") or WEAKEST_MATCH) >= WEAKEST_MATCH,
    )


def _dataset(folder: Path, layout: str, films: list[LabelledFilm]) -> Dataset:
    named = all(film.split for film in films)
    return Dataset(folder.name, layout, STRUCTURES, tuple(films) if named else split_by_patient(films))


def _picture(folder: Path, stem: str) -> Path:
    """The picture of that name, or where it should be."""
    paths = [folder / f"{stem}{suffix}" for suffix in PICTURES]
    return next((path for path in paths if path.is_file()), paths[0])


def _read_structures(folder: Path, stem: str) -> tuple[Film, Outlines]:
    paths = {name: _picture(folder / name, stem) for name in STRUCTURES}
    return read_film(_picture(folder / "images", stem)), {
        name: read_mask(path) for name, path in paths.items() if path.is_file()
    }


def _read_whole(folder: Path, row: dict[str, str]) -> tuple[Film, Outlines]:
    film = read_film(_picture(folder / "images", row["stem"]))
    mask = read_mask(_picture(folder / "masks", row["stem"]))
    size = film.shape[::-1]
    if row.get("original_width") and row.get("original_height"):
        size = _unsquashed(film.shape, float(row["original_width"]), float(row["original_height"]))
    if size != film.shape[::-1]:
        film = Film(cv2.resize(film.pixels, size, interpolation=cv2.INTER_LINEAR_EXACT), film.name, film.source)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return film, {**lungs_by_side(mask), "whole_lung": mask}


def _unsquashed(shape: tuple[int, int], original_width: float, original_height: float) -> tuple[int, int]:
    """`(width, height)` with the original's aspect, where no side is smaller than stored."""
    height, width = shape
    stretch = (original_width / original_height) / (width / height)
    return (round(width * stretch), height) if stretch >= 1 else (width, round(height / stretch))


def _read_visible(folder: Path, path: Path) -> tuple[Film, Outlines]:
    return read_film(path), {"visible_lung": read_mask(_picture(folder / "masks", path.stem))}
