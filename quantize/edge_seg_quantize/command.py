"""`edge-seg quantize`: thin over `edge_seg_quantize.pipeline.quantize`; loads no framework before it runs."""

from __future__ import annotations

import json
from pathlib import Path

import click
from edge_seg.errors import InputError
from edge_seg.model_file import ModelFile
from edge_seg.storage import write_atomically
from edge_seg.version import __version__

from edge_seg_quantize.edge_tpu import compile_model, find_compiler


@click.command(epilog="Example: edge-seg quantize runs/lungs --out lungs.tflite")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The int8 model to write.")
@click.option("--name", help="Name of the model.  [default: that of --out]")
@click.option("--model-version", default=__version__, show_default=True, help="Version of the model.")
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True, help="Of fine-tuning.")
@click.option("--films-per-epoch", type=int, default=0, help="Films an epoch; 0 is the run's own.")
@click.option("--learning-rate", type=float, default=2e-4, show_default=True, help="Of Adam, at the start.")
@click.option("--dice-budget", type=float, default=0.002, show_default=True, help="Most Dice int8 may lose.")
@click.option("--validation-films", type=int, default=0, help="Most films that decide it; 0 is all.")
@click.option(
    "--single-component/--all-components",
    default=True,
    show_default=True,
    help="Keep only the largest piece of each structure, where the training films' outlines are in one piece.",
)
@click.option("--about", type=click.Path(path_type=Path), help="JSON file with what the model card should add.")
@click.option("--licence", type=click.Path(path_type=Path), help="Licence text that travels with the model.")
@click.option("--edgetpu", is_flag=True, help="Also compile it for the Edge TPU; needs edgetpu_compiler on the PATH.")
@click.option("--float-only", is_flag=True, help="Write the float32 model alone, as a reference.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def quantize(
    run: Path,
    out: Path,
    name: str | None,
    model_version: str,
    epochs: int,
    films_per_epoch: int,
    learning_rate: float,
    dice_budget: float,
    validation_films: int,
    single_component: bool,
    about: Path | None,
    licence: Path | None,
    edgetpu: bool,
    float_only: bool,
    quiet: bool,
) -> None:
    """Make an int8 model of the training run in RUN.

    Quantization-aware fine-tuning, conversion at batch 1, and a gate: int8 all through and within the Dice budget, or
    nothing is written. The float32, float16, dynamic-range and post-training int8 models are written beside it. Needs
    `pip install 'edge-seg[train]'`.
    """
    if edgetpu:
        # Known before hours of training, not after.
        find_compiler()
    facts, terms = json.loads(_text(about) or "{}"), _text(licence)
    from edge_seg_quantize.pipeline import QuantizeSettings, export_float
    from edge_seg_quantize.pipeline import quantize as run_quantisation

    settings = QuantizeSettings(
        name or out.name.split(".")[0],
        model_version,
        epochs,
        films_per_epoch,
        learning_rate,
        dice_budget,
        validation_films,
        single_component,
        facts,
        terms,
        quiet,
    )
    if float_only:
        export_float(run, out, settings)
        return
    report = run_quantisation(run, out, settings, (lambda text: None) if quiet else click.echo)
    click.echo(
        f"Dice on {report.films} validation films: float32 {report.dice_float32:.4f}, PTQ int8 {report.dice_ptq:.4f}, "
        f"QAT int8 {report.dice_qat:.4f}; fake-quantised model and flatbuffer differ in "
        f"{report.differing_pixels:.4%} of mask pixels on {report.compared_films} films"
    )
    if edgetpu:
        write_atomically(out, compile_model(ModelFile.read(out)).to_bytes())


def _text(path: Path | None) -> str:
    try:
        return path.read_text() if path else ""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give a text file") from error
