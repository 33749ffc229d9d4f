"""Calibrates the estimate of a film's Dice, and its lower bound, for each structure and region.

Ridge regression on the logit of the Dice. Every figure is cross-fitted: estimates are judged on patients left out of
the fit. The bound is a split conformal bound (Papadopoulos et al. 2002), as wide as the most demanding data set needs,
so that it holds on each data set and not only on their mixture.

A network outlines its training films better than any new film, so they say little about doubt. If networks of the same
kind held them out (`edge-seg train --hold-out`), those networks' results replace the model's own.

Films from another hospital are harder than any in the calibration. So the bound of the lungs, which decides what is
flagged, is widened further where that costs little: until it flags a few good films.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from edge_seg.assessment.doubt import LOW_BOUND, REGIONS, Doubt
from edge_seg.assessment.trust import Calibration

from edge_seg_quantize.observations import Observation

REACHED = 0.9
"""Share of films whose Dice reaches the bound."""

GOOD, GOOD_FLAGGED = 0.95, 0.05
"""The bound of the lungs is widened until it flags the second, as a share of films with a Dice above the first."""

_RIDGE, _POOLED_RIDGE = 0.02, 1.0  # relative to the mean square of a standardised signal
_HELD_OUT_WEIGHT, _CLEAN_WEIGHT = 5.0, 2.0  # of a held-out film, and of an uncorrupted one
_FOLDS = 5  # of patients
_FEWEST = 20  # rows for a data set to have its own margin
_LOWEST, _HIGHEST = 0.02, 0.995  # Dice is clipped to this range before taking logits
_DIGITS = 5


def calibrate_doubt(observations: Sequence[Observation]) -> Doubt | None:
    """Calibrations for all outlined regions, without bounds if there are very few patients.

    Args:
        observations: of films and corrupted copies of them.

    Returns:
        `None` if nothing is outlined.
    """
    crossed = {one.film.dataset for one in observations if one.crossed}
    observations = [one for one in observations if one.film.held_out or one.film.dataset not in crossed]
    names = sorted({name for one in observations for name in one.dice if name in one.signals})
    regions = {name: _calibration(name, [one for one in observations if name in one.dice]) for name in names}
    if not regions:
        return None
    films = {(one.film.dataset, one.film.name) for one in observations}
    facts = {
        "films": len(films),
        "held_out_films": len({(o.film.dataset, o.film.name) for o in observations if o.film.held_out}),
        "cross_fitted_films": len({(o.film.dataset, o.film.name) for o in observations if o.crossed}),
        "with_corruptions": len(observations),
        "bound_reached_by": REACHED,
        "good_films_flagged": GOOD_FLAGGED,
    }
    return Doubt(regions, LOW_BOUND, facts)


def _calibration(region: str, rows: Sequence[Observation]) -> Calibration:
    patients = sorted({_patient(row) for row in rows})
    names = tuple(rows[0].signals[region])
    values = np.array([[row.signals[region][name] for name in names] for row in rows])
    truth = np.array([row.dice[region] for row in rows])
    held_out = np.array([row.film.held_out for row in rows])
    clean = np.array([not row.corrupted for row in rows])
    weights = np.where(held_out, _HELD_OUT_WEIGHT, 1.0) * np.where(clean, _CLEAN_WEIGHT, 1.0)
    ridge = np.array([_POOLED_RIDGE if name.startswith("pooled_") else _RIDGE for name in names])
    if len(patients) < _FOLDS:
        return _fit(names, values, _logits(truth), weights, ridge)
    fold = np.array([patients.index(_patient(row)) % _FOLDS for row in rows])
    crossed = np.zeros(len(rows))
    for k in range(_FOLDS):
        of_others = fold != k
        fitted = _fit(names, values[of_others], _logits(truth[of_others]), weights[of_others], ridge)
        crossed[~of_others] = [fitted.logit(row.signals[region]) for row in np.array(rows, object)[~of_others]]
    # On training films, Dice is higher than it will be on new ones.
    judged = held_out if held_out.sum() >= _FEWEST else np.ones(len(rows), bool)
    sets = np.array([row.film.dataset for row in rows])
    # The mean must come from the model itself; the scatter around it may come from cross-fitted networks.
    itself = judged & clean & np.array([not row.crossed for row in rows])
    crossed += (shift := _shift(crossed, truth, sets, itself if itself.sum() >= _FEWEST else judged & clean))
    found = _fit(names, values, _logits(truth), weights, ridge)
    margin = _margin(crossed - _logits(truth), sets, judged, clean)
    good = judged & clean & (truth > GOOD)
    if region in REGIONS and good.sum() >= _FEWEST:
        margin = max(margin, float(np.quantile(crossed[good], GOOD_FLAGGED) - _logits(np.array(LOW_BOUND))))
    return replace(
        found,
        bias=float(f"{found.bias + shift:.{_DIGITS}g}"),
        margin=float(f"{margin:.{_DIGITS}g}"),
        facts=_facts(crossed, margin, truth, sets, judged & clean),
    )


def _patient(row: Observation) -> tuple[str, str]:
    return row.film.dataset, row.film.patient


def _fit(
    names: tuple[str, ...], values: np.ndarray, target: np.ndarray, weights: np.ndarray, ridge: np.ndarray
) -> Calibration:
    share = weights / weights.sum()
    centre, spread = share @ values, values.std(axis=0) + 1e-6
    standard = np.clip((values - centre) / spread, -6, 6)
    bias = float(share @ target)
    gram = standard.T @ (standard * share[:, None]) + np.diag(ridge)
    slope = np.linalg.solve(gram, standard.T @ ((target - bias) * share))
    return Calibration(names, _rounded(centre), _rounded(spread), _rounded(slope), bias, {})


def _shift(crossed: np.ndarray, truth: np.ndarray, sets: np.ndarray, judged: np.ndarray) -> float:
    """Shift of the logits that makes the mean estimate equal the mean Dice, with all data sets counting equally."""
    low, high = -3.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        error = _probability(crossed + middle) - truth
        bias = np.mean([error[judged & (sets == name)].mean() for name in sorted(set(sets[judged]))])
        low, high = (low, middle) if bias > 0 else (middle, high)
    return (low + high) / 2


def _margin(shortfall: np.ndarray, sets: np.ndarray, judged: np.ndarray, clean: np.ndarray) -> float:
    """How far at most the Dice of `REACHED` of films falls below its estimate, in the data set that needs most.

    Both for uncorrupted films, and for those together with corrupted copies.
    """
    groups = [shortfall[judged]]
    for name in sorted(set(sets)):
        of_set = sets == name
        chosen = of_set & judged if (of_set & judged).sum() >= _FEWEST else of_set
        groups += [shortfall[rows] for rows in (chosen, chosen & clean) if rows.sum() >= _FEWEST]
    return max(_conformal(group) for group in groups)


def _conformal(shortfalls: np.ndarray) -> float:
    """The quantile that `REACHED` of new films stay within; the extra film in the rank is the new one itself."""
    rank = min(len(shortfalls), int(np.ceil((len(shortfalls) + 1) * REACHED)))
    return float(np.sort(shortfalls)[rank - 1])


def _facts(
    crossed: np.ndarray, margin: float, truth: np.ndarray, sets: np.ndarray, judged: np.ndarray
) -> dict[str, Any]:
    """Cross-fitted performance on uncorrupted films, by data set."""
    estimate, bound = _probability(crossed), _probability(crossed - margin)
    return {
        str(name): {
            "films": int(chosen.sum()),
            "bias": round(float((estimate - truth)[chosen].mean()), 4),
            "covered": round(float((truth >= bound)[chosen].mean()), 3),
            "flagged": round(float((bound < LOW_BOUND)[chosen].mean()), 3),
        }
        for name in sorted(set(sets))
        if (chosen := judged & (sets == name)).any()
    }


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)


def _probability(logit: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logit)))


def _logits(values: np.ndarray) -> np.ndarray:
    bounded = np.clip(values, _LOWEST, _HIGHEST)
    return np.asarray(np.log(bounded / (1 - bounded)))
