"""From a float run to five model files: float32, float16, dynamic range, PTQ int8 and the QAT int8 model that ships."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_seg_quantize.legacy import load_run  # isort: skip  (chooses legacy Keras before TensorFlow is imported)

import numpy as np
from edge_seg import Segmenter, pixels
from edge_seg.errors import InputError, ModelError, OutputError, UsageError
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.storage import write_atomically
from edge_seg.structures import Structure, lung_definitions
from edge_seg_data import Dataset, LabelledFilm, evenly_spaced
from edge_seg_data.report import counted
from edge_seg_data.splits import SPLITS_NAME
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.config import TrainConfig, read_config
from edge_seg_train.data import anonymous_splits, datasets_of
from edge_seg_train.loop import pack_training_films, training_drawing
from edge_seg_train.losses import training_loss
from edge_seg_train.memory import keep_freed_memory
from edge_seg_train.packing import PackedFilms, network_input, pack, without_undecodable

from edge_seg_quantize import convert, qat
from edge_seg_quantize.acceptance import AcceptanceReport, check_measurable, measure
from edge_seg_quantize.answers import REFUSED, answer, beside, made_before, origin_of
from edge_seg_quantize.calibration import calibrate, trusted_region
from edge_seg_quantize.gate import read_negatives
from edge_seg_quantize.manifest import PIECES_FILMS, in_one_piece, make_manifest
from edge_seg_quantize.representative import evenly_of_each
from edge_seg_quantize.settings import QuantizeSettings

_BACKUP = "quantisation"  # folder in a run for the checkpoints of its fine-tuning


def quantize(run: Path, out: Path, settings: QuantizeSettings, say: Callable[[str], None] = print) -> AcceptanceReport:
    """Quantise a run and write `OUT`; beside it, `OUT` with `.float32`, `.float16`, `.dynamic` and `.ptq` in the name.

    A model that is not accepted is written as `OUT` with `.refused` in the name and the measurements in its manifest.
    A later call with another budget checks the existing model against it without training.

    Args:
        run: folder written by `edge-seg train`.
        out: path of the QAT int8 model; the others are written beside it.
        settings: how to quantise it.
        say: receives progress messages.

    Raises:
        InputError: the run, its films or the pictures for the gate cannot be read, or the model cannot be measured.
        ModelError: the model is not accepted, or its manifest would make no sense.
        OutputError: a file cannot be written.
        UsageError: the budget is not finite.
    """
    keep_freed_memory()
    check_place(out)
    if not math.isfinite(settings.dice_budget):
        raise UsageError(f"--dice-budget {settings.dice_budget}: give a number")
    config, record = read_config(run)
    made_from = origin_of(run, settings)
    made = made_before(out, made_from)
    if made is not None:
        return answer(made, out, settings.dice_budget, say)
    model = load_run(run, config)
    datasets = _usable_datasets(config, run, settings)
    validation = _validation_films(datasets, settings.validation_films)
    # Report problems before hours of fine-tuning, not after.
    check_measurable(validation, config.structures)
    say("reading films")
    # A network that learned from teachers is now its own best teacher.
    taught = replace(config, distill=(str(run.resolve()),) if config.distill else (), skip_bad=False)
    films = pack_training_films(taught, datasets)
    manifest = make_manifest(config, record, settings, in_one_piece(films.labels[..., : len(config.structures)]))
    check_calibratable(manifest.structures, validation)
    check_readable(manifest, settings)
    splits = anonymous_splits(run)

    backup = run / _BACKUP / made_from
    aware = _fine_tuned(model, config, films, settings, say, backup)
    say("converting")
    compared = films.grey[evenly_of_each(films.origin)]
    representative = network_input(compared, config.network.channels)
    models = _all_forms(model, aware, manifest, representative, settings, splits)
    say(f"measuring on {counted(len(validation), 'validation film')}")
    report = _measured(models, aware, compared, validation, settings.dice_budget, made_from)
    _write(models, out, report, partial(calibrate, models["qat"], datasets, settings.negatives), say, backup)
    return report


def check_place(out: Path) -> None:
    """Check that files can be written at a path.

    Raises:
        OutputError: they cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror}): choose a folder that is there and can be written"
        ) from error


def check_calibratable(structures: tuple[Structure, ...], films: list[LabelledFilm]) -> None:
    """Check that the trust score, if the model has one, can be calibrated on the validation films.

    Raises:
        InputError: none outlines the lungs.
    """
    if "whole" not in lung_definitions(structures):
        return
    if not any(trusted_region(film.load()[1]) for film in films):
        raise InputError(
            "no validation film outlines both lungs, and the trust score is calibrated on those: outline some, or say "
            "by --lung of `edge-seg train` what else the outlines mean"
        )


def check_readable(manifest: Manifest, settings: QuantizeSettings) -> None:
    """Check that the models can be read again with this manifest, and the pictures for the film gate at all.

    Raises:
        InputError: a folder of pictures or its index cannot be read.
        ModelError: a value in the manifest makes no sense.
    """
    Manifest.from_json(manifest.to_json(), settings.name)
    for folder in settings.negatives if manifest.expects else ():
        with closing(read_negatives(folder)) as pictures:
            next(pictures)


def _measured(
    models: dict[str, ModelFile],
    aware: Any,
    compared: np.ndarray,
    validation: list[LabelledFilm],
    budget: float,
    made_from: str,
) -> AcceptanceReport:
    segmenters = {kind: Segmenter(models[kind], gate=False) for kind in ("float32", "ptq", "qat")}
    return measure(
        **segmenters,
        flatbuffer=models["qat"].flatbuffer,
        films=validation,
        differing_pixels=differing_pixels(aware, segmenters["qat"], compared),
        compared_films=len(compared),
        budget=budget,
        made_from=made_from,
    )


def _write(
    models: dict[str, ModelFile],
    out: Path,
    report: AcceptanceReport,
    calibration: Callable[[], tuple[dict[str, Any] | None, dict[str, Any] | None]],
    say: Callable[[str], None],
    backup: Path,
) -> None:
    """Write all forms with the measurements; the QAT model goes to `out` only if it is accepted.

    The backup of the fine-tuning is then removed: a failure before that does not repeat the fine-tuning.

    Raises:
        ModelError: it is not accepted.
    """
    refusal = None
    try:
        report.check()
    except ModelError as error:
        refusal = error
    say("calibrating the film gate and the estimates of Dice")
    # For the model that ships; the others' outlines differ too little to need their own calibration.
    trust, gate = calibration()
    place = {"qat": out if refusal is None else beside(out, REFUSED)}
    for kind, file in models.items():
        path = place.get(kind, beside(out, kind))
        checked = replace(file, manifest=replace(file.manifest, checks=report.to_json(), trust=trust, gate=gate))
        write_atomically(path, checked.to_bytes())
        say(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
    shutil.rmtree(backup, ignore_errors=True)
    if refusal is None:
        beside(out, REFUSED).unlink(missing_ok=True)
        return
    raise ModelError(
        f"{refusal}; {place['qat']} and the other forms beside it hold what was measured (edge-seg inspect), another "
        "--dice-budget is answered without training"
    ) from refusal


def export_float(run: Path, out: Path, settings: QuantizeSettings) -> None:
    """Write only a run's float32 model: a reference to measure against, without quantisation.

    Raises:
        InputError: the run cannot be read.
        OutputError: the file cannot be written.
    """
    config, record = read_config(run)
    flatbuffer = convert.to_float32(load_run(run, config))
    datasets = _usable_datasets(config, run, settings)
    outlined = [film for dataset in datasets for film in dataset.split("train")]
    size = config.network.height, config.network.width
    films = pack([evenly_spaced(outlined, PIECES_FILMS)], config.structures, size)
    manifest = make_manifest(config, record, settings, in_one_piece(films.labels))
    file = _file(manifest, settings, anonymous_splits(run), "float32", flatbuffer)
    write_atomically(out, file.to_bytes())


def _usable_datasets(config: TrainConfig, run: Path, settings: QuantizeSettings) -> list[Dataset]:
    """The data sets of the run, without what only decoding shows to be damaged where the run left that out."""
    datasets = datasets_of(config, run, settings.quiet)
    return without_undecodable(datasets) if config.skip_bad else datasets


def differing_pixels(aware: Any, segmenter: Segmenter, grey: np.ndarray) -> float:
    """Share of mask pixels on which the fake-quantised model and the flatbuffer disagree.

    Args:
        aware: quantization-aware Keras model.
        segmenter: with the flatbuffer made from it.
        grey: `(films, height, width)` uint8 at the network's size.
    """
    manifest, spec = segmenter.manifest, segmenter.runtime.input
    table = pixels.input_table(manifest.mean, manifest.std, spec.scale, spec.zero_point)
    raw = aware.predict(network_input(grey, manifest.input_channels), batch_size=8, verbose=0)
    fake = pixels.structure_logits(raw, manifest.output) > 0
    real = [
        segmenter.logits(segmenter.runtime.run(pixels.to_tensor(film, table, manifest.input_channels))) > 0
        for film in grey
    ]
    return float(np.mean(fake != np.stack(real)))


def _validation_films(datasets: list[Dataset], limit: int) -> list[LabelledFilm]:
    """The films that acceptance is measured on, evenly spaced in each validation split; all if `limit` is 0."""
    groups = [[film for film in dataset.split("val") if film.scored] for dataset in datasets]
    return [film for group in groups for film in evenly_spaced(group, limit or None)]


def _batches(config: TrainConfig, films: PackedFilms, settings: QuantizeSettings) -> TrainingBatches:
    wanted = settings.films_per_epoch or config.films_per_epoch
    # Draw other films than the float run saw in its first epochs.
    drawn = replace(config, films_per_epoch=wanted, seed=config.seed + 1)
    return TrainingBatches(training_drawing(drawn, films), config.network.channels)


def _fine_tuned(
    model: Any,
    config: TrainConfig,
    films: PackedFilms,
    settings: QuantizeSettings,
    say: Callable[[str], None],
    backup: Path,
) -> Any:
    aware = qat.quantization_aware(model)
    chosen = films.grey[evenly_of_each(films.origin)]
    qat.set_ranges(aware, model, network_input(chosen, config.network.channels))
    if config.freeze:
        qat.keep_batch_statistics(aware)
    say(f"quantization-aware fine-tuning: {counted(settings.epochs, 'epoch')}")
    batches = _batches(config, films, settings)
    loss = training_loss(config.loss, config.structures, config.regions, config.distill_weight)
    qat.fine_tune(aware, batches, loss, settings.epochs, settings.learning_rate, settings.quiet, backup)
    return aware


def _all_forms(
    model: Any,
    aware: Any,
    manifest: Manifest,
    representative: np.ndarray,
    settings: QuantizeSettings,
    splits: bytes,
) -> dict[str, ModelFile]:
    file = partial(_file, manifest, settings, splits)
    return {
        "float32": file("float32", convert.to_float32(model)),
        "float16": file("float16", convert.to_float16(model)),
        "dynamic": file("dynamic", convert.to_dynamic_range(model)),
        "ptq": file("int8-ptq", convert.to_int8_after_training(model, representative)),
        "qat": file("int8-qat", convert.to_int8(aware, convert.pooled_ranges(aware, representative))),
    }


def _file(
    manifest: Manifest, settings: QuantizeSettings, splits: bytes, quantisation: str, flatbuffer: bytes
) -> ModelFile:
    named = replace(manifest, quantisation=quantisation)
    made = ModelFile(named, flatbuffer, licence=settings.licence, associated={SPLITS_NAME: splits})
    # Through bytes, so that what is measured is what is written: checksum and all.
    return ModelFile.from_bytes(made.to_bytes(), settings.name)
