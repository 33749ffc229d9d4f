"""From a float run to five model files: float32, float16, dynamic range, PTQ int8 and the QAT int8 model that ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_seg_quantize.legacy import load_run  # isort: skip  (chooses legacy Keras before TensorFlow is imported)

import cv2
import numpy as np
from edge_seg import Segmenter, __version__
from edge_seg.errors import InputError
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.storage import write_atomically
from edge_seg.structures import shows_chest, structures_named, with_definition
from edge_seg_data import LabelledFilm, open_dataset
from edge_seg_train.batches import PackedFilms, TrainingBatches, network_input, pack
from edge_seg_train.config import TrainConfig, read_config
from edge_seg_train.loop import code_version, pack_training_films
from edge_seg_train.memory import keep_freed_memory

from edge_seg_quantize import convert, qat
from edge_seg_quantize.acceptance import DICE_BUDGET, GateReport, measure
from edge_seg_quantize.representative import evenly_of_each
from edge_seg_quantize.trust import with_trust

_PIECES_FILMS = 400  # at most so many films are looked at
_WHOLE = 0.95  # a structure whose largest piece holds so much of it is whole
_CARELESS = 0.05  # share of films that may be otherwise


@dataclass(frozen=True)
class QuantizeSettings:
    """How a run is quantised.

    Attributes:
        name, version: of the model, for its manifest.
        epochs, films_per_epoch, learning_rate: of quantization-aware fine-tuning; `films_per_epoch` 0 is the run's own.
        dice_budget: most validation Dice that int8 may lose.
        validation_films: at most so many films decide it; 0 is all.
        single_component: see `Manifest`; it holds only where the training films' outlines are in one piece.
        about: what a model card should say beside the figures (title, sources, licences, limits).
        licence: text of the model's licence.
        quiet: no progress bars.
    """

    name: str
    version: str = __version__
    epochs: int = 3
    films_per_epoch: int = 0
    learning_rate: float = 2e-4
    dice_budget: float = DICE_BUDGET
    validation_films: int = 0
    single_component: bool = True
    about: dict[str, Any] | None = None
    licence: str = ""
    quiet: bool = False


def quantize(run: Path, out: Path, settings: QuantizeSettings, say: Callable[[str], None] = print) -> GateReport:
    """Quantise a run and write `OUT`; beside it, `OUT` with `.float32`, `.float16`, `.dynamic` and `.ptq` in the name.

    Args:
        run: folder of `edge-seg train`.
        out: path of the QAT int8 model; the others are written beside it.
        settings: how.
        say: told of each step.

    Raises:
        InputError: the run or its films cannot be read.
        ModelError: the gate does not let the model through; nothing is written then.
        OutputError: a file cannot be written.
    """
    keep_freed_memory()
    config, record = read_config(run)
    model = load_run(run, config)
    datasets = [open_dataset(path) for path in config.datasets]
    say("reading films")
    films = pack_training_films(config, datasets)
    validation = [f for d in datasets for f in _evenly([f for f in d.split("val") if f.scored], settings)]

    aware = qat.quantization_aware(model)
    if config.freeze:
        qat.keep_batch_statistics(aware)
    say(f"quantization-aware fine-tuning: {settings.epochs} epochs")
    qat.fine_tune(
        aware,
        _batches(config, films, settings),
        config.loss,
        settings.epochs,
        settings.learning_rate,
        settings.quiet,
    )

    say("converting")
    manifest = _manifest(config, record, settings, films)
    compared = films.grey[evenly_of_each(films.origin)]
    representative = network_input(compared, config.network.channels)
    models = {
        "float32": _file(manifest, "float32", convert.to_float32(model), settings),
        "float16": _file(manifest, "float16", convert.to_float16(model), settings),
        "dynamic": _file(manifest, "dynamic", convert.to_dynamic_range(model), settings),
        "ptq": _file(manifest, "int8-ptq", convert.to_int8_after_training(model, representative), settings),
        "qat": _file(manifest, "int8-qat", convert.to_int8(aware), settings),
    }
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
    chosen = [outlined[i] for i in np.linspace(0, len(outlined) - 1, min(len(outlined), _PIECES_FILMS)).astype(int)]
    films = pack([chosen], config.structures, (config.network.height, config.network.width))
    file = _file(_manifest(config, record, settings, films), "float32", flatbuffer, settings)
    write_atomically(out, file.to_bytes())


def differing_pixels(aware: Any, segmenter: Segmenter, grey: np.ndarray) -> float:
    """Share of mask pixels on which the fake-quantised model and the flatbuffer disagree.

    Args:
        aware: quantization-aware Keras model.
        segmenter: with the flatbuffer made from it.
        grey: `(films, height, width)` uint8 at the network's size.
    """
    from edge_seg import pixels

    manifest, spec = segmenter.manifest, segmenter.runtime.input
    table = pixels.input_table(manifest.mean, manifest.std, spec.scale, spec.zero_point)
    raw = aware.predict(network_input(grey, manifest.input_channels), batch_size=8, verbose=0)
    fake = pixels.structure_logits(raw, manifest.output) > 0
    real = [
        segmenter.logits(segmenter.runtime.run(pixels.to_tensor(film, table, manifest.input_channels))) > 0
        for film in grey
    ]
    return float(np.mean(fake != np.stack(real)))


def in_one_piece(labels: np.ndarray) -> bool:
    """Whether every structure is one piece wherever it is outlined: only then may smaller pieces be dropped.

    A mask of both lungs is two; a film in twenty may have more, or be outlined carelessly.

    Args:
        labels: `(films, height, width, structures)` uint8 of 0, 1 and 127.
    """
    chosen = labels[np.linspace(0, len(labels) - 1, min(len(labels), _PIECES_FILMS)).astype(int)]
    for k in range(labels.shape[3]):
        torn = outlined = 0
        for plane in chosen[:, :, :, k] == 1:
            count, _, stats, _ = cv2.connectedComponentsWithStats(plane.astype(np.uint8), connectivity=8)
            if count > 1:
                areas = stats[1:, cv2.CC_STAT_AREA]
                outlined += 1
                torn += bool(areas.max() < _WHOLE * areas.sum())
        if torn > _CARELESS * outlined:
            return False
    return True


def _evenly(films: list[LabelledFilm], settings: QuantizeSettings) -> list[LabelledFilm]:
    count = min(len(films), settings.validation_films or len(films))
    return [films[i] for i in np.linspace(0, len(films) - 1, count).astype(int)] if count else []


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
    )


def _manifest(config: TrainConfig, record: dict[str, Any], settings: QuantizeSettings, films: PackedFilms) -> Manifest:
    raw, structures = config.to_json(), with_definition(structures_named(config.structures), config.lung)
    return Manifest(
        name=settings.name,
        version=settings.version,
        structures=structures,
        input_height=config.network.height,
        input_width=config.network.width,
        input_channels=config.network.channels,
        output=config.output,
        thresholds=(0.5,) * len(config.structures),
        single_component=settings.single_component and in_one_piece(films.labels),
        expects="chest" if shows_chest(structures) else "",
        network=raw["network"],
        training={
            "data": record["data"],
            "settings": _settings(config),
            **({"averaged": record["averaged"]} if "averaged" in record else {}),
            **({"teacher": Path(config.teacher).name} if config.teacher else {}),
            **_started_from(config),
            "quantisation": {
                "epochs": settings.epochs,
                "films_per_epoch": settings.films_per_epoch or config.films_per_epoch,
                "learning_rate": settings.learning_rate,
            },
            "code_version": record["code_version"],
            "quantised_with": code_version(),
            "about": settings.about or {},
        },
    )


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What a reader of the manifest wants of a run's settings: not the folders of the machine that trained it."""
    elsewhere = ("datasets", "network", "structures", "devices", "start", "teacher")
    return {name: value for name, value in config.to_json().items() if name not in elsewhere}


def _started_from(config: TrainConfig) -> dict[str, Any]:
    """The run whose weights this one began with, as far as it is still there, and the one before that."""
    if not config.start:
        return {}
    try:
        before, record = read_config(Path(config.start))
    except InputError:
        return {"started_from": {"run": Path(config.start).name}}
    return {
        "started_from": {
            "run": Path(config.start).name,
            "data": record["data"],
            "network": before.to_json()["network"],
            "settings": _settings(before),
            "code_version": record["code_version"],
            **_started_from(before),
        }
    }


def _file(manifest: Manifest, quantisation: str, flatbuffer: bytes, settings: QuantizeSettings) -> ModelFile:
    named = replace(manifest, quantisation=quantisation)
    # Through bytes, so that what is measured is what is written: checksum and all.
    return ModelFile.from_bytes(ModelFile(named, flatbuffer, licence=settings.licence).to_bytes(), settings.name)
