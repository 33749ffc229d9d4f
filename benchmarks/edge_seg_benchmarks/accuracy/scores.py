"""Scores per film and region, their summaries, and differences of Dice against a reference model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from edge_seg import Segmentation, Segmenter
from edge_seg.assessment.doubt import LUNGS
from edge_seg.assessment.doubt import Estimate as DiceEstimate
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg_data import Dataset, LabelledFilm, evenly_spaced, truth_regions
from edge_seg_data.scores import dice, intersection_over_union, outline_distance

from edge_seg_benchmarks.accuracy.statistics import Estimate, bootstrap_mean

_MAIN_REGIONS = ("whole_lung", "visible_lung", "tumour", "object")

METRICS = ("dice", "iou", "hd95_px", "asd_px", "hd95_mm", "asd_mm")
"""The metrics of a region; those in mm cover only films with known spacing."""

FAILED_DICE = 0.5
"""A film with a lower Dice counts as failed."""

_SQUARE = 0.01
_WORST = 0.05


@dataclass(frozen=True)
class FilmScore:
    """Scores of one region on one film.

    Attributes:
        dataset, split, film, patient, region: what was scored.
        dice, iou: see `edge_seg_data.scores`.
        hd95_px, asd_px: 95th-percentile Hausdorff and average surface distance, in pixels of the film.
        spacing_mm: side of a pixel; `None` if it is unknown or pixels are not square.
        attributes: what the data set records about the film (`view`, `finding`).
        estimate, bound: the model's own estimate of `dice` and its lower bound; `None` if it has none.
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
    estimate: float | None = None
    bound: float | None = None

    @property
    def hd95_mm(self) -> float | None:
        """`hd95_px` in mm."""
        return None if self.spacing_mm is None else self.hd95_px * self.spacing_mm

    @property
    def asd_mm(self) -> float | None:
        """`asd_px` in mm."""
        return None if self.spacing_mm is None else self.asd_px * self.spacing_mm


@dataclass(frozen=True)
class MetricSummary(Estimate):
    """Mean of a metric with its interval, the mean of the worst 5 % of films, and the worst film."""

    worst_5_percent: float
    worst: float


@dataclass(frozen=True)
class RegionScores:
    """Scores of one region on one data set; `None` if no film has a known spacing.

    Attributes:
        failed: films with Dice below `FAILED_DICE`.
    """

    dataset: str
    split: str
    region: str
    failed: int
    dice: MetricSummary
    iou: MetricSummary
    hd95_px: MetricSummary
    asd_px: MetricSummary
    hd95_mm: MetricSummary | None = None
    asd_mm: MetricSummary | None = None


@dataclass(frozen=True)
class DiceDifference(Estimate):
    """Mean difference of Dice from a reference model on the same films, for one data set and region."""

    dataset: str
    split: str
    region: str


@dataclass(frozen=True)
class SubgroupDice(Estimate):
    """Mean Dice of the films of one data set whose `attribute` has one `value`."""

    dataset: str
    split: str
    region: str
    attribute: str
    value: str


def scored_films(dataset: Dataset, split: str, limit: int | None) -> list[LabelledFilm]:
    """The films of a split that may be scored, at most `limit`, evenly spaced.

    Raises:
        InputError: the split has no such films.
    """
    films = [film for film in dataset.split(split) if film.scored]
    if not films:
        raise InputError(f"{dataset.name}: no films to score in split `{split}`: choose another --split")
    return evenly_spaced(films, limit)


def score_film(segmenter: Segmenter, dataset: str, film: LabelledFilm) -> list[FilmScore]:
    """Scores of every region that the film outlines and the model predicts."""
    picture, outlines = film.load()
    return score_result(segmenter(picture), dataset, film, truth_regions(outlines))


def score_result(
    result: Segmentation, dataset: str, film: LabelledFilm, truths: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> list[FilmScore]:
    """Scores of a model's result and its own estimates of them; see `score_regions`."""
    scores = score_regions(result.regions, dataset, film, result.film, truths)
    estimates = [own_estimate(result, score.region) for score in scores]
    return [replace(score, estimate=e.dice, bound=e.bound) for score, e in zip(scores, estimates, strict=True)]


@dataclass(frozen=True)
class NoEstimate:
    """Stands in for the estimate of a model that has none."""

    dice: None = None
    bound: None = None


def own_estimate(result: Segmentation, region: str) -> DiceEstimate | NoEstimate:
    """The model's estimate for a region; older models have a single one, for both whole lungs."""
    own = result.estimates.get(region)
    if own is None and region == "whole_lung":
        own = result.estimates.get(LUNGS)
    return own or NoEstimate()


def score_regions(
    found: Mapping[str, np.ndarray],
    dataset: str,
    film: LabelledFilm,
    picture: Film,
    truths: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> list[FilmScore]:
    """Scores of predicted regions of one film.

    Args:
        found: predicted regions, bool `(film height, film width)`.
        dataset: name of the data set.
        film: the film's labels.
        picture: the film itself, for its spacing.
        truths: `truth_regions` of its outlines; regions in only one of the two are not scored.
    """
    spacing, scores = _pixel_side(picture), []
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
    """Share of the outlined pixels that only one of two segmentations outlines.

    Args:
        pairs: masks of the same film by two networks, bool by structure.
    """
    differing = outlined = 0
    for ours, theirs in pairs:
        differing += sum(int(np.count_nonzero(mask != theirs[name])) for name, mask in ours.items())
        outlined += sum(int(np.count_nonzero(mask | theirs[name])) for name, mask in ours.items())
    return differing / outlined if outlined else 0.0


def summarise(scores: Iterable[FilmScore]) -> list[RegionScores]:
    """Summaries of every metric, per data set and region."""
    rows = []
    for (dataset, split, region), group in _groups(scores).items():
        failed = sum(score.dice < FAILED_DICE for score in group)
        found = {metric: _summary(group, metric) for metric in METRICS}
        measured = {metric: summary for metric, summary in found.items() if summary is not None}
        rows.append(RegionScores(dataset=dataset, split=split, region=region, failed=failed, **measured))
    return rows


def _summary(scores: Sequence[FilmScore], metric: str) -> MetricSummary | None:
    known = [score for score in scores if getattr(score, metric) is not None]
    if not known:
        return None
    values = np.array([getattr(score, metric) for score in known])
    worst = np.sort(values) if metric in ("dice", "iou") else np.sort(values)[::-1]
    estimate = bootstrap_mean(values.tolist(), [score.patient for score in known])
    worst_mean = float(worst[: max(1, round(len(worst) * _WORST))].mean())
    return MetricSummary(**vars(estimate), worst_5_percent=worst_mean, worst=float(worst[0]))


def subgroups(scores: Iterable[FilmScore], region: str) -> list[SubgroupDice]:
    """Mean Dice of a region per data set and value of each attribute of its films."""
    groups: dict[tuple[str, str, str, str], list[FilmScore]] = {}
    for score in scores:
        for attribute, value in score.attributes.items() if score.region == region else ():
            groups.setdefault((score.dataset, score.split, attribute, value), []).append(score)
    return [
        SubgroupDice(
            **vars(_mean_dice(group)), dataset=dataset, split=split, region=region, attribute=attribute, value=value
        )
        for (dataset, split, attribute, value), group in sorted(groups.items())
    ]


def _mean_dice(scores: Sequence[FilmScore]) -> Estimate:
    return bootstrap_mean([score.dice for score in scores], [score.patient for score in scores])


def main_region(regions: Iterable[str]) -> str | None:
    """The region that a summary is about: the first of `_MAIN_REGIONS` that was scored, else the first scored one."""
    scored = list(regions)
    return next((name for name in _MAIN_REGIONS if name in scored), scored[0] if scored else None)


def dice_differences(scores: Sequence[FilmScore], reference: Sequence[FilmScore]) -> list[DiceDifference]:
    """Dice minus the reference's Dice on the same films, per data set and region, with interval (paired by film)."""
    base = {(s.dataset, s.film, s.region): s.dice for s in reference}
    rows = []
    for (dataset, split, region), group in _groups(scores).items():
        shared = [s for s in group if (s.dataset, s.film, s.region) in base]
        if shared:
            differences = [s.dice - base[s.dataset, s.film, s.region] for s in shared]
            estimate = bootstrap_mean(differences, [s.patient for s in shared])
            rows.append(DiceDifference(**vars(estimate), dataset=dataset, split=split, region=region))
    return rows


def _groups(scores: Iterable[FilmScore]) -> dict[tuple[str, str, str], list[FilmScore]]:
    groups: dict[tuple[str, str, str], list[FilmScore]] = {}
    for score in scores:
        groups.setdefault((score.dataset, score.split, score.region), []).append(score)
    return groups
