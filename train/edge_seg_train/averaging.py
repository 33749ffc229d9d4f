"""The average of several runs' weights, which often does better on films from elsewhere than any of the runs.

Weights from one line of training lie in one basin, so their mean is a network too (Wortsman et al. 2022, "Model
soups"). Batch statistics do not average: they are re-estimated on training films.

`python -m edge_seg_train.averaging RUN RUN... --out RUN` writes a run that `edge-seg quantize` takes like any other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from edge_seg.cli.main import run_command
from edge_seg.errors import UsageError
from edge_seg.storage import write_atomically

from edge_seg_train import checkpoint
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.config import CONFIG_NAME, read_config
from edge_seg_train.data import datasets_of, patients_learned, refuse_learned, store_splits
from edge_seg_train.memory import keep_freed_memory
from edge_seg_train.network import build
from edge_seg_train.pretrained import Pretrained, load_pretrained, read_pretrained

BATCHES = 200
"""Number of batches of training films to estimate the batch statistics from."""


def average(runs: Sequence[Path], out: Path) -> Path:
    """Write the average of the runs' best weights as a new run, with the settings of the last.

    Args:
        runs: of networks with the same layers and outputs; input sizes may differ.
        out: folder, which must not hold a run yet.

    Returns:
        Path of the weights.

    Raises:
        InputError: a run has no weights, or different layers, or was trained on films that the last holds out.
        UsageError: `out` holds a run, or the outputs differ.
    """
    import keras

    from edge_seg_train.loop import films_on_demand, training_drawing
    from edge_seg_train.stored import code_version

    keep_freed_memory()
    if (out / CONFIG_NAME).exists():
        raise UsageError(f"{out} holds a run: choose another --out")
    config, record = read_config(runs[-1])
    places = [str(run.resolve()) for run in runs]
    found = [read_pretrained(place) for place in places]
    if len({one.outputs for one in found}) > 1:
        raise UsageError("the runs have different outputs: average runs of the same structures")
    model = build(keras, config.network)
    _set_mean_weights(model, config.outputs, found)
    datasets = datasets_of(config, runs[-1])
    for place in places:
        refuse_learned(datasets, place)
    # Batch statistics depend on the films alone, not on their labels.
    films = films_on_demand(replace(config, teacher=""), datasets)
    estimate_batch_statistics(
        model,
        TrainingBatches(replace(training_drawing(config, films), steps=BATCHES), config.network.channels),
    )
    out.mkdir(parents=True, exist_ok=True)
    store_splits(out, datasets, {patient for place in places for patient in patients_learned(place)})
    path = out / f"best.{checkpoint.WEIGHTS_NAME}"
    checkpoint.save_weights(model, path)
    settings = replace(config, epochs=0, start=places[-1]).to_json()
    averaged = {"averaged": [run.name for run in runs], "code_version": code_version()}
    write_atomically(out / CONFIG_NAME, json.dumps({**record, "config": settings, **averaged}, indent=2).encode())
    return path


def _set_mean_weights(model: Any, outputs: tuple[str, ...], found: Sequence[Pretrained]) -> None:
    mean: dict[str, list[Any]] = {}
    for one in found:
        load_pretrained(model, outputs, one)
        for layer in model.layers:
            weights = [weight / len(found) for weight in layer.get_weights()]
            before = mean.get(layer.name)
            mean[layer.name] = weights if before is None else [a + b for a, b in zip(before, weights, strict=True)]
    for layer in model.layers:
        layer.set_weights(mean[layer.name])


def estimate_batch_statistics(model: Any, batches: TrainingBatches) -> None:
    """Set the moving mean and variance of every batch normalisation to their mean over the batches."""
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for index in range(len(batches)):
        for layer in layers:
            # This makes the moving average the mean of all batches so far.
            layer.momentum = index / (index + 1)
        model(batches[index][0], training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(runs: tuple[Path, ...], out: Path) -> None:
    """Average the best weights of RUN... into a new run."""
    click.echo(f"{average(runs, out)}\nnext: edge-seg quantize {out} --out {out.name}.tflite")


if __name__ == "__main__":
    run_command(main)
