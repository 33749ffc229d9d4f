"""Find the files of annotation programs in a folder, and the films they annotate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from edge_seg.errors import InputError

from edge_seg_data.annotations.formats import read_cvat, read_dicom_seg, read_json
from edge_seg_data.annotations.shapes import AnnotatedFilm, Annotations, draw
from edge_seg_data.files import DICOM, is_film_file, key_of, list_files, stem_of
from edge_seg_data.finding import Found, split_named, splits_by_folder
from edge_seg_data.masks.classes import BACKGROUND, IGNORED, names_alike
from edge_seg_data.pairing import words_of
from edge_seg_data.report import WARNING, Problem, counted

TITLE = "films with outlines of COCO, labelme, CVAT (images 1.1), V7 Darwin or DICOM SEG"


def find(folder: Path) -> Found | None:
    """The films in a folder that annotations in it belong to, `None` if there are no annotations.

    Raises:
        InputError: annotations are damaged, of films that are not here, or without an outline; or a label cannot be a
            name, or two labels differ only in case.
    """
    files = list_files(folder)
    annotations = [(path, one) for path in files if (one := _read(path)) is not None]
    if not annotations:
        return None
    sources = {path for path, _ in annotations}
    films = [path for path in files if path not in sources and is_film_file(path)]
    found = Found(", ".join(dict.fromkeys(one.program for _, one in annotations)))
    structures = _structures(annotations)
    names = _names(films)
    absent: list[str] = []
    for path, one in annotations:
        split = _split_of(path, one)
        for annotated in one.films:
            film = names.get(_key(annotated)) or (_beside(path, names) if len(one.films) == 1 else None)
            if film is None:
                absent.append(annotated.film)
                continue
            _add(found, film, annotated, structures)
            if split:
                found.splits[film] = split
    if not found.masks:
        raise InputError(f"{annotations[0][0]}: none of its films is in {folder}, {absent[0]} for one: put them there")
    found.problems += [
        *_notes(annotations),
        *_nothing_drawn(found),
        *_damaged([path for path in files if path not in sources]),
    ]
    found.masks = {film: found.masks[film] for film in films if film in found.masks}
    found.drawn_structures = structures
    found.lonely_films = [film for film in films if film not in found.masks]
    found.lonely_masks = [Path(name) for name in absent]
    found.splits = {**splits_by_folder(films, folder), **found.splits}
    return found


def not_understood(folder: Path) -> str:
    """A hint at annotation files in a folder that no reader understands; empty if there are none."""
    others = [path for path in list_files(folder) if path.suffix.lower() in (".json", ".xml") and _read(path) is None]
    if not others:
        return ""
    damage = _damage(others[0])
    if damage:
        return f"; {others[0]} is damaged ({damage}): export it again"
    programs = "COCO (instances), labelme, CVAT (images 1.1) or V7 Darwin"
    return f"; {others[0].name} is not of {programs}: export as one of them"


def _damage(path: Path) -> str:
    """Why a file is not complete JSON or XML; empty if it is, or if its suffix is neither."""
    try:
        if path.suffix.lower() == ".json":
            json.loads(path.read_bytes())
        elif path.suffix.lower() == ".xml":
            ElementTree.parse(path)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        return str(error)
    return ""


def _structures(annotations: Sequence[tuple[Path, Annotations]]) -> tuple[str, ...]:
    names = dict.fromkeys(name for _, one in annotations for name in one.structures)
    structures = tuple(name for name in names if name not in (BACKGROUND, IGNORED))
    path = annotations[0][0]
    if not structures:
        left_out = next((f" ({note})" for _, one in annotations for note in one.notes), "")
        raise InputError(f"{path}: holds no outline{left_out}: draw polygons or masks and export them again")
    same = names_alike(structures)
    if same:
        where = next(path for path, one in annotations if same[1] in one.structures)
        raise InputError(f"{where}: the labels {same[0]} and {same[1]} differ in case alone: give both one name")
    return structures


def _damaged(files: Sequence[Path]) -> list[Problem]:
    damaged = [path for path in files if _damage(path)]
    if not damaged:
        return []
    text = f"{counted(len(damaged), 'file')} of annotations cut off or damaged, left out with what they outline"
    return [Problem("damaged-annotations", WARNING, text, tuple(map(str, damaged)))]


def _split_of(path: Path, annotations: Annotations) -> str:
    """The split that a file of annotations is named after; that of one film has the film's name, with any words."""
    words = words_of(path.stem) if len(annotations.films) > 1 else [path.stem]
    return next(filter(None, map(split_named, words)), "")


def _nothing_drawn(found: Found) -> list[Problem]:
    empty = tuple(str(film) for film, drawn in found.drawn.items() if not drawn.args[0].shapes)
    if not empty:
        return []
    text = (
        f"{counted(len(empty), 'film')} listed without an outline, read as films with nothing on them: remove those "
        "not outlined yet from the export"
    )
    return [Problem("nothing-drawn", WARNING, text, empty)]


def _notes(annotations: Sequence[tuple[Path, Annotations]]) -> list[Problem]:
    """What was left out, reported once for all files concerned."""
    files: dict[str, list[str]] = {}
    for path, one in annotations:
        for note in one.notes:
            files.setdefault(note, []).append(str(path))
    return [Problem("annotations", WARNING, note, tuple(paths)) for note, paths in files.items()]


def _add(found: Found, film: Path, annotated: AnnotatedFilm, structures: Sequence[str]) -> None:
    """Add the shapes of a film; several files may outline different structures of it."""
    before = found.drawn.get(film)
    if before is not None:
        known = before.args[0]
        twice = {one.structure for one in known.shapes} & {one.structure for one in annotated.shapes}
        if twice or known.size != annotated.size:
            raise InputError(
                f"{annotated.source}: {annotated.film} is annotated in {known.source} too: leave one of them"
            )
        annotated = replace(annotated, shapes=(*known.shapes, *annotated.shapes))
    found.masks[film] = {}
    found.drawn[film] = partial(draw, annotated, structures)


def _beside(source: Path, names: Mapping[str, Path]) -> Path | None:
    """The film that an annotation file of one film is named after, in case the film was renamed since."""
    return names.get(key_of(stem_of(source.stem)))


def _read(path: Path) -> Annotations | None:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_json(path)
    if suffix == ".xml":
        return read_cvat(path)
    if (suffix in DICOM or not suffix or suffix[1:].isdigit()) and _is_seg(path):
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
    """Films by name, and DICOM films by UID too.

    Raises:
        InputError: two films have the same name.
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
