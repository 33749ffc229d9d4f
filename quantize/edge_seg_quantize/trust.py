"""Calibrates the trust score on validation films and their corruptions, and puts it into a model's manifest.

`python -m edge_seg_quantize.trust MODEL DATASET...` does so for a model that is there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from edge_seg import Segmenter
from edge_seg.assessment.trust import Calibration
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError
from edge_seg.model_file import ModelFile
from edge_seg.storage import write_atomically
from edge_seg.structures import lung_definitions
from edge_seg_data import LabelledFilm, Outlines, open_dataset, truth_regions
from edge_seg_data.corruptions import CORRUPTIONS, SEVERITIES
from edge_seg_data.scores import dice

_CORRUPTED = 5  # copies of each film, beside the film itself
_RIDGE = 0.1  # of the mean square of a standardised feature
_FOLDS = 5  # of patients
_REACHED = 0.9  # share of films whose Dice the bound lies below
_LOWEST, _HIGHEST = 0.02, 0.995  # Dice whose logits bound the fit


def calibrate(segmenter: Segmenter, films: Sequence[LabelledFilm]) -> Calibration:
    """Fit the weights by ridge regression on the logit of the lungs' Dice, and a margin for its lower bound.

    The Dice is of the whole lung where that is outlined, else of the visible one. The margin is a split conformal one
    (Papadopoulos et al. 2002): the estimates that it is taken from are of patients whose films did not fit the weights.

    Args:
        segmenter: with the model, without its film gate.
        films: with lungs outlined, none of which the model was trained on.

    Raises:
        InputError: no such films.
    """
    rows, truth, patients = _observe(segmenter, films)
    if not rows:
        raise InputError("no validation films with lungs outlined: the trust score cannot be calibrated")
    found = _fit(rows, truth)
    shortfall = _shortfalls(rows, truth, patients)
    error = np.abs(np.array([found.estimate(row) for row in rows]) - np.array(truth))
    facts = {
        "region": "whole_lung, visible_lung where that alone is outlined",
        "films": len(films),
        "with_corruptions": len(rows),
        "lowest_dice": round(float(min(truth)), 4),
        "mean_absolute_error": round(float(error.mean()), 4),
        "bound_reached_by": _REACHED,
    }
    return replace(found, facts=facts, margin=_conformal(shortfall) if len(shortfall) else None)


def trusted_region(outlines: Outlines) -> str:
    """The region whose Dice is estimated: the whole lung, or the visible one; empty where neither is known."""
    known = truth_regions(outlines)
    return next((name for name in ("whole_lung", "visible_lung") if name in known), "")


def _observe(
    segmenter: Segmenter, films: Sequence[LabelledFilm]
) -> tuple[list[dict[str, float]], list[float], list[str]]:
    """Features, true Dice and patient of each film and of corrupted copies of it."""
    rows, truth, patients = [], [], []
    for index, labelled in enumerate(films):
        film, outlines = labelled.load()
        copies = [(film, outlines)]
        for copy in range(_CORRUPTED):
            corruption = CORRUPTIONS[(index * _CORRUPTED + copy) % len(CORRUPTIONS)]
            severity = SEVERITIES[(index + copy) % len(SEVERITIES)]
            copies.append(corruption(film, outlines, severity, seed=index))
        for seen, planes in copies:
            known, region, result = truth_regions(planes), trusted_region(planes), segmenter(seen)
            if not region or region not in result.regions:
                continue
            rows.append(result.trust_features)
            truth.append(dice(known[region][0], result.regions[region], known[region][1]))
            patients.append(labelled.patient)
    return rows, truth, patients


def _fit(rows: Sequence[dict[str, float]], truth: Sequence[float]) -> Calibration:
    names = tuple(rows[0])
    values = np.array([[row[name] for name in names] for row in rows])
    centre, spread = values.mean(axis=0), values.std(axis=0) + 1e-6
    standard = np.clip((values - centre) / spread, -6, 6)
    target = _logits(truth)
    gram = standard.T @ standard + _RIDGE * len(standard) * np.eye(len(names))
    weights = np.linalg.solve(gram, standard.T @ (target - target.mean()))
    return Calibration(
        names, tuple(centre.tolist()), tuple(spread.tolist()), tuple(weights.tolist()), float(target.mean()), {}
    )


def _shortfalls(rows: Sequence[dict[str, float]], truth: Sequence[float], patients: Sequence[str]) -> np.ndarray:
    """How far each Dice lies below an estimate that its patient had no part in, as logits."""
    owners = sorted(set(patients))
    if len(owners) < _FOLDS:
        return np.zeros(0)
    fold = np.array([owners.index(patient) % _FOLDS for patient in patients])
    target, found = _logits(truth), np.zeros(len(rows))
    for held_out in range(_FOLDS):
        of_others = [int(i) for i in np.flatnonzero(fold != held_out)]
        fitted = _fit([rows[i] for i in of_others], [truth[i] for i in of_others])
        for i in map(int, np.flatnonzero(fold == held_out)):
            found[i] = fitted.logit(rows[i]) - target[i]
    return found


def _conformal(shortfalls: np.ndarray) -> float:
    """The margin that `_REACHED` of new films keep within: a quantile, with one film more for the new one itself."""
    rank = min(len(shortfalls), int(np.ceil((len(shortfalls) + 1) * _REACHED)))
    return round(float(np.sort(shortfalls)[rank - 1]), 4)


def _logits(values: Sequence[float]) -> np.ndarray:
    bounded = np.clip(values, _LOWEST, _HIGHEST)
    return np.log(bounded / (1 - bounded))


def with_trust(model: ModelFile, films: Sequence[LabelledFilm]) -> ModelFile:
    """The model with a calibrated trust score in its manifest; unchanged without films or whole lungs."""
    if not films or "whole" not in lung_definitions(model.manifest.structures):
        return model
    found = calibrate(Segmenter(model, gate=False), films)
    return replace(model, manifest=replace(model.manifest, trust=found.to_json()))


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folders", metavar="DATASET...", nargs=-1, required=True)
def main(model: Path, folders: tuple[str, ...]) -> None:
    """Calibrate MODEL on the validation films of DATASET...."""
    films = [film for folder in folders for film in open_dataset(folder).split("val") if film.scored]
    calibrated = with_trust(ModelFile.read(model), films)
    write_atomically(model, calibrated.to_bytes())
    click.echo(f"{model}: {calibrated.manifest.trust}")


if __name__ == "__main__":
    run_command(main)
