"""How far a model's ratios agree with those of the true outlines: the measurement that a reader takes from a film."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from edge_seg import Film, Segmenter
from edge_seg.assessment.measurements import Measurements, measure
from edge_seg.structures import visible_lungs
from edge_seg_data import Dataset, LabelledFilm, Outlines

from edge_seg_benchmarks.accuracy.scores import scored_films
from edge_seg_benchmarks.accuracy.statistics import bootstrap_mean

_SIDES = ("right_lung", "left_lung")
_HEARTS = ("heart", "cardiomediastinum")
_LIMITS = 1.96  # standard deviations that hold 95 % of normal differences


@dataclass(frozen=True)
class RatioPair:
    """One ratio on one film; `predicted` is `None` where the model withholds it."""

    film: str
    patient: str
    ratio: str
    true: float
    predicted: float | None


def measure_agreement(
    segmenter: Segmenter,
    datasets: Sequence[Dataset],
    split: str,
    limit: int | None,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Ratios of predicted against true outlines, on films on which both lungs and a heart are outlined.

    The prediction is measured as the truth is: by whole or visible lungs, with the same heart.

    Args:
        segmenter: without gate.
        datasets: those that outline less are passed over, as are those of a heart that the model does not outline.
        split: of their films.
        limit: at most so many films of each, evenly spaced.
        say: told of progress.

    Returns:
        A row for each data set and ratio: `dataset`, `split`, and what `summarise_agreement` gives.

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
            row = summarise_agreement([pair for pair in pairs if pair.ratio == ratio])
            rows.append({"dataset": dataset.name, "split": split, **row})
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
    if not hearts or (visible and "cardiomediastinum" not in masks):
        return []
    truth = {**sides, **hearts}
    shown = visible_lungs(masks) if visible else masks
    found = measure({name: shown[name] for name in truth}, film)
    return compare_ratios(labelled.name, labelled.patient, true_measurements(truth, film), found)


def true_measurements(outlines: Outlines, film: Film) -> Measurements:
    """What the film measures by its own outlines."""
    return measure({name: plane == 1 for name, plane in outlines.items()}, film)


def compare_ratios(film: str, patient: str, true: Measurements, found: Measurements) -> list[RatioPair]:
    """Each ratio that the true outlines give, beside the predicted one."""
    return [
        RatioPair(film, patient, name, value, found.ratios.get(name))
        for name, value in true.ratios.items()
        if value is not None
    ]


def summarise_agreement(pairs: Sequence[RatioPair]) -> dict[str, Any]:
    """Agreement of one ratio (Bland & Altman 1986, Lancet 327:307).

    Args:
        pairs: of one ratio, at least one.

    Returns:
        `ratio`; `absolute_difference` and `bias` (predicted less true), means with 95 % intervals over patients and
        `None` where all are withheld; `limits` of agreement, bias with 1.96 standard deviations on either side, from
        three films; `withheld`, films on which the model gives none; `films`, the pairs themselves.
    """
    shown = [(pair.predicted - pair.true, pair.patient) for pair in pairs if pair.predicted is not None]
    differences, patients = [difference for difference, _ in shown], [patient for _, patient in shown]
    row: dict[str, Any] = {
        "ratio": pairs[0].ratio,
        "absolute_difference": None,
        "bias": None,
        "limits": None,
        "withheld": len(pairs) - len(shown),
        "films": [asdict(pair) for pair in pairs],
    }
    if shown:
        row["absolute_difference"] = asdict(bootstrap_mean(np.abs(differences).tolist(), patients))
        row["bias"] = asdict(bootstrap_mean(differences, patients))
    if len(shown) > 2:
        middle, reach = float(np.mean(differences)), _LIMITS * float(np.std(differences, ddof=1))
        row["limits"] = [middle - reach, middle + reach]
    return row
