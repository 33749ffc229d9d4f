"""Finding the files of annotation programs in a folder, and the films that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edge_seg.errors import InputError

from edge_seg_data.annotations.formats import read_cvat, read_dicom_seg, read_json
from edge_seg_data.annotations.shapes import AnnotatedFilm, Annotations, draw
from edge_seg_data.files import DICOM, is_film_file, key_of, list_files, stem_of
from edge_seg_data.finding import Found, splits_by_folder
from edge_seg_data.index import SPLIT_NAMES
from edge_seg_data.pairing import words_of
from edge_seg_data.report import NOTE, Problem

TITLE = "films with outlines of COCO, labelme, CVAT (images 1.1), V7 Darwin or DICOM SEG"


def find(folder: Path) -> Found | None:
    """Films of a folder that annotations in it are of, `None` where there are no annotations.

    Raises:
        InputError: annotations are damaged, or a label cannot be a name.
    """
    files = list_files(folder)
    annotations = [(path, one) for path in files if (one := _read(path)) is not None]
    if not annotations:
        return None
    sources = {path for path, _ in annotations}
    films = [path for path in files if path not in sources and is_film_file(path)]
    found = Found(", ".join(dict.fromkeys(one.program for _, one in annotations)))
    structures = tuple(dict.fromkeys(name for _, one in annotations for name in one.structures))
    names = _names(films)
    absent: list[str] = []
    for path, one in annotations:
        split = next((SPLIT_NAMES[word] for word in words_of(path.stem) if word in SPLIT_NAMES), "")
        for annotated in one.films:
            film = names.get(_key(annotated))
            if film is None:
                absent.append(annotated.film)
                continue
            _add(found, film, annotated, structures)
            if split:
                found.splits[film] = split
        found.problems += [Problem("annotations", NOTE, note) for note in one.notes]
    found.masks = {film: found.masks[film] for film in films if film in found.masks}
    found.drawn_structures = structures
    found.lonely_films = [film for film in films if film not in found.masks]
    found.lonely_masks = [Path(name) for name in absent]
    found.splits = {**splits_by_folder(films, folder), **found.splits}
    return found


def _add(found: Found, film: Path, annotated: AnnotatedFilm, structures: Sequence[str]) -> None:
    if film in found.drawn:
        raise InputError(f"{annotated.source}: {annotated.film} is annotated in another file too: leave one of them")
    found.masks[film] = {}
    found.drawn[film] = partial(draw, annotated, structures)


def _read(path: Path) -> Annotations | None:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_json(path)
    if suffix == ".xml":
        return read_cvat(path)
    if suffix in DICOM and _is_seg(path):
        return read_dicom_seg(path)
    return None


def _is_seg(path: Path) -> bool:
    return _header(path, "Modality") == "SEG"


def _header(path: Path, name: str) -> str:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[name]).get(name, ""))
    except (OSError, InvalidDicomError, ValueError, AttributeError, EOFError):
        return ""


def _key(annotated: AnnotatedFilm) -> str:
    return key_of(stem_of(annotated.film.replace("\\", "/").rpartition("/")[2]))


def _names(films: Sequence[Path]) -> dict[str, Path]:
    """Films by their names, and DICOM films by their UIDs too.

    Raises:
        InputError: two films have one name.
    """
    names: dict[str, Path] = {}
    for film in films:
        key = key_of(stem_of(film.name))
        if key in names:
            raise InputError(f"{film}: {names[key]} has the same name, and annotations name no folder: rename one")
        names[key] = film
        if film.suffix.lower() in DICOM or film.suffix == "" or film.suffix[1:].isdigit():
            names[_header(film, "SOPInstanceUID")] = film
    return names
