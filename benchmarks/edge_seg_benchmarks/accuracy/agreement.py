"""How well ratios measured on a model's outlines agree with ratios measured on the true outlines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from edge_seg import Film, Segmenter
from edge_seg.assessment.measurements import Measurements, measure
from edge_seg.structures import visible_lungs
from edge_seg_data import Dataset, LabelledFilm, Outlines

from edge_seg_benchmarks.accuracy.scores import scored_films
from edge_seg_benchmarks.accuracy.statistics import Estimate, bootstrap_mean

_SIDES = ("right_lung", "left_lung")
_HEARTS = ("heart", "cardiomediastinum")
_LIMITS = 1.96  # standard deviations on either side that hold 95 % of a normal distribution
_FEWEST = 3  # films for limits of agreement


@dataclass(frozen=True)
class RatioPair:
    """One ratio on one film; `predicted` is `None` if the model withholds it."""

    film: str
    patient: str
    ratio: str
    true: float
    predicted: float | None


@dataclass(frozen=True)
class RatioAgreement:
    """Agreement of one ratio on one data set (Bland & Altman 1986, Lancet 327:307).

    Attributes:
        absolute_difference, bias: means of the absolute and of the signed difference (predicted minus true) with 95 %
            intervals over patients; `None` if the ratio was withheld on every film.
        limits: lower and upper limit of agreement, the bias with 1.96 standard deviations on either side; `None` for
            fewer than three films.
        withheld: films on which the model gives no ratio.
        films: the pairs themselves.
    """

    dataset: str
    split: str
    ratio: str
    absolute_difference: Estimate | None
    bias: Estimate | None
    limits: tuple[float, float] | None
    withheld: int
    films: tuple[RatioPair, ...]


def measure_agreement(
    segmenter: Segmenter,
    datasets: Sequence[Dataset],
    split: str,
    limit: int | None,
    say: Callable[[str], None],
) -> list[RatioAgreement]:
    """Ratios of predicted against true outlines, on films with both lungs and a heart outlined.

    Predictions are measured like the truth: by whole or visible lungs, with the same heart.

    Args:
        segmenter: without film gate.
        datasets: skipped if they or the model outline less, or they outline only a heart that the model does not.
        split: of their films.
        limit: at most this many films of each, evenly spaced.
        say: receives progress messages.

    Raises:
        InputError: a data set has no films to score.
    """
    rows = []
    for dataset in datasets:
        if not _outlines_a_chest(dataset.structures):
            continue
        pairs: list[RatioPair] = []
        for labelled in scored_films(dataset, split, limit):
            film, outlines = labelled.load()
            if _outlines_a_chest(outlines):
                pairs += _compare_film(labelled, film, outlines, segmenter(film).masks)
        if not pairs:
            continue
        for ratio in dict.fromkeys(pair.ratio for pair in pairs):
            rows.append(summarise_agreement(dataset.name, split, [pair for pair in pairs if pair.ratio == ratio]))
        say(f"{dataset.name}: ratios measured")
    return rows


def _outlines_a_chest(outlined: Iterable[str]) -> bool:
    names = set(outlined)
    lungs = names.issuperset(_SIDES) or names.issuperset(f"visible_{side}" for side in _SIDES)
    return lungs and not names.isdisjoint(_HEARTS)


def _compare_film(
    labelled: LabelledFilm, film: Film, outlines: Outlines, masks: Mapping[str, np.ndarray]
) -> list[RatioPair]:
    visible = not outlines.keys() >= set(_SIDES)
    sides = {side: outlines[f"visible_{side}" if visible else side] for side in _SIDES}
    hearts = {name: outlines[name] for name in _HEARTS if name in outlines and name in masks}
    if not hearts or not masks.keys() >= set(_SIDES) or (visible and "cardiomediastinum" not in masks):
        return []
    truth = {**sides, **hearts}
    shown = visible_lungs(masks) if visible else masks
    found = measure({name: shown[name] for name in truth}, film)
    return compare_ratios(labelled.name, labelled.patient, true_measurements(truth, film), found)


def true_measurements(outlines: Outlines, film: Film) -> Measurements:
    """Measurements of a film from its true outlines."""
    return measure({name: plane == 1 for name, plane in outlines.items()}, film)


def compare_ratios(film: str, patient: str, true: Measurements, found: Measurements) -> list[RatioPair]:
    """A pair for each ratio that the true outlines give."""
    return [
        RatioPair(film, patient, name, value, found.ratios.get(name))
        for name, value in true.ratios.items()
        if value is not None
    ]


def summarise_agreement(dataset: str, split: str, pairs: Sequence[RatioPair]) -> RatioAgreement:
    """Agreement over the films of a data set.

    Args:
        dataset, split: of the films.
        pairs: of one ratio, at least one.
    """
    shown = [(pair.predicted - pair.true, pair.patient) for pair in pairs if pair.predicted is not None]
    differences, patients = [difference for difference, _ in shown], [patient for _, patient in shown]
    limits: tuple[float, float] | None = None
    if len(shown) >= _FEWEST:
        middle, reach = float(np.mean(differences)), _LIMITS * float(np.std(differences, ddof=1))
        limits = middle - reach, middle + reach
    return RatioAgreement(
        dataset,
        split,
        pairs[0].ratio,
        bootstrap_mean(np.abs(differences).tolist(), patients) if shown else None,
        bootstrap_mean(differences, patients) if shown else None,
        limits,
        len(pairs) - len(shown),
        tuple(pairs),
    )
