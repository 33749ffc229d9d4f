"""Scores of masks in a folder, from any program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from edge_seg.errors import InputError
from edge_seg_data import Dataset, LabelledFilm, Outlines, truth_regions
from edge_seg_data.predictions import open_predictions

from edge_seg_benchmarks.accuracy.scores import (
    DiceDifference,
    FilmScore,
    RegionScores,
    SubgroupDice,
    main_region,
    score_regions,
    scored_films,
    subgroups,
    summarise,
)


@dataclass(frozen=True)
class MaskReport:
    """All measurements of the masks in one folder.

    Attributes:
        label: name in this report.
        how_read: how the values of the masks were interpreted.
        missing: films to score that have no mask (`film`), or none of a structure that the folder holds for others
            (`film, left lung`); the figures exclude them.
        scores: per data set and region.
        subgroups: Dice of the main region by attributes of the films.
        films: the scores of every film.
    """

    label: str
    how_read: tuple[str, ...]
    missing: tuple[str, ...]
    scores: tuple[RegionScores, ...]
    subgroups: tuple[SubgroupDice, ...]
    films: tuple[FilmScore, ...]

    @property
    def degradation(self) -> tuple[DiceDifference, ...]:
        """Masks have no float32 twin."""
        return ()


@dataclass(frozen=True)
class _Compared:
    """A film's scores, what it outlines, and what its masks give; nothing if it has no mask."""

    film: str
    scores: tuple[FilmScore, ...] = ()
    outlined: tuple[str, ...] = ()
    given: tuple[str, ...] = ()


def score_masks(
    given: str, datasets: Sequence[Dataset], split: str, limit: int | None, say: Callable[[str], None]
) -> MaskReport:
    """Score the masks of a folder, `FOLDER` or `STRUCTURE=FOLDER`, with the same figures as models.

    Raises:
        InputError: they cannot be read or understood, or hold nothing that the data sets outline.
    """
    structure, equals, rest = given.partition("=")
    folder = Path(given if Path(given).exists() or not equals else rest).expanduser()
    structure = "" if str(folder) == given or not equals else structure
    films: list[FilmScore] = []
    missing: list[str] = []
    how_read: list[str] = []
    for dataset in datasets:
        made = open_predictions(folder, dataset, structure)
        how_read += [f"{one.name}: {one.encoding}" for one in (made.report.structures if made.report else ())]
        by_source = {film.source: film for film in made.films}
        compared = [
            _compare(by_source.get(film.source), dataset.name, film) for film in scored_films(dataset, split, limit)
        ]
        films += [score for one in compared for score in one.scores]
        missing += _missing(compared, made.structures)
        say(f"{dataset.name}: masks of {folder.name} scored")
    if not films:
        outlined = ", ".join(name for dataset in datasets for name in dataset.structures)
        raise InputError(
            f"{folder}: its masks hold {'; '.join(how_read) or 'nothing'}, the data outlines {outlined}: name them or "
            f"their folders so, or say what they hold by --masks STRUCTURE={folder}"
        )
    region = main_region(score.region for score in films) or ""
    return MaskReport(
        f"masks in {folder.name}",
        tuple(dict.fromkeys(how_read)),
        tuple(missing),
        tuple(summarise(films)),
        tuple(subgroups(films, region)),
        tuple(films),
    )


def _compare(made: LabelledFilm | None, dataset: str, film: LabelledFilm) -> _Compared:
    if made is None:
        return _Compared(film.name)
    picture, outlines = film.load()
    # Masks have the size of the film's file, which a data set may stretch to the film's original aspect.
    planes: Outlines = {
        name: cv2.resize(plane, picture.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        for name, plane in made.load()[1].items()
    }
    found = {name: mask for name, (mask, _) in truth_regions(planes).items()}
    scores = score_regions(found, dataset, film, picture, truth_regions(outlines))
    return _Compared(film.name, tuple(scores), tuple(outlines), tuple(found))


def _missing(compared: Sequence[_Compared], structures: Sequence[str]) -> list[str]:
    """Masks that films lack: any at all, or one of a structure that the folder holds for other films."""
    held = {*structures, *(name for one in compared for name in one.given)}
    missing: list[str] = []
    for one in compared:
        lacking = [name for name in one.outlined if name in held and name not in one.given]
        missing += [f"{one.film}, {name.replace('_', ' ')}" for name in lacking] if one.given else [one.film]
    return missing
