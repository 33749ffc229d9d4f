"""Scores of a model on a data set: per film, per region, and what they cost against float."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from edge_seg import Segmenter
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg_data import Dataset, LabelledFilm, truth_regions
from edge_seg_data.scores import dice, intersection_over_union, outline_distance

from edge_seg_benchmarks.accuracy.statistics import bootstrap_mean

_MAIN_REGIONS = ("whole_lung", "visible_lung", "tumour", "object")

METRICS = ("dice", "iou", "hd95_px", "asd_px", "hd95_mm", "asd_mm")
"""What is summarised of each region; those in mm over the films whose spacing is known."""

FAILED_DICE = 0.5
"""Below it an outline is counted as failed: less than half of what it should be."""

_SQUARE = 0.01


@dataclass(frozen=True)
class FilmScore:
    """Scores of one region on one film.

    Attributes:
        dataset, split, film, patient, region: which.
        dice, iou: see `edge_seg_data.scores`.
        hd95_px, asd_px: 95th-percentile Hausdorff and average surface distance, in pixels of the film.
        spacing_mm: side of a pixel, `None` where it is not known or pixels are not square.
        attributes: of the film, as the data set knows them (`view`, `finding`).
    """

    dataset: str
    split: str
    film: str
    patient: str
    region: str
    dice: float
    iou: float
    hd95_px: float
    asd_px: float
    spacing_mm: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def hd95_mm(self) -> float | None:
        """`hd95_px` in mm."""
        return None if self.spacing_mm is None else self.hd95_px * self.spacing_mm

    @property
    def asd_mm(self) -> float | None:
        """`asd_px` in mm."""
        return None if self.spacing_mm is None else self.asd_px * self.spacing_mm


def scored_films(dataset: Dataset, split: str, limit: int | None) -> tuple[LabelledFilm, ...]:
    """The films of a split that may be scored, at most `limit`, evenly spaced.

    Raises:
        InputError: there are none.
    """
    films = [film for film in dataset.split(split) if film.scored]
    if not films:
        raise InputError(f"{dataset.name}: no films to score in split `{split}`: choose another --split")
    count = min(len(films), limit or len(films))
    return tuple(films[i] for i in np.linspace(0, len(films) - 1, count).astype(int))


def score_film(segmenter: Segmenter, dataset: str, film: LabelledFilm) -> list[FilmScore]:
    """Scores of every region that the film has an outline for and the model predicts."""
    picture, outlines = film.load()
    return score_outlines(segmenter, dataset, film, picture, truth_regions(outlines))


def score_outlines(
    segmenter: Segmenter,
    dataset: str,
    film: LabelledFilm,
    picture: Film,
    truths: dict[str, tuple[np.ndarray, np.ndarray]],
) -> list[FilmScore]:
    """`score_film` of a film that is read already, with `truth_regions` of its outlines."""
    found, spacing, scores = segmenter(picture).regions, _pixel_side(picture), []
    for region, (truth, valid) in truths.items():
        if region in found:
            distance = outline_distance(truth, found[region], valid)
            scores.append(
                FilmScore(
                    dataset,
                    film.split,
                    film.name,
                    film.patient,
                    region,
                    dice(truth, found[region], valid),
                    intersection_over_union(truth, found[region], valid),
                    distance.hd95,
                    distance.average,
                    spacing,
                    film.attributes,
                )
            )
    return scores


def _pixel_side(film: Film) -> float | None:
    if film.spacing_mm is None:
        return None
    down, across = film.spacing_mm
    return down if abs(down - across) <= _SQUARE * down else None


def differing_pixels(pairs: Iterable[tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]) -> float:
    """Share of the pixels of two outlines of the same films, bool by structure, that are in one alone."""
    differing = outlined = 0
    for ours, theirs in pairs:
        differing += sum(int(np.count_nonzero(mask != theirs[name])) for name, mask in ours.items())
        outlined += sum(int(np.count_nonzero(mask | theirs[name])) for name, mask in ours.items())
    return differing / outlined if outlined else 0.0


def summarise(scores: Iterable[FilmScore]) -> list[dict[str, Any]]:
    """Mean, interval and worst 5 % of each metric and the number of failed films, per data set and region."""
    rows = []
    for (dataset, split, region), group in _groups(scores).items():
        row: dict[str, Any] = {"dataset": dataset, "split": split, "region": region}
        row["failed"] = sum(score.dice < FAILED_DICE for score in group)
        for metric in METRICS:
            known = [score for score in group if getattr(score, metric) is not None]
            if not known:
                row[metric] = None
                continue
            patients, values = [score.patient for score in known], np.array([getattr(s, metric) for s in known])
            worst = np.sort(values) if metric in ("dice", "iou") else np.sort(values)[::-1]
            row[metric] = {
                **asdict(bootstrap_mean(values.tolist(), patients)),
                "worst_5_percent": float(worst[: max(1, round(len(worst) * 0.05))].mean()),
                "worst": float(worst[0]),
            }
        rows.append(row)
    return rows


def subgroups(scores: Iterable[FilmScore], region: str) -> list[dict[str, Any]]:
    """Mean Dice of a region with its interval, per data set and value of each attribute of its films."""
    groups: dict[tuple[str, str, str, str], list[FilmScore]] = {}
    for score in scores:
        for attribute, value in score.attributes.items() if score.region == region else ():
            groups.setdefault((score.dataset, score.split, attribute, value), []).append(score)
    return [
        {
            "dataset": dataset,
            "split": split,
            "region": region,
            "attribute": attribute,
            "value": value,
            **asdict(bootstrap_mean([s.dice for s in group], [s.patient for s in group])),
        }
        for (dataset, split, attribute, value), group in sorted(groups.items())
    ]


def main_region(regions: Iterable[str]) -> str | None:
    """The region a summary is about: whole lung where it was scored, else the first that was."""
    scored = list(regions)
    return next((name for name in _MAIN_REGIONS if name in scored), scored[0] if scored else None)


def degradation(scores: Sequence[FilmScore], reference: Sequence[FilmScore]) -> list[dict[str, Any]]:
    """Dice minus the reference's Dice on the same films, per data set and region, with interval (paired by film)."""
    base = {(s.dataset, s.film, s.region): s.dice for s in reference}
    rows = []
    for (dataset, split, region), group in _groups(scores).items():
        shared = [s for s in group if (s.dataset, s.film, s.region) in base]
        if shared:
            differences = [s.dice - base[s.dataset, s.film, s.region] for s in shared]
            estimate = bootstrap_mean(differences, [s.patient for s in shared])
            rows.append({"dataset": dataset, "split": split, "region": region, **asdict(estimate)})
    return rows


def _groups(scores: Iterable[FilmScore]) -> dict[tuple[str, str, str], list[FilmScore]]:
    groups: dict[tuple[str, str, str], list[FilmScore]] = {}
    for score in scores:
        groups.setdefault((score.dataset, score.split, score.region), []).append(score)
    return groups
