"""Scores of masks in a folder, from any program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg_data import Dataset, LabelledFilm, truth_regions
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
        missing: films to score that have no mask; the figures exclude them.
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
        for film in scored_films(dataset, split, limit):
            if film.source in by_source:
                films += _score(by_source[film.source], dataset.name, film)
            else:
                missing.append(film.name)
        say(f"{dataset.name}: masks of {folder.name} scored")
    if not films:
        outlined = ", ".join(name for dataset in datasets for name in dataset.structures)
        raise InputError(
            f"{folder}: its masks hold {'; '.join(how_read) or 'nothing'}, the data outlines {outlined}: say what they "
            f"hold by --masks STRUCTURE={folder}"
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


def _score(made: LabelledFilm, dataset: str, film: LabelledFilm) -> list[FilmScore]:
    picture, outlines = film.load()
    found = {name: mask for name, (mask, _) in truth_regions(made.load()[1]).items()}
    return score_regions(found, dataset, film, picture, truth_regions(outlines))
