"""A shipped model in all its quantisations, without training: float32, float16, dynamic range, PTQ int8 and QAT int8.

`python -m edge_seg_quantize.variants lungs --out FOLDER` makes the first four from the float weights that come with the
trainer; the QAT model is the shipped file itself. `edge-seg benchmark` compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from edge_seg.cli.main import run_command
from edge_seg.errors import OutputError, UsageError
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset, open_dataset
from edge_seg_train.pretrained import read_pretrained, shipped_weights

from edge_seg_quantize.representative import phantoms, representative_films


def make_variants(name: str, datasets: Sequence[Dataset] = ()) -> dict[str, ModelFile]:
    """A shipped model as `float32`, `float16`, `dynamic` and `ptq`, keyed by these names.

    Their manifests are the shipped one's, less what was fitted to or measured on the shipped network: scores, checks,
    the film gate's classifier and the calibration of trust. Their film gate goes by how a film looks at a glance, and
    they estimate no Dice. The weights were stored in float16, so the float32 model differs from the run it came from by
    that rounding.

    Args:
        name: a shipped model whose float weights come with the trainer.
        datasets: their training films set the ranges of the PTQ model; without any, the phantom does.

    Raises:
        UsageError: no such model.
        InputError: the data sets have no training films, or a film cannot be read.
        ModelError: the shipped model cannot be read.
    """
    check_name(name)
    shipped, found = ModelFile.read(name), read_pretrained(name)
    # Before a framework is loaded, to report a bad folder quickly.
    grey, films = representative_films(datasets or [phantoms()], shipped.manifest.input_shape)

    from edge_seg_quantize.legacy import load_shipped  # isort: skip  (chooses legacy Keras before TensorFlow loads)

    from edge_seg_train.packing import network_input
    from edge_seg_train.stored import code_version

    from edge_seg_quantize import convert

    model = load_shipped(found)
    representative = network_input(grey, found.network.channels)
    made = {
        "float32": ("float32", convert.to_float32(model)),
        "float16": ("float16", convert.to_float16(model)),
        "dynamic": ("dynamic", convert.to_dynamic_range(model)),
        "ptq": ("int8-ptq", convert.to_int8_after_training(model, representative)),
    }
    facts = {"made_from": _origin(shipped), "quantised_with": code_version()}
    own: dict[str, dict[str, Any]] = {"ptq": {"representative": films}}
    return {
        kind: _variant(shipped, quantisation, flatbuffer, {**facts, **own.get(kind, {})})
        for kind, (quantisation, flatbuffer) in made.items()
    }


def check_name(name: str) -> None:
    """Check that a shipped model with float weights has this name.

    Raises:
        UsageError: there is no such model.
    """
    known = [model for model in shipped_models() if model in shipped_weights()]
    if name not in known:
        raise UsageError(f"{name}: no shipped model with float weights is called that: choose from {', '.join(known)}")


def _origin(shipped: ModelFile) -> dict[str, Any]:
    manifest = shipped.manifest
    return {
        "weights": f"float weights of {manifest.name} {manifest.version} that come with the trainer, stored in float16",
        "manifest": f"of the shipped {manifest.quantisation} model, its thresholds and trust calibration included",
        "shipped_flatbuffer_sha256": manifest.flatbuffer_sha256,
    }


def _variant(shipped: ModelFile, quantisation: str, flatbuffer: bytes, facts: dict[str, Any]) -> ModelFile:
    # The shipped model's int8 fine-tuning does not apply to the others. It moved the features that gate and trust were
    # fitted to: on the other models of `lungs-nano` that gate refuses nearly every film.
    training = {key: value for key, value in shipped.manifest.training.items() if key != "quantisation"}
    manifest = replace(
        shipped.manifest,
        quantisation=quantisation,
        training={**training, **facts},
        scores=(),
        checks={},
        edge_tpu=None,
        trust=None,
        gate=None,
    )
    return ModelFile(manifest, flatbuffer, licence=shipped.licence)


@click.command(epilog="Example: python -m edge_seg_quantize.variants lungs --out variants")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the five models.")
@click.option(
    "--data",
    "folders",
    metavar="DATASET",
    multiple=True,
    help="Data set whose training films set the ranges of the PTQ model; may be repeated.  [default: the phantom]",
)
def main(name: str, out: Path, folders: tuple[str, ...]) -> None:
    """Write the shipped model NAME as float32, float16, dynamic range, PTQ int8, and as it is (QAT int8)."""
    # Report errors before the work.
    check_name(name)
    datasets = [open_dataset(folder) for folder in folders]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror}): choose another --out") from error
    files = {f"{name}.{kind}.tflite": file.to_bytes() for kind, file in make_variants(name, datasets).items()}
    files[f"{name}.tflite"] = shipped_models()[name].read_bytes()
    for file_name, data in files.items():
        write_atomically(out / file_name, data)
        click.echo(f"wrote {out / file_name} ({len(data) / 1000:.0f} kB)")


if __name__ == "__main__":
    run_command(main)
