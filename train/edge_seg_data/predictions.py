"""Another program's masks of a data set's films, read by the same rules as masks that people drew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge_seg.errors import InputError, UsageError
from edge_seg.film import Film

from edge_seg_data import finding
from edge_seg_data.dataset import Dataset, LabelledFilm, Outlines
from edge_seg_data.files import is_mask_file, list_files
from edge_seg_data.finding import Found
from edge_seg_data.masks.classes import CLASSES_NAME
from edge_seg_data.pairing import Pairing, pair
from edge_seg_data.reading import Layout, Options, read_dataset

_TITLE = "masks of another program"


def open_predictions(folder: Path, dataset: Dataset, structure: str = "", options: Options = Options()) -> Dataset:  # noqa: B008
    """The films of a data set with the masks of a folder as their outlines.

    Masks are named `NAME.png`, `NAME_mask.png` or `NAME.STRUCTURE.png`, or are in a folder per structure. Their values
    are interpreted as for a data set's own masks; `classes.txt` of the folder, or else of the data set, names them.

    Args:
        folder: of masks.
        dataset: read from files.
        structure: that every mask holds; empty if names or values give it.
        options: whose `progress` is called.

    Returns:
        The films that have a mask.

    Raises:
        InputError: no mask belongs to a film, or a mask cannot be read or understood.
        UsageError: the data set's films do not come from files.
    """
    films = [Path(film.source) for film in dataset.films if film.source]
    if not films or dataset.report is None:
        raise UsageError(f"{dataset.name}: its films are no files, to which masks in a folder could belong")
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder: give the folder of masks")
    found = _found(films, folder)
    if not found.masks:
        raise InputError(
            f"{folder}: no mask is named like a film of {dataset.name}: name each like its film (NAME.png)"
        )
    rules = folder if (folder / CLASSES_NAME).is_file() else Path(dataset.report.folder)
    layout = Layout(_TITLE, lambda folder: found, structure=structure)
    made = read_dataset(rules, "predictions", layout, found, options)
    errors = made.report.errors if made.report else ()
    if errors:
        raise InputError(f"{folder}: {errors[0].text}")
    return _named_alike(made, dataset)


def _found(films: list[Path], folder: Path) -> Found:
    found = Found(_TITLE)
    root = Path(os.path.commonpath([film.parent for film in films]))
    loose = [path for path in list_files(folder) if is_mask_file(path)]
    if any(path.parent == folder for path in loose):
        found.add(_without_others(pair(films, loose, root, folder)))
    else:
        for name, below in finding.structure_folders(finding.folders_of(folder)).items():
            masks = [path for path in list_files(below) if is_mask_file(path)]
            found.add(pair(films, masks, root, below), name)
        if not found.masks:
            found.add(_without_others(pair(films, loose, root, folder)))
    found.lonely_masks = []  # masks of films outside this data set are no problem
    return found


def _without_others(pairing: Pairing) -> Pairing:
    """The pairing without overlays and previews beside the masks."""
    kept = {
        film: {name: paths for name, paths in masks.items() if not finding.is_no_structure(name)}
        for film, masks in pairing.masks.items()
    }
    return Pairing({film: masks for film, masks in kept.items() if masks}, (), (), pairing.notes)


def _named_alike(made: Dataset, dataset: Dataset) -> Dataset:
    """Rename a sole structure in the masks to the data set's sole structure."""
    if len(made.structures) != 1 or len(dataset.structures) != 1 or made.structures == dataset.structures:
        return made
    renamed = {made.structures[0]: dataset.structures[0]}
    films = tuple(replace(film, read=partial(_renamed, film, renamed)) for film in made.films)
    return replace(made, structures=dataset.structures, films=films)


def _renamed(film: LabelledFilm, names: Mapping[str, str]) -> tuple[Film, Outlines]:
    picture, outlines = film.read()
    return picture, {names.get(name, name): plane for name, plane in outlines.items()}
