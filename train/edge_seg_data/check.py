"""Read every film and outline of a data set and add what only that reveals to its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import cv2
import numpy as np
from edge_seg.errors import EdgeSegError, InputError
from edge_seg.film import Film
from edge_seg.pixels import IGNORE, to_grey8
from edge_seg.structures import CHEST, DERIVED, structures_named

from edge_seg_data.dataset import SPLITS, Dataset, LabelledFilm, Outlines, evenly_spaced, fit_outlines
from edge_seg_data.reading import Options, each
from edge_seg_data.report import ERROR, WARNING, DatasetReport, Problem, StructureFacts, counted

SHEET_FILMS = 24
"""Number of films to draw on the contact sheet, and to judge the outlines by."""

THUMBNAIL = 256  # pixels of the longer side

_NEARLY_ALL = 0.9  # share of a film; no structure covers that much
_CORNERS = 4
_CHEST = frozenset(structure.name for structure in (*CHEST, *DERIVED))
_LARGE_HOLE = 0.01  # share of the whole area that lines enclose
_LINE = 0.02  # share of a film's shorter side; lines are thinner


@dataclass(frozen=True)
class FilmFacts:
    """Findings from reading one film.

    Attributes:
        film: the film.
        shape: `(height, width)`, `None` if it cannot be read.
        covers: share of the film that each outline covers.
        resized: outlines whose size differs from the film's.
        in_corners: outlines that cover all four corners of the film, which no chest structure or sole structure does.
        sides_exchanged: whether the right lung is to the right of the left one.
        hollow: outlines that are unfilled lines.
        blank: whether all its pixels have one value.
        trouble: why it cannot be read.
        thumbnail: the film with its outlines drawn, `(height, width, 3)` uint8, if requested.
    """

    film: LabelledFilm
    shape: tuple[int, int] | None = None
    covers: dict[str, float] = field(default_factory=dict)
    resized: tuple[str, ...] = ()
    in_corners: tuple[str, ...] = ()
    sides_exchanged: bool = False
    hollow: tuple[str, ...] = ()
    blank: bool = False
    trouble: str = ""
    thumbnail: np.ndarray | None = field(default=None, repr=False)


def check_dataset(dataset: Dataset, options: Options) -> tuple[DatasetReport, list[FilmFacts]]:
    """Read all films of a data set.

    Args:
        dataset: from `inspect_dataset`.
        options: whose `progress` is called.

    Returns:
        The data set's report with the findings added, and the facts of each film; evenly spaced films have a thumbnail.
    """
    shown = {film.source for film in evenly_spaced(dataset.films, SHEET_FILMS)}
    look = partial(_facts, structures=dataset.structures, shown=shown)
    facts = each(look, dataset.films, "reading films", options)
    judged = [fact for fact in facts if fact.film.source in shown]
    report = dataset.report or _bare_report(dataset)
    structures = tuple(_structure(one, facts) for one in report.structures)
    return (
        replace(
            report,
            sizes=dict(Counter("{1} x {0}".format(*one.shape) for one in facts if one.shape)),
            structures=structures,
            problems=(*report.problems, *_problems(facts), *_outline_problems(facts, judged), *_nowhere(structures)),
        ),
        facts,
    )


def with_judged_outlines(dataset: Dataset, options: Options) -> Dataset:
    """The data set with problems of its outlines added to its report, from the films `check_dataset` judges them by.

    Args:
        dataset: to train on.
        options: whose `progress` is called.

    Raises:
        InputError: more than half of these films have outlines that are unfilled lines, inside out, or of the wrong
            side.
    """
    chosen = evenly_spaced(dataset.films, SHEET_FILMS) if dataset.structures else []
    judged = each(partial(_facts, structures=(), shown=set()), chosen, "looking at outlines", options)
    report = dataset.report or _bare_report(dataset)
    among = f"among {counted(len(judged), 'film')}, "
    problems = [replace(one, text=among + one.text) for one in _outline_problems(judged, judged)]
    wrong = next((one for one in problems if one.severity == ERROR), None)
    if wrong:
        raise InputError(f"{report.folder}: {wrong.text}; all of them: edge-seg check {report.folder}")
    return replace(dataset, report=replace(report, problems=(*report.problems, *problems)))


def _nowhere(structures: Sequence[StructureFacts]) -> list[Problem]:
    """Structures without a pixel on any film, such as the last one when names are shifted by one."""
    absent = [one.name for one in structures if one.outlined and one.outlined == one.empty]
    if not absent or len(absent) == len(structures):
        return []
    text = f"no film has an outline of {', '.join(absent)}: are the names in the order of the values, from 1?"
    return [Problem("structures-nowhere", ERROR, text)]


def _bare_report(dataset: Dataset) -> DatasetReport:
    """Report for a reader that makes none itself: the brain-tumour set's."""
    return DatasetReport(
        dataset.name,
        dataset.layout,
        len(dataset.films),
        len({film.patient for film in dataset.films}),
        True,
        {split: len(dataset.split(split)) for split in SPLITS},
        structures=tuple(StructureFacts(name) for name in dataset.structures),
    )


def _facts(film: LabelledFilm, structures: Sequence[str], shown: set[str]) -> FilmFacts:
    try:
        picture, raw = film.read()
        outlines = fit_outlines(picture, raw)
    except EdgeSegError as error:
        return FilmFacts(film, trouble=str(error))
    return FilmFacts(
        film,
        picture.shape,
        {name: float(np.mean(plane == 1)) for name, plane in outlines.items()},
        tuple(name for name, plane in raw.items() if plane.shape != picture.shape),
        tuple(name for name, plane in outlines.items() if _in_corners(plane) and (name in _CHEST or len(outlines) < 2)),
        _sides_exchanged({name: picture.upright.of(plane) for name, plane in outlines.items()}),
        tuple(name for name, plane in outlines.items() if _is_hollow(plane)),
        bool(picture.pixels.min() == picture.pixels.max()),
        thumbnail=draw(picture, outlines, structures) if film.source in shown else None,
    )


def _in_corners(plane: np.ndarray) -> bool:
    return bool((plane[[0, 0, -1, -1], [0, -1, 0, -1]] == 1).sum() == _CORNERS)


def _is_hollow(plane: np.ndarray) -> bool:
    """Whether an outline is an unfilled line: thin, and enclosing more than its own area.

    Vessels and ribs are thin too, but enclose many holes where they cross.
    """
    inside = (plane == 1).astype(np.uint8)
    width = max(5, round(_LINE * min(plane.shape)))
    thick = cv2.erode(inside, np.ones((width, width), np.uint8), borderValue=0)
    if not inside.any() or int(thick.sum()) > 0.1 * int(inside.sum()):
        return False
    filled = np.zeros_like(inside)
    lines, tree = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer = [line for line, (_, _, _, parent) in zip(lines, tree[0], strict=True) if parent < 0]
    cv2.drawContours(filled, outer, -1, 1, cv2.FILLED)
    covered = int(filled.sum())
    holes = [line for line, (_, _, _, parent) in zip(lines, tree[0], strict=True) if parent >= 0]
    large = sum(cv2.contourArea(hole) > _LARGE_HOLE * covered for hole in holes)
    return covered > 2 * int(inside.sum()) and large <= len(outer) + 2


def _sides_exchanged(outlines: Outlines) -> bool:
    """Of upright outlines, where the patient's right is the picture's left."""
    centres = []
    for name in ("right_lung", "left_lung"):
        columns = (outlines[name] == 1).sum(axis=0) if name in outlines else np.zeros(1)
        if not columns.any():
            return False
        centres.append(float((columns * np.arange(columns.size)).sum() / columns.sum()))
    return centres[0] > centres[1]


def draw(film: Film, outlines: Outlines, structures: Sequence[str]) -> np.ndarray:
    """A small picture of a film with its outlines; ignored pixels are grey.

    Returns:
        `(height, width, 3)` uint8, blue, green, red; the longer side has `THUMBNAIL` pixels.
    """
    height, width = film.shape
    scale = THUMBNAIL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = cv2.cvtColor(cv2.resize(to_grey8(film), size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    for structure in structures_named(tuple(structures)):
        plane = outlines.get(structure.name)
        if plane is None:
            continue
        small = cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST)
        picture[small == IGNORE] = 127
        colour = tuple(int(structure.colour[i : i + 2], 16) for i in (5, 3, 1))
        lines, _ = cv2.findContours((small == 1).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, lines, -1, colour, 1, cv2.LINE_AA)
    return picture


def _structure(one: StructureFacts, facts: Iterable[FilmFacts]) -> StructureFacts:
    shares = [fact.covers[one.name] for fact in facts if one.name in fact.covers]
    filled = [share for share in shares if share > 0]
    return replace(
        one,
        outlined=len(shares),
        empty=len(shares) - len(filled),
        least=min(filled, default=0.0),
        mean=float(np.mean(filled)) if filled else 0.0,
        most=max(filled, default=0.0),
    )


def _problems(facts: Sequence[FilmFacts]) -> list[Problem]:
    unreadable = [fact for fact in facts if fact.trouble]
    empty = [fact for fact in facts if fact.covers and not any(fact.covers.values())]
    resized = [fact for fact in facts if fact.resized]
    covered = [fact for fact in facts if any(share > _NEARLY_ALL for share in fact.covers.values())]
    full = [fact for fact in covered if not fact.in_corners]
    blank = [fact for fact in facts if fact.blank]
    found = []
    if unreadable:
        text = f"{counted(len(unreadable), 'film')} cannot be used (film or mask); the first: {unreadable[0].trouble}"
        found.append(_problem("unusable-films", ERROR, text, unreadable))
    if empty and len(empty) == len(facts):
        found.append(_problem("empty-masks", ERROR, "every mask is empty", empty))
    elif empty:
        text = f"{counted(len(empty), 'film')} with an empty outline of everything"
        found.append(_problem("empty-masks", WARNING, text, empty))
    if resized:
        text = f"{counted(len(resized), 'film')} with masks of another size, which are fitted to the film"
        found.append(_problem("mask-sizes", WARNING, text, resized))
    if full:
        text = f"{counted(len(full), 'film')} covered to more than {_NEARLY_ALL:.0%} by one structure"
        found.append(_problem("full-masks", WARNING, text, full))
    if blank:
        text = f"{counted(len(blank), 'film')} with nothing on it: all pixels are equal"
        found.append(_problem("blank-films", WARNING, text, blank))
    return found


def _outline_problems(facts: Sequence[FilmFacts], judged: Sequence[FilmFacts]) -> list[Problem]:
    """Outlines that are wrong on their films; an error if more than half of the judged films have them."""
    kinds: dict[str, tuple[Callable[[FilmFacts], object], str]] = {
        "inside-out": (
            lambda fact: fact.in_corners,
            "with an outline that holds all corners: are inside and outside exchanged?",
        ),
        "hollow-masks": (
            lambda fact: fact.hollow,
            "with outlines that are lines around nothing: fill the insides",
        ),
        "sides": (
            lambda fact: fact.sides_exchanged,
            "with the right lung on the picture's right, which is the patient's left: exchange the names",
        ),
    }
    found = []
    for kind, (is_wrong, what) in kinds.items():
        wrong = [fact for fact in facts if is_wrong(fact)]
        if wrong:
            severity = ERROR if 2 * sum(map(bool, map(is_wrong, judged))) > len(judged) else WARNING
            found.append(_problem(kind, severity, f"{counted(len(wrong), 'film')} {what}", wrong))
    return found


def _problem(kind: str, severity: str, text: str, facts: Iterable[FilmFacts]) -> Problem:
    return Problem(kind, severity, text, tuple(fact.film.source or fact.film.name for fact in facts))
