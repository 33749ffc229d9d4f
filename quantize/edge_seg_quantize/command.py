"""`edge-seg quantize`: a thin layer over `edge_seg_quantize.pipeline.quantize`; loads no framework until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from edge_seg.errors import InputError, UsageError
from edge_seg.model_file import ModelFile
from edge_seg.storage import write_atomically
from edge_seg.typed_json import parse_object

from edge_seg_quantize.edge_tpu import compile_model, find_compiler
from edge_seg_quantize.settings import KERAS_SUFFIX, QuantizeSettings

_LITTLE_DICE = 0.5


@click.command(epilog="Example: edge-seg quantize runs/lungs --out lungs.tflite")
@click.argument("run", metavar="RUN|MODEL.keras", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The int8 model to write.")
@click.option(
    "--data",
    multiple=True,
    metavar="DATASET",
    help="Films for a Keras model of your own; repeatable.",
)
@click.option(
    "--structures",
    metavar="NAME,NAME...",
    default="",
    help="What a Keras model of your own outlines, in the order of its channels, without the background of a softmax.",
)
@click.option(
    "--lung",
    metavar="whole|visible|TEXT",
    default="whole",
    show_default=True,
    help="Which lung a Keras model of your own outlines; see `edge-seg train --help`.",
)
@click.option("--name", help="Name of the model.  [default: the name of --out]")
@click.option("--model-version", "version", default=QuantizeSettings.version, show_default=True, help="Its version.")
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=QuantizeSettings.epochs,
    show_default=True,
    help="Of fine-tuning.",
)
@click.option(
    "--films-per-epoch",
    type=click.IntRange(0),
    default=QuantizeSettings.films_per_epoch,
    help="Films an epoch; 0 takes the number of the run.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=QuantizeSettings.learning_rate,
    show_default=True,
    help="Initial learning rate of Adam.",
)
@click.option(
    "--dice-budget",
    type=float,
    default=QuantizeSettings.dice_budget,
    show_default=True,
    help="Most mean Dice that int8 may lose on the validation films.",
)
@click.option(
    "--validation-films",
    type=click.IntRange(0),
    default=QuantizeSettings.validation_films,
    help="Most films that acceptance is measured on; 0 is all.",
)
@click.option(
    "--single-component/--all-components",
    default=QuantizeSettings.single_component,
    show_default=True,
    help="Keep only the largest piece of each structure, if the outlines of the training films are in one piece.",
)
@click.option("--about", type=click.Path(path_type=Path), help="JSON file with additions to the model card.")
@click.option("--licence", type=click.Path(path_type=Path), help="Licence text that travels with the model.")
@click.option(
    "--gate-negatives",
    "negatives",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Pictures that the film gate should refuse, by kind in subfolders or index.csv (file, kind, source); without "
    "any it goes by how films look at a glance; may be repeated.",
)
@click.option("--edgetpu", is_flag=True, help="Also compile it for the Edge TPU; needs edgetpu_compiler on the PATH.")
@click.option("--float-only", is_flag=True, help="Write only the float32 model, as a reference.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def quantize(
    run: Path,
    out: Path,
    data: tuple[str, ...],
    structures: str,
    lung: str,
    name: str | None,
    about: Path | None,
    licence: Path | None,
    edgetpu: bool,
    float_only: bool,
    **options: Any,
) -> None:
    """Make an int8 model of the training run in RUN, or of a functional Keras model of your own (with --data).

    Quantization-aware fine-tuning, conversion at batch 1, and acceptance: int8 all through and within the Dice budget,
    or it is set aside as refused. The float32, float16, dynamic-range and post-training int8 models are written beside
    it; of a Keras model a run, too. Needs `pip install '.[train]'`.
    """
    if edgetpu:
        # Fail before hours of training, not after.
        find_compiler()
    settings = QuantizeSettings(name or out.name.split(".")[0], about=_about(about), licence=_text(licence), **options)
    own = run.suffix == KERAS_SUFFIX
    if own and not data:
        raise UsageError(f"{run}: give films to fine-tune it on: --data FOLDER")
    if not own and (data or structures):
        raise UsageError("--data and --structures are for a Keras model of your own: a run has both")
    from edge_seg_data.report import counted

    from edge_seg_quantize.answers import beside
    from edge_seg_quantize.pipeline import export_float
    from edge_seg_quantize.pipeline import quantize as run_quantisation

    if own:
        from edge_seg_quantize.own import adopt

        adopted = out.with_name(f"{out.stem}.run")
        adopt(run, data, tuple(name.strip() for name in structures.split(",") if name.strip()), lung, adopted)
        run = adopted
    if float_only:
        export_float(run, out, settings)
        return
    report = run_quantisation(run, out, settings, (lambda text: None) if settings.quiet else click.echo)
    click.echo(
        f"Dice on {counted(report.films, 'validation film')}: float32 {report.dice_float32:.4f}, "
        f"PTQ int8 {report.dice_ptq:.4f}, QAT int8 {report.dice_qat:.4f}; fake-quantised model and flatbuffer differ "
        f"in {report.differing_pixels:.4%} of mask pixels on {counted(report.compared_films, 'film')}"
    )
    if report.dice_float32 < _LITTLE_DICE:
        click.echo("the float32 model itself finds little on these films: train the run further (--epochs)")
    if report.dice_ptq > report.dice_qat:
        click.echo(f"PTQ int8 has the higher Dice on these films: {beside(out, 'ptq')} is that form")
    click.echo(f"next: edge-seg run FILM --model {out}")
    if edgetpu:
        write_atomically(out, compile_model(ModelFile.read(out)).to_bytes())


def _about(path: Path | None) -> dict[str, Any]:
    try:
        return parse_object(_text(path) or "{}")
    except ValueError as error:
        raise InputError(
            f"{path}: cannot be read as JSON ({error}): give an object with additions to the card"
        ) from error


def _text(path: Path | None) -> str:
    from edge_seg_data.text import read_text

    return read_text(path) if path else ""
