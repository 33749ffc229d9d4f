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
from edge_seg.pixels import IGNORE
from edge_seg.storage import write_atomically
from edge_seg.structures import lung_definitions
from edge_seg_data import LabelledFilm, open_dataset
from edge_seg_data.corruptions import CORRUPTIONS, SEVERITIES
from edge_seg_data.scores import dice

_CORRUPTED = 5  # copies of each film, beside the film itself
_RIDGE = 0.1  # of the mean square of a standardised feature
_LOWEST, _HIGHEST = 0.02, 0.995  # Dice whose logits bound the fit


def calibrate(segmenter: Segmenter, films: Sequence[LabelledFilm]) -> Calibration:
    """Fit the weights by ridge regression on the logit of the whole lung's Dice.

    Args:
        segmenter: with the model, without its film gate.
        films: with right and left lung outlined, none of which the model was trained on.

    Raises:
        InputError: no such films.
    """
    rows, truth = [], []
    for index, labelled in enumerate(films):
        film, outlines = labelled.load()
        if not {"right_lung", "left_lung"} <= outlines.keys():
            continue
        copies = [(film, outlines)]
        for copy in range(_CORRUPTED):
            corruption = CORRUPTIONS[(index * _CORRUPTED + copy) % len(CORRUPTIONS)]
            severity = SEVERITIES[(index + copy) % len(SEVERITIES)]
            copies.append(corruption(film, outlines, severity, seed=index))
        for seen, planes in copies:
            result = segmenter(seen)
            right, left = planes["right_lung"], planes["left_lung"]
            valid = (right != IGNORE) & (left != IGNORE)
            rows.append(result.trust_features)
            truth.append(dice((right == 1) | (left == 1), result.regions["whole_lung"], valid))
    if not rows:
        raise InputError("no validation films with both lungs outlined: the trust score cannot be calibrated")
    names = tuple(rows[0])
    values = np.array([[row[name] for name in names] for row in rows])
    centre, spread = values.mean(axis=0), values.std(axis=0) + 1e-6
    standard = np.clip((values - centre) / spread, -6, 6)
    bounded = np.clip(truth, _LOWEST, _HIGHEST)
    target = np.log(bounded / (1 - bounded))
    gram = standard.T @ standard + _RIDGE * len(standard) * np.eye(len(names))
    weights = np.linalg.solve(gram, standard.T @ (target - target.mean()))
    found = Calibration(
        names, tuple(centre.tolist()), tuple(spread.tolist()), tuple(weights.tolist()), float(target.mean()), {}
    )
    error = np.abs(np.array([found.estimate(row) for row in rows]) - np.array(truth))
    facts = {
        "region": "whole_lung",
        "films": len(films),
        "with_corruptions": len(rows),
        "lowest_dice": round(float(min(truth)), 4),
        "mean_absolute_error": round(float(error.mean()), 4),
    }
    return replace(found, facts=facts)


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
