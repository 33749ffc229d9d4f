"""Calibrates a quantised model's film gate and its estimates of Dice.

`python -m edge_seg_quantize.calibration MODEL DATASET...` calibrates an existing model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from edge_seg import Segmenter
from edge_seg.assessment.doubt import REGIONS
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.storage import write_atomically
from edge_seg.structures import lung_definitions
from edge_seg_data import Dataset, Outlines, evenly_spaced, open_dataset, truth_regions
from edge_seg_data.report import counted
from edge_seg_data.splits import anonymous, splits_of_model

from edge_seg_quantize.doubt import calibrate_doubt
from edge_seg_quantize.gate import calibrate_gate
from edge_seg_quantize.observations import Observation, PackedFilm, observe, unpack

HELD_OUT, TRAINED = 60, 120
"""Maximum number of films observed per data set, in the validation split and in the training split."""


def calibrate(
    model: ModelFile,
    datasets: Sequence[Dataset],
    negatives: Sequence[Path] = (),
    cross_fitted: Sequence[ModelFile] = (),
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The fields `trust` and `gate` of a model's manifest.

    Args:
        model: one that outputs pooled features.
        datasets: what it was trained on.
        negatives: folders of pictures that its film gate should reject.
        cross_fitted: models of runs with `--hold-out`, one for each part. On the films they held out, their results
            stand in for this model's, which was trained on those films.

    Returns:
        `None` for estimates if the model outlines no whole lungs. `None` for the gate if the model expects no kind of
        film or there are no negatives; the film gate then goes by how a film looks at a glance.

    Raises:
        InputError: a film cannot be read, or a folder has no pictures.
    """
    manifest = model.manifest
    if not (estimates_dice(manifest) or (manifest.expects and negatives)):
        return None, None
    segmenter = Segmenter(model, gate=False)
    films = packed_films(manifest, datasets)
    observations = observe(segmenter, films)
    doubt = None
    if estimates_dice(manifest):
        doubt = calibrate_doubt([*observations, *_cross_fitted(segmenter, films, cross_fitted)])
    gate = calibrate_gate(segmenter, observations, negatives) if manifest.expects and negatives else None
    return (doubt.to_json() if doubt else None), (gate.to_json() if gate else None)


def _cross_fitted(segmenter: Segmenter, films: Sequence[PackedFilm], models: Sequence[ModelFile]) -> list[Observation]:
    """What models saw on films they held out, for data sets of which the segmenter's own model held out none."""
    own = {film.dataset for film in films if film.held_out}
    films = [film for film in films if film.dataset not in own]
    found = []
    for model in models:
        splits = splits_of_model(model)
        new = [film for film in films if splits.get(anonymous(film.patient)) == "val"]
        found += observe(Segmenter(model, gate=False), [replace(film, held_out=True) for film in new], segmenter)
    return found


def estimates_dice(manifest: Manifest) -> bool:
    """Whether a model estimates its Dice: only models that outline whole lungs do."""
    return "whole" in lung_definitions(manifest.structures)


def trusted_region(outlines: Outlines) -> str:
    """The region whose Dice is estimated: the whole lung, or the visible one; empty if neither is known."""
    known = truth_regions(outlines)
    return next((name for name in REGIONS if name in known), "")


def packed_films(manifest: Manifest, datasets: Sequence[Dataset]) -> list[PackedFilm]:
    """Evenly spaced films of the training and validation splits, at the network's size."""
    from edge_seg_train.packing import pack

    structures = [structure.name for structure in manifest.structures]
    regions = [name for name in REGIONS if name not in structures]
    outlined = [dataset for dataset in datasets if dataset.structures]
    found = []
    for split, most in (("val", HELD_OUT), ("train", TRAINED)):
        groups = [evenly_spaced([f for f in dataset.split(split) if f.scored], most) for dataset in outlined]
        films = [film for group in groups for film in group]
        packed = pack(groups, structures, manifest.input_shape, regions=regions)
        for k, film in enumerate(films):
            origin = outlined[int(packed.origin[k])].name
            names = [*structures, *regions]
            of_film = film.name, film.patient, origin, split == "val"
            found.append(unpack(packed.grey[k], packed.labels[k], names, *of_film))
    return [film for film in found if film is not None]


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folders", metavar="DATASET...", nargs=-1, required=True)
@click.option(
    "--gate-negatives",
    "negatives",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Folder of pictures that the film gate should refuse; may be repeated.",
)
@click.option(
    "--cross-fitted",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Model of a run with `edge-seg train --hold-out`, one of each part; may be repeated.",
)
def main(model: Path, folders: tuple[str, ...], negatives: tuple[Path, ...], cross_fitted: tuple[Path, ...]) -> None:
    """Calibrate MODEL on the training and validation films of DATASET....

    Its film gate stays as it is where no --gate-negatives are given.
    """
    file = ModelFile.read(model)
    if Segmenter(file, gate=False).pooled is None:
        raise InputError(f"{model}: the network gives no pooled features: make it again with `edge-seg quantize`")
    trust, gate = calibrate(
        file, [open_dataset(folder) for folder in folders], negatives, [ModelFile.read(path) for path in cross_fitted]
    )
    manifest = replace(file.manifest, trust=trust, gate=gate if negatives else file.manifest.gate)
    write_atomically(model, replace(file, manifest=manifest).to_bytes())
    others = trust["facts"]["cross_fitted_films"] if trust else 0
    # Zero counts too: the networks given held out nothing that is missing here.
    said = f" with {counted(others, 'film')} that other networks held out" if cross_fitted else ""
    click.echo(f"{model}: calibrated{said}; edge-seg inspect shows what it was measured on")


if __name__ == "__main__":
    run_command(main)
