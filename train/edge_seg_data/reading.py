"""From the files found to a data set: look at every film, decide what the masks mean, split, and report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.pixels import IGNORE
from edge_seg.sources import read_film

from edge_seg_data.dataset import SPLITS, Dataset, LabelledFilm, Outlines, misfit
from edge_seg_data.files import key_of, links_in, list_files, stem_of
from edge_seg_data.finding import Found, unmatched
from edge_seg_data.glance import Look, look
from edge_seg_data.index import INDEX_NAME, Index, IndexRow, read_index
from edge_seg_data.masks.classes import Classes, read_classes
from edge_seg_data.masks.encoding import Encoding, decide, planes
from edge_seg_data.masks.raw import MaskScan, scan
from edge_seg_data.report import ERROR, NOTE, WARNING, DatasetReport, Problem, StructureFacts, counted
from edge_seg_data.splits import split_by_patient

Progress = Callable[[str, int, int], None]
"""Called with the task, the number of items done, and the total."""

Finish = Callable[[Film, Outlines, IndexRow | None], tuple[Film, Outlines]]
"""A layout's processing of a film and its outlines after reading."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_READERS = 4
_FEW = 5  # validation films
_LISTS = (".txt", ".json", ".yaml", ".yml", ".names")
_TABLES = (".csv", ".tsv", ".xls", ".xlsx", ".ods")
WEAKEST_MATCH = 6.0
"""Pairs of film and mask with a lower `match_score` in the index are too doubtful to score against."""


@dataclass(frozen=True)
class Options:
    """How to read a folder.

    Attributes:
        skip_bad: leave films out that cannot be read, instead of refusing the set.
        known: split by patient from an earlier run, which stays.
        progress: called as reading progresses.
    """

    skip_bad: bool = False
    known: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = lambda what, done, total: None


@dataclass(frozen=True)
class Layout:
    """How a kind of data set is laid out on disk.

    Attributes:
        title: description for people.
        find: finds films and masks in a folder, `None` if the folder has another layout.
        structure: name of the one structure that every mask holds, if so.
        default_split: of films without a split whose patient has none either; empty splits them by patient.
        finish: processes a film and its outlines after reading.
        structures: that `finish` returns, if different from those in the masks.
        facts: see `Dataset`.
        attributes: derives facts about a film from its name.
        folder_names: names of the folder or its parent, if only these identify the layout.
        optional: sources of masks to leave out if they hold something else.
        hidden: structures not trained on, since they follow from others.
        unscored: films whose outlines are too doubtful to score against.
        reader: reads a folder without pictures, which `find` then only recognises.
    """

    title: str
    find: Callable[[Path], Found | None]
    structure: str = ""
    default_split: str = ""
    finish: Finish | None = None
    structures: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    attributes: Callable[[str], dict[str, str]] = lambda stem: {}
    folder_names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()
    reader: Callable[[Path, Options], Dataset] | None = None


def read_dataset(folder: Path, name: str, layout: Layout, found: Found, options: Options) -> Dataset:
    """The data set from what was found in a folder; its report lists what would make training wrong.

    Raises:
        InputError: the index or `classes.txt` is invalid.
    """
    index, classes = read_index(folder), read_classes(folder)
    problems = [*found.problems, *unmatched(found), *_class_notes(classes, found, folder)]
    problems += [*_misplaced_indexes(folder), *_links(folder, found)]
    looks = {one.path: one for one in each(look, list(found.masks), "looking at films", options)}
    found, unreadable = _without_unreadable(found, looks, options)
    problems += [*unreadable, *_turned(looks.values())]
    encodings, more = _encodings(found, classes, layout, looks, options)
    problems += more
    films = [
        _labelled(path, sources, encodings, layout, found, index, looks[path])
        for path, sources in found.masks.items()
        if encodings.keys() >= sources.keys()
    ]
    films = _with_patients_of_equal_films(films, {str(path): one.content for path, one in looks.items()})
    problems += [*_twice(films), *_unread_tables(folder, index), *_index_problems(index, films, looks)]
    films = list(split_by_patient(_told_apart(films), options.known, default=layout.default_split))
    problems += [*_leaks(films, looks), *(_no_split(films) if encodings or found.drawn else [])]
    masked = [name for encoding in encodings.values() for name in encoding.structures]
    outlined = dict.fromkeys((*masked, *found.drawn_structures))
    structures = layout.structures or tuple(name for name in outlined if name not in layout.hidden)
    named = index is not None and any(row.patient for row in index.rows.values())
    report = _report(folder, layout, found, films, named, encodings, structures, problems)
    return Dataset(folder.name, name, structures, tuple(films), layout.facts, report)


def each(work: Callable[[Item], Result], items: Sequence[Item], what: str, options: Options) -> list[Result]:
    """The results of `work` on all items, in order, computed by several threads; calls `options.progress`."""
    found = []
    with ThreadPoolExecutor(_READERS) as pool:
        for done, result in enumerate(pool.map(work, items), 1):
            found.append(result)
            options.progress(what, done, len(items))
    return found


def _class_notes(classes: Classes | None, found: Found, folder: Path) -> list[Problem]:
    if classes is not None:
        return [Problem("classes", NOTE, note) for note in classes.notes]
    unread = [] if found.drawn else [path for path in sorted(folder.iterdir()) if _may_name_classes(path)]
    if not unread:
        return []
    text = f"files that may name classes are not read: {', '.join(p.name for p in unread)}; write them into classes.txt"
    return [Problem("unread-classes", NOTE, text, tuple(map(str, unread)))]


def _may_name_classes(path: Path) -> bool:
    return path.suffix.lower() in _LISTS and any(word in path.stem.lower() for word in ("class", "label", "categor"))


def _without_unreadable(found: Found, looks: Mapping[Path, Look], options: Options) -> tuple[Found, list[Problem]]:
    """Report all films that cannot be read together; leave them out if requested."""
    bad = {path: why for path, one in looks.items() if (why := one.problem or _drawn_elsewhere(found, one))}
    if not bad:
        return found, []
    first, files = next(iter(bad.values())), tuple(map(str, bad))
    for path in bad:
        del found.masks[path]
    if options.skip_bad:
        text = f"{counted(len(bad), 'film')} cannot be used, left out"
        return found, [Problem("unreadable-films", WARNING, text, files)]
    if len(bad) == 1:
        return found, [Problem("unreadable-films", ERROR, f"{first}, or leave it out with --skip-bad", files)]
    text = f"{len(bad)} films cannot be used: replace them, or leave them out with --skip-bad; the first: {first}"
    return found, [Problem("unreadable-films", ERROR, text, files)]


def _drawn_elsewhere(found: Found, seen: Look) -> str:
    """Why an annotation program's outlines do not fit a film."""
    drawn = found.drawn.get(seen.path)
    return drawn.args[0].misfit(seen.shape) if drawn and seen.shape and seen.turned == 1 else ""


def _turned(looks: Iterable[Look]) -> list[Problem]:
    """Report films turned by a tag, which does not say whether the mask was drawn before or after."""
    turned = [one for one in looks if one.turned != 1]
    if not turned:
        return []
    text = (
        f"{turned[0].path}: its EXIF orientation is {turned[0].turned}, which turns the film and not its mask: turn "
        f"its pixels as the mask needs it and remove the tag ({counted(len(turned), 'film')})"
    )
    return [Problem("turned-films", ERROR, text, tuple(str(one.path) for one in turned))]


def _encodings(
    found: Found, classes: Classes | None, layout: Layout, looks: Mapping[Path, Look], options: Options
) -> tuple[dict[str, Encoding], list[Problem]]:
    """The encoding of every source of masks, and a problem for whatever cannot be read, fitted or decided."""
    sources: dict[str, list[Path]] = {}
    films: dict[Path, Look] = {}
    for film, masks in found.masks.items():
        for source, paths in masks.items():
            sources.setdefault(source, []).extend(paths)
            films |= dict.fromkeys(paths, looks[film])
    encodings: dict[str, Encoding] = {}
    problems: list[Problem] = []
    for source, paths in sources.items():
        scans: list[MaskScan] = []
        failures: dict[Path, str] = {}
        for path, result in zip(paths, each(_scan, paths, "reading masks", options), strict=True):
            why = result if isinstance(result, str) else _misfit(result, films[path])
            if isinstance(result, MaskScan) and not why:
                scans.append(result)
            else:
                failures[path] = why
        problems += _unreadable_masks(found, failures, options)
        try:
            one = layout.structure or source or ("object" if len(sources) > 1 else None)
            encodings[source] = decide(scans, classes, one)
        except InputError as error:
            optional = source in layout.optional
            problems.append(Problem("encoding", WARNING if optional else ERROR, str(error)))
            if optional:
                _leave_out(found, source)
            continue
        problems += [Problem("encoding", NOTE, note) for note in encodings[source].notes if note not in _notes(classes)]
    return encodings, problems


def _leave_out(found: Found, source: str) -> None:
    for masks in found.masks.values():
        masks.pop(source, None)


def _notes(classes: Classes | None) -> tuple[str, ...]:
    return classes.notes if classes else ()


def _scan(path: Path) -> MaskScan | str:
    try:
        return scan(path)
    except InputError as error:
        return str(error)


def _misfit(mask: MaskScan, film: Look) -> str:
    """Why a mask cannot be fitted to its film, if the film's header gives its size."""
    why = misfit(film.shape, mask.shape) if film.shape and film.turned == 1 else ""
    return why and f"{mask.path}: the mask {why}"


def _unreadable_masks(found: Found, failures: Mapping[Path, str], options: Options) -> list[Problem]:
    if not failures:
        return []
    files = tuple(map(str, failures))
    films = [film for film, masks in found.masks.items() if any(path in failures for p in masks.values() for path in p)]
    for film in films:
        del found.masks[film]
    if options.skip_bad:
        text = f"{counted(len(files), 'mask')} cannot be used, left out with the film"
        return [Problem("unreadable-masks", WARNING, text, files)]
    first = next(iter(failures.values()))
    how = "replace them, or leave their films out with --skip-bad"
    text = first if len(failures) == 1 else f"{len(failures)} masks cannot be used: {how}; the first: {first}"
    return [Problem("unreadable-masks", ERROR, text, files)]


def _labelled(
    path: Path,
    sources: Mapping[str, list[Path]],
    encodings: Mapping[str, Encoding],
    layout: Layout,
    found: Found,
    index: Index | None,
    seen: Look,
) -> LabelledFilm:
    stem = stem_of(path.name)
    row = index.rows.get(key_of(stem)) if index else None
    reads = tuple((encodings[source], tuple(paths)) for source, paths in sources.items())
    match = row.number("match_score") if row else None
    return LabelledFilm(
        name=stem,
        patient=(row.patient if row else "") or seen.content,
        split=(row.split if row else "") or found.splits.get(path, ""),
        read=partial(_read, path, reads, found.drawn.get(path), layout.finish, row),
        attributes={**layout.attributes(stem), **(row.attributes if row else {})},
        scored=(match is None or match >= WEAKEST_MATCH) and stem not in layout.unscored,
        aspect_known=row is None or row.values.get("aspect_known") != "0",
        source=str(path),
        content=seen.content,
    )


def _read(
    path: Path,
    sources: Sequence[tuple[Encoding, tuple[Path, ...]]],
    drawn: Callable[[tuple[int, int]], Outlines] | None,
    finish: Finish | None,
    row: IndexRow | None,
) -> tuple[Film, Outlines]:
    outlines: Outlines = {}
    for encoding, paths in sources:
        for mask in paths:
            for name, plane in planes(mask, encoding).items():
                outlines[name] = _union(outlines[name], plane, mask) if name in outlines else plane
    film = read_film(path)
    if drawn is not None:
        outlines |= drawn(film.shape)
    return finish(film, outlines, row) if finish else (film, outlines)


def _union(one: np.ndarray, other: np.ndarray, path: Path) -> np.ndarray:
    if one.shape != other.shape:
        raise InputError(f"{path}: another size than the other masks of its film: save them alike")
    return np.where((one == 1) | (other == 1), 1, np.where((one == IGNORE) | (other == IGNORE), IGNORE, 0)).astype(
        np.uint8
    )


def _with_patients_of_equal_films(films: Sequence[LabelledFilm], contents: Mapping[str, str]) -> list[LabelledFilm]:
    """Assign films without a named patient to the patient of an equal film that has one."""
    named: dict[str, str] = {}
    for film in films:
        content = contents[film.source]
        if film.patient != content:
            named.setdefault(content, film.patient)
    return [replace(film, patient=named.get(film.patient, film.patient)) for film in films]


def _twice(films: Sequence[LabelledFilm]) -> list[Problem]:
    counts = Counter(film.name for film in films)
    twice = tuple(film.source for film in films if counts[film.name] > 1)
    if not twice:
        return []
    text = f"{len(twice)} films have names that others have too, and are called after their folders"
    return [Problem("equal-names", NOTE, text, twice)]


def _told_apart(films: Sequence[LabelledFilm]) -> list[LabelledFilm]:
    """Films of one name with the folder in their names, and those of one folder with the suffix too."""
    root = os.path.commonpath([Path(film.source).parent for film in films]) if films else ""
    found = list(films)
    names: tuple[Callable[[Path], Path], ...] = (lambda path: path.parent / stem_of(path.name), Path)
    for longer in names:
        counts = Counter(film.name for film in found)
        found = [
            replace(film, name=longer(Path(film.source).relative_to(root)).as_posix())
            if counts[film.name] > 1
            else film
            for film in found
        ]
    return found


def _index_problems(index: Index | None, films: Sequence[LabelledFilm], looks: Mapping[Path, Look]) -> list[Problem]:
    if index is None:
        return []
    problems = _index_columns(index)
    present = {key_of(stem_of(path.name)): path for path in looks}
    absent = [row.stem for key, row in index.rows.items() if key not in present]
    unlisted = [path for key, path in present.items() if key not in index.rows]
    if absent:
        text = f"{INDEX_NAME} names {counted(len(absent), 'film')} not here or without a mask"
        if min(len(absent), len(unlisted)) >= max(2, 0.05 * len(present)):
            text += f", and not {unlisted[0].name}: give the films' file names as `stem`"
            problems.append(Problem("index-rows-without-film", ERROR, text, tuple(absent)))
        else:
            problems.append(Problem("index-rows-without-film", WARNING, text, tuple(absent)))
    split = [film for film in films if film.split]
    blank = tuple(film.source for film in films if not film.split)
    if split and blank:
        text = f"{counted(len(blank), 'film')} without a split in {INDEX_NAME}: split by patient, or by hash"
        problems.append(Problem("blank-splits", WARNING, text, blank))
    unnamed = tuple(film.source for film in films if not (row := index.rows.get(key_of(film.name))) or not row.patient)
    if unnamed and len(unnamed) < len(films):
        text = f"{counted(len(unnamed), 'film')} without a patient in {INDEX_NAME}: each counts as a patient of its own"
        problems.append(Problem("blank-patients", WARNING, text, unnamed))
    return problems


def _index_columns(index: Index) -> list[Problem]:
    lacking = [name for name, there in (("patient", index.names_patients), ("split", index.names_splits)) if not there]
    if not lacking or not index.unread:
        return []
    text = f"{INDEX_NAME} has no column `{'` or `'.join(lacking)}`; nothing is read from {', '.join(index.unread[:8])}"
    return [Problem("index-columns", WARNING, text)]


def _unread_tables(folder: Path, index: Index | None) -> list[Problem]:
    """Report tables under other names: they may name the patients, without which a patient may be in two splits."""
    tables = [] if index else [p for p in sorted(folder.iterdir()) if p.suffix.lower() in _TABLES]
    if not tables:
        return []
    text = f"tables are not read: {', '.join(p.name for p in tables[:3])}; save what names patients as {INDEX_NAME}"
    return [Problem("unread-tables", NOTE, text, tuple(map(str, tables)))]


def _misplaced_indexes(folder: Path) -> list[Problem]:
    """Report indexes where they are not read: their splits and patients would not count."""
    below = [path for path in list_files(folder) if path.name.lower() == INDEX_NAME and path.parent != folder]
    if not below:
        return []
    text = f"{below[0]}: is not read here: move it to {folder}, or out of the data set if it is of other films"
    return [Problem("misplaced-index", ERROR, text, tuple(map(str, below)))]


def _links(folder: Path, found: Found) -> list[Problem]:
    masks = [path for sources in found.masks.values() for paths in sources.values() for path in paths]
    files = [*found.masks, *found.lonely_films, *found.lonely_masks, *masks]
    links = links_in(folder, {parent for file in {path.parent for path in files} for parent in (file, *file.parents)})
    if not links:
        return []
    text = f"{counted(len(links), 'link')} to folders not followed: put the folders themselves there if they belong"
    return [Problem("linked-folders", WARNING, text, tuple(map(str, links)))]


def _leaks(films: Sequence[LabelledFilm], looks: Mapping[Path, Look]) -> list[Problem]:
    """Patients and equal films in two splits."""
    problems = []
    by_patient: dict[str, list[LabelledFilm]] = {}
    by_content: dict[str, list[LabelledFilm]] = {}
    for film in films:
        by_patient.setdefault(film.patient, []).append(film)
        by_content.setdefault(looks[Path(film.source)].content, []).append(film)
    # An unnamed patient is the hash of a film's content; equal films are reported below.
    torn = [g for patient, g in by_patient.items() if patient not in by_content and len({f.split for f in g}) > 1]
    if torn:
        names = ", ".join(group[0].patient for group in torn[:3])
        text = f"{counted(len(torn), 'patient')} with films in two splits ({names}): put every patient into one"
        problems.append(Problem("patients-across-splits", ERROR, text, _sources(torn)))
    copied = [group for group in by_content.values() if len(group) > 1]
    across = [group for group in copied if len({film.split for film in group}) > 1]
    within = [group for group in copied if group not in across]
    if across:
        text = f"{counted(len(across), 'film')} in two splits under different names: put equal films into one split"
        problems.append(Problem("duplicates-across-splits", ERROR, text, _sources(across)))
    if within:
        text = f"{counted(len(within), 'film')} there more than once, which weighs more in training: leave one of each"
        problems.append(Problem("duplicates", WARNING, text, _sources(within)))
    return problems


def _sources(groups: Iterable[Sequence[LabelledFilm]]) -> tuple[str, ...]:
    return tuple(film.source for group in groups for film in group)


def _no_split(films: Sequence[LabelledFilm]) -> list[Problem]:
    counts = Counter(film.split for film in films)
    if not films or not counts["train"]:
        return []
    if 0 < counts["val"] < _FEW:
        text = (
            f"held out for validation: {counts['val']} of {len(films)} films, few to choose an epoch by; "
            f"{INDEX_NAME} (stem,patient,split) can name more as `val`"
        )
        return [Problem("few-validation", NOTE, text)]
    if counts["val"]:
        return []
    text = (
        "no film is held out for validation, so quantisation cannot measure what it costs: "
        f"name some as `val` in {INDEX_NAME} (stem,patient,split)"
    )
    return [Problem("no-validation", WARNING, text)]


def _report(
    folder: Path,
    layout: Layout,
    found: Found,
    films: Sequence[LabelledFilm],
    patients_named: bool,
    encodings: Mapping[str, Encoding],
    structures: Sequence[str],
    problems: Sequence[Problem],
) -> DatasetReport:
    shown = {name: str(encoding) for encoding in encodings.values() for name in encoding.structures}
    whole = next(iter(shown.values()), f"drawn with {found.layout}" if found.drawn else "")
    return DatasetReport(
        folder=str(folder),
        layout=layout.title,
        films=max(len(films), len(found.masks)),
        patients=len({film.patient for film in films}),
        patients_named=patients_named,
        splits={split: sum(film.split == split for film in films) for split in SPLITS},
        structures=tuple(StructureFacts(name, shown.get(name, whole), len(films)) for name in structures),
        problems=tuple(problems),
    )
