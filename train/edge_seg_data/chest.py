"""Chest films in the project's own layouts: per-structure outlines, whole-lung masks, visible-lung masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from edge_seg.film import Film
from edge_seg.pixels import IGNORE
from edge_seg.structures import CHEST

from edge_seg_data.dataset import Outlines
from edge_seg_data.finding import Found, Rooms, film_folder, find_rooms, folders_of, structure_folders
from edge_seg_data.index import IndexRow, index_file
from edge_seg_data.text import read_columns

LUNGS = ("right_lung", "left_lung")
WHOLE, VISIBLE = "whole_lung", "visible_lung"
VISIBLE_FOLDERS = ("visible-lung", "adult-visible")
"""Folders whose masks, also one folder down, show the visible lung: only the name identifies them."""

NOT_VISIBLE = tuple(f"shenzhen-CHNCXR_000{number}_0" for number in (1, 2, 3, 7))
"""Films whose visible-lung masks include the part behind the heart."""

_SIDES = ("visible_right_lung", "visible_left_lung")
OUTLINED = tuple(dict.fromkeys((*(structure.name for structure in CHEST), "heart", *_SIDES)))
"""Names of outline folders."""


def find(folder: Path) -> Found | None:
    """Films with a folder of outlines for each structure of the chest.

    A folder `masks/` beside those of both sides holds both lungs together: visible lungs if the sides are visible
    lungs, otherwise whole lungs.
    """
    folders = folders_of(folder)
    films = film_folder(folders)
    shown = {name: folders[name] for name in OUTLINED if name in folders}
    if films is None or not shown:
        return None
    both = next((name for sides, name in ((_SIDES, VISIBLE), (LUNGS, WHOLE)) if set(sides) <= shown.keys()), None)
    if both and "masks" in folders:
        shown[both] = folders["masks"]
    shown |= {name: path for name, path in structure_folders(folders).items() if path not in (films, *shown.values())}
    ignored = tuple(path for path in folders.values() if path != films and path not in shown.values())
    return find_rooms(Rooms(films, None, shown, ignored), "chest")


def find_whole(folder: Path) -> Found | None:
    """Films with whole-lung masks and an index that scores how well each mask matches its film.

    Raises:
        InputError: the index cannot be read.
    """
    index, masks = index_file(folder), folder / "masks"
    if not masks.is_dir() or not (folder / "images").is_dir() or index is None:
        return None
    if "match_score" not in read_columns(index):
        return None
    return find_rooms(Rooms(folder / "images", masks, {}, ()), "whole-lung")


def find_visible(folder: Path) -> Found | None:
    """Films with visible-lung masks."""
    if not (folder / "masks").is_dir() or not (folder / "images").is_dir():
        return None
    return find_rooms(Rooms(folder / "images", folder / "masks", {}, ()), "visible-lung")


def finish(film: Film, outlines: Outlines, row: IndexRow | None) -> tuple[Film, Outlines]:
    """Ignore in each lung what the mask of both lungs ignores, and restore the original aspect.

    Films are stored with their own aspect unless the index has `aspect_known`; 1 then means that the original size in
    the index has it.
    """
    ignored = outlines[WHOLE] == IGNORE if WHOLE in outlines else None
    for name in LUNGS:
        if name in outlines and ignored is not None and ignored.shape == outlines[name].shape and ignored.any():
            outlines[name] = np.where(ignored, IGNORE, outlines[name]).astype(np.uint8)
    if row is not None and row.values.get("aspect_known") == "1":
        return with_original_aspect(film, outlines, row)
    return film, outlines


def finish_whole(film: Film, outlines: Outlines, row: IndexRow | None) -> tuple[Film, Outlines]:
    """The film in its original aspect, and its whole lungs separated by side of the midline."""
    film, outlines = with_original_aspect(film, outlines, row)
    return film, {**_sides_of(film, outlines[WHOLE]), **outlines}


def with_original_aspect(film: Film, outlines: Outlines, row: IndexRow | None) -> tuple[Film, Outlines]:
    """Film and outlines stretched to the aspect of the original size in the index, if any."""
    width, height = (row.number("original_width"), row.number("original_height")) if row else (None, None)
    size = _unsquashed(film.shape, width, height) if width and height else film.shape[::-1]
    if size == film.shape[::-1]:
        return film, outlines
    stretched = Film(
        cv2.resize(film.pixels, size, interpolation=cv2.INTER_LINEAR_EXACT),
        film.name,
        film.source,
        orientation=film.orientation,
        orientation_known=film.orientation_known,
    )
    return stretched, {
        name: cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT) for name, mask in outlines.items()
    }


def lungs_by_side(mask: np.ndarray) -> Outlines:
    """Right and left lung from a mask of both: pieces go to the side of their centroid.

    The midline is midway between the mask's outermost columns, or the picture's if the mask keeps to one half of it and
    so is one lung. A piece that reaches well across the midline is both lungs merged, and is cut there. The picture's
    left is the patient's right.

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


def _sides_of(film: Film, mask: np.ndarray) -> Outlines:
    """The lungs by side, also on a film that is stored as a mirror image."""
    sides: Outlines = {}
    for name, plane in lungs_by_side(film.orientation.upright(mask)).items():
        sides[name] = np.empty_like(mask)
        film.orientation.upright(sides[name])[:] = plane
    return sides


def _unsquashed(shape: tuple[int, int], original_width: float, original_height: float) -> tuple[int, int]:
    """`(width, height)` with the original's aspect and no side smaller than stored."""
    height, width = shape
    stretch = (original_width / original_height) / (width / height)
    return (round(width * stretch), height) if stretch >= 1 else (width, round(height / stretch))
