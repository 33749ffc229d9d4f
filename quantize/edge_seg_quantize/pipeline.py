"""From a float run to five model files: float32, float16, dynamic range, PTQ int8 and the QAT int8 model that ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_seg_quantize.legacy import load_run  # isort: skip  (chooses legacy Keras before TensorFlow is imported)

import numpy as np
from edge_seg import Segmenter, pixels
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset, LabelledFilm, evenly_spaced, open_dataset
from edge_seg_train.batches import PackedFilms, TrainingBatches, network_input, pack
from edge_seg_train.config import TrainConfig, read_config
from edge_seg_train.loop import pack_training_films
from edge_seg_train.losses import training_loss
from edge_seg_train.memory import keep_freed_memory

from edge_seg_quantize import convert, qat
from edge_seg_quantize.acceptance import AcceptanceReport, measure
from edge_seg_quantize.manifest import PIECES_FILMS, in_one_piece, make_manifest
from edge_seg_quantize.representative import evenly_of_each
from edge_seg_quantize.settings import QuantizeSettings
from edge_seg_quantize.trust import with_trust


def quantize(run: Path, out: Path, settings: QuantizeSettings, say: Callable[[str], None] = print) -> AcceptanceReport:
    """Quantise a run and write `OUT`; beside it, `OUT` with `.float32`, `.float16`, `.dynamic` and `.ptq` in the name.

    Args:
        run: folder of `edge-seg train`.
        out: path of the QAT int8 model; the others are written beside it.
        settings: how.
        say: told of each step.

    Raises:
        InputError: the run or its films cannot be read.
        ModelError: the model is not accepted; nothing is written then.
        OutputError: a file cannot be written.
    """
    keep_freed_memory()
    config, record = read_config(run)
    model = load_run(run, config)
    datasets = [open_dataset(path) for path in config.datasets]
    say("reading films")
    films = pack_training_films(config, datasets)
    validation = _validation_films(datasets, settings.validation_films)

    aware = _fine_tuned(model, config, films, settings, say)
    say("converting")
    manifest = make_manifest(config, record, settings, in_one_piece(films.labels[..., : len(config.structures)]))
    compared = films.grey[evenly_of_each(films.origin)]
    models = _all_forms(model, aware, manifest, network_input(compared, config.network.channels), settings)
    say(f"measuring on {len(validation)} validation films")
    segmenters = {kind: Segmenter(models[kind], gate=False) for kind in ("float32", "ptq", "qat")}
    report = measure(
        **segmenters,
        flatbuffer=models["qat"].flatbuffer,
        films=validation,
        differing_pixels=differing_pixels(aware, segmenters["qat"], compared),
        compared_films=len(compared),
        budget=settings.dice_budget,
    )
    report.check()
    say("calibrating the trust score")
    for kind, file in models.items():
        path = out if kind == "qat" else out.with_name(f"{out.stem}.{kind}{out.suffix}")
        checked = with_trust(replace(file, manifest=replace(file.manifest, checks=report.to_json())), validation)
        write_atomically(path, checked.to_bytes())
        say(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
    return report


def export_float(run: Path, out: Path, settings: QuantizeSettings) -> None:
    """Write a run's float32 model alone: a reference to measure against, without quantisation.

    Raises:
        InputError: the run cannot be read.
        OutputError: the file cannot be written.
    """
    config, record = read_config(run)
    flatbuffer = convert.to_float32(load_run(run, config))
    outlined = [film for path in config.datasets for film in open_dataset(path).split("train")]
    size = config.network.height, config.network.width
    films = pack([evenly_spaced(outlined, PIECES_FILMS)], config.structures, size)
    manifest = make_manifest(config, record, settings, in_one_piece(films.labels))
    file = _file(manifest, "float32", flatbuffer, settings)
    write_atomically(out, file.to_bytes())


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
    """The films that acceptance is measured on, evenly spaced in each validation split; all where `limit` is 0."""
    groups = [[film for film in dataset.split("val") if film.scored] for dataset in datasets]
    return [film for group in groups for film in evenly_spaced(group, limit or None)]


def _batches(config: TrainConfig, films: PackedFilms, settings: QuantizeSettings) -> TrainingBatches:
    wanted = settings.films_per_epoch or config.films_per_epoch or len(films)
    return TrainingBatches(
        films,
        config.batch_size,
        max(1, wanted // config.batch_size),
        config.network.channels,
        config.augmentation,
        config.balance,
        # Other films than the float run saw in its first epochs.
        seed=config.seed + 1,
        shares=tuple(share for _, share in config.shares),
    )


def _fine_tuned(
    model: Any, config: TrainConfig, films: PackedFilms, settings: QuantizeSettings, say: Callable[[str], None]
) -> Any:
    aware = qat.quantization_aware(model)
    chosen = films.grey[evenly_of_each(films.origin)]
    qat.set_ranges(aware, model, network_input(chosen, config.network.channels))
    if config.freeze:
        qat.keep_batch_statistics(aware)
    say(f"quantization-aware fine-tuning: {settings.epochs} epochs")
    batches = _batches(config, films, settings)
    loss = training_loss(config.loss, config.structures, config.regions)
    qat.fine_tune(aware, batches, loss, settings.epochs, settings.learning_rate, settings.quiet)
    return aware


def _all_forms(
    model: Any, aware: Any, manifest: Manifest, representative: np.ndarray, settings: QuantizeSettings
) -> dict[str, ModelFile]:
    return {
        "float32": _file(manifest, "float32", convert.to_float32(model), settings),
        "float16": _file(manifest, "float16", convert.to_float16(model), settings),
        "dynamic": _file(manifest, "dynamic", convert.to_dynamic_range(model), settings),
        "ptq": _file(manifest, "int8-ptq", convert.to_int8_after_training(model, representative), settings),
        "qat": _file(manifest, "int8-qat", convert.to_int8(aware), settings),
    }


def _file(manifest: Manifest, quantisation: str, flatbuffer: bytes, settings: QuantizeSettings) -> ModelFile:
    named = replace(manifest, quantisation=quantisation)
    # Through bytes, so that what is measured is what is written: checksum and all.
    return ModelFile.from_bytes(ModelFile(named, flatbuffer, licence=settings.licence).to_bytes(), settings.name)
