"""The training loop: Keras `fit` with a checkpoint after each epoch, resumed from the newest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import edge_seg_train.quiet  # noqa: F401  # isort: skip  (before TensorFlow is imported)

import click
import keras
import numpy as np
from edge_seg.errors import InputError, OutputError, UsageError
from edge_seg.structures import DERIVED
from edge_seg_data import Dataset, evenly_spaced

from edge_seg_train import checkpoint
from edge_seg_train.accelerated import AcceleratedBatches
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.config import TrainConfig
from edge_seg_train.data import datasets_of, store_splits
from edge_seg_train.devices import describe_devices, training_scope
from edge_seg_train.distillation import with_probabilities
from edge_seg_train.drawing import Drawing, drawing_processes
from edge_seg_train.epochs import Epochs, TimeLeft
from edge_seg_train.history import finished_epochs
from edge_seg_train.losses import region_parts, training_loss
from edge_seg_train.memory import keep_freed_memory
from edge_seg_train.metrics import Overlap, masks_of, overlap_metrics
from edge_seg_train.network import build
from edge_seg_train.packing import Films, FilmsOnDemand, PackedFilms, network_input, pack, without_undecodable
from edge_seg_train.pretrained import freeze, load_pretrained, read_pretrained, told_apart_by
from edge_seg_train.processes import ALONE, Processes, agree
from edge_seg_train.progress import keras_verbosity
from edge_seg_train.schedule import should_stop
from edge_seg_train.stored import refuse_other_settings, store_config
from edge_seg_train.summary import (
    REPORT_NAME,
    dice_of_structures,
    summary_lines,
    write_best_picture,
    write_summary,
)
from edge_seg_train.teacher import Teacher
from edge_seg_train.together import Together


def train(
    config: TrainConfig,
    run: Path,
    *,
    datasets: list[Dataset] | None = None,
    quiet: bool = False,
    workers: int = 0,
    processes: Processes = ALONE,
) -> Path:
    """Train a network, or resume a stopped run.

    Args:
        config: of the run; must equal the stored one if the folder already holds a run.
        run: folder of the run: `config.json`, `splits.json`, `log.csv`, `checkpoints/`, `pictures/`, `tensorboard/`,
            and at the end `best.model.weights.h5` with the weights of the best epoch, `curves.png` and `report.html`.
        datasets: of the configuration, if already open.
        quiet: no progress bars.
        workers: processes that augment films beside the one that trains; 0 is none. The films are the same either way.
        processes: that train together, from `processes.join`; `run` must then be on a disk that all of them share.

    Returns:
        Path of the best weights.

    Raises:
        InputError: films cannot be read, or there are none to train on.
        ModelError: the loss is no longer a number.
        OutputError: the run's files cannot be written.
        UsageError: the folder holds a run with another configuration, the network cannot be built, structures of a
            softmax overlap, or the devices do not exist.
    """
    keep_freed_memory()
    _make_folder(run)
    refuse_other_settings(config, run, processes.is_first)
    if datasets is None:
        datasets = datasets_of(config, run, quiet)
    films = training_films(config, datasets)
    if not len(films):
        raise InputError("none of the data sets has films to train on: give one with a train split")
    # What a run has begun to teach is not asked of the run that it started from, which may be gone.
    told_apart = config.structures if finished_epochs(run) else told_apart_by(config.start, config.lung, config.output)
    _check_labels(films, config, datasets, told_apart)
    held_out = validation_films(config, datasets)
    keras.utils.set_random_seed(config.seed)
    with training_scope(config.devices) as replicas:
        if config.batch_size % replicas:
            raise UsageError(f"--batch-size {config.batch_size} cannot be shared by {replicas} devices: use a multiple")
        model, history = _model(config, run, replicas)
        if processes.count > 1:
            agree(len(history))
        if processes.is_first:
            # Only now, so that settings that cannot be trained with do not leave a run that refuses better ones.
            store_config(config, datasets, run)
            store_splits(run, datasets)
        if not quiet:
            click.echo(f"training on {describe_devices(config.devices)}", err=True)
        together = Together(processes, replicas)
        unfinished = len(history) < config.epochs and not should_stop(config, history)
        if unfinished:
            _fit(config, run, model, history, films, held_out, together, quiet, workers)
        # A run may have died after its last checkpoint.
        if unfinished or (history and not (run / REPORT_NAME).is_file()):
            _summarise(config, run, model, history, held_out, together, quiet)
    return run / f"best.{checkpoint.WEIGHTS_NAME}"


def _fit(
    config: TrainConfig,
    run: Path,
    model: Any,
    history: list[dict[str, float]],
    films: Films,
    held_out: PackedFilms,
    together: Together,
    quiet: bool,
    workers: int,
) -> None:
    with _batches(config, films, workers, together.processes) as batches:
        batches.epoch = len(history)
        callbacks = [
            *_averaged(config),
            Epochs(config, run, history, held_out, together),
            *([] if quiet else [TimeLeft(config)]),
            *_tensorboard(run),
        ]
        try:
            model.fit(
                batches,
                epochs=config.epochs,
                initial_epoch=len(history),
                validation_data=_validation(held_out, config.network.channels, together),
                validation_batch_size=config.batch_size // together.processes.count,
                callbacks=callbacks,
                verbose=keras_verbosity(quiet),
                shuffle=False,
            )
        except Exception as error:
            if batches.failure is None:
                raise
            raise batches.failure from error


@contextmanager
def _batches(config: TrainConfig, films: Films, workers: int, processes: Processes) -> Iterator[Any]:
    """Batches of augmented films, made on the accelerator or by the requested number of processes."""
    drawing, channels = replace(training_drawing(config, films), processes=processes), config.network.channels
    if config.augment_on == "accelerator":
        yield AcceleratedBatches(drawing, channels)
        return
    with drawing_processes(drawing, workers) as pool:
        # Two threads per process, so that none waits for its next batch.
        yield TrainingBatches(drawing, channels, pool, workers=2 * max(1, workers), max_queue_size=2 * workers + 10)


def training_films(config: TrainConfig, datasets: list[Dataset]) -> Films:
    """The films of the training splits, read on demand unless runs are distilled.

    Raises:
        InputError, ModelError, UsageError: see `pack_training_films`.
    """
    if config.distill:
        return pack_training_films(config, datasets)
    _refuse_unlabelled(config, datasets)
    return films_on_demand(config, datasets)


def pack_training_films(config: TrainConfig, datasets: list[Dataset]) -> PackedFilms:
    """All films of the training splits, with labels from the run's teacher and from the runs to distill.

    Raises:
        InputError: a film or a run cannot be read.
        ModelError: the teacher cannot be read.
        UsageError: a run to distill does not fit, or films have neither outlines nor a network to learn from.
    """
    _refuse_unlabelled(config, datasets)
    if config.skip_bad and config.distill:
        # The other networks read the films again, at their own size.
        datasets = without_undecodable(datasets)
    films = films_on_demand(config, datasets).all()
    return with_probabilities(films, [d.split("train") for d in datasets], config.distill, config.structures)


def films_on_demand(config: TrainConfig, datasets: list[Dataset]) -> FilmsOnDemand:
    """The films of the training splits with their outlines, read on demand.

    Raises:
        ModelError: the run's teacher cannot be read.
    """
    teacher = Teacher(config.teacher) if config.teacher else None
    groups = [d.split("train") for d in datasets]
    return FilmsOnDemand(groups, config.structures, _input_shape(config), teacher, config.regions, config.skip_bad)


def _refuse_unlabelled(config: TrainConfig, datasets: list[Dataset]) -> None:
    nobodys = [dataset.name for dataset in datasets if not dataset.structures]
    if nobodys and not (config.distill or config.teacher):
        raise UsageError(f"{nobodys[0]}: its films have no outlines: name a network to learn them from by --distill")


def validation_films(config: TrainConfig, datasets: list[Dataset]) -> PackedFilms:
    """The films to score after each epoch, evenly spaced over every data set's validation split."""
    groups = [[film for film in d.split("val") if film.scored] for d in datasets]
    total = sum(map(len, groups))
    keep = min(1.0, config.validation_films / total) if total else 1.0
    chosen = [evenly_spaced(group, max(1, round(len(group) * keep))) for group in groups]
    return pack(chosen, config.structures, _input_shape(config), regions=config.regions, skip_bad=config.skip_bad)


def _check_labels(films: Films, config: TrainConfig, datasets: Sequence[Dataset], told_apart: Collection[str]) -> None:
    """Refuse structures taught by no film or overlapping under a softmax, reading as few films as possible.

    Outlines of both lungs in one teach neither by itself, except to a network that has them among `told_apart`.
    """
    count = len(config.structures)
    parts = {region.name: set(region.parts) & set(told_apart) for region in DERIVED}
    taught_by = [*({name} for name in config.structures), *(parts[name] for name in config.regions)]
    missing = set() if config.distill else set(config.structures)
    for start in range(0, len(films), config.batch_size):
        if not missing and config.output != "softmax":
            return
        portion = range(start, min(start + config.batch_size, len(films)))
        for i, (_, labels) in zip(portion, films.take(portion), strict=True):
            inside = labels == 1
            missing.difference_update(*(names for k, names in enumerate(taught_by) if inside[..., k].any()))
            if config.output == "softmax" and (inside[..., :count].sum(axis=2) > 1).any():
                raise UsageError(
                    f"{films.names[i]}: structures overlap ({', '.join(config.structures)}), and a softmax gives each "
                    "pixel to one: choose others by --structures, or --output sigmoid"
                )
    if missing:
        name = next(name for name in config.structures if name in missing)
        outlined = ", ".join(name for name in config.structures if name not in missing) or ", ".join(
            dict.fromkeys(name for dataset in datasets for name in dataset.structures)
        )
        raise InputError(f"no film to train on has an outline of {name}: choose from {outlined}")


def _validation(held_out: PackedFilms, channels: int, together: Together) -> tuple[np.ndarray, np.ndarray] | None:
    """This process's validation films and labels, padded to equal shares for the devices."""
    if not len(held_out):
        return None
    shown = together.shared(len(held_out))
    shown = shown[together.processes.rows(len(shown))]
    return network_input(held_out.grey[shown], channels), held_out.labels[shown]


def _input_shape(config: TrainConfig) -> tuple[int, int]:
    return config.network.height, config.network.width


def training_drawing(config: TrainConfig, films: Films) -> Drawing:
    """How the run draws and augments its films."""
    return Drawing(
        films,
        config.batch_size,
        max(1, (config.films_per_epoch or len(films)) // config.batch_size),
        config.augmentation,
        config.balance,
        config.seed,
        tuple(share for _, share in config.shares),
        len(config.outlined),
    )


def _loss(config: TrainConfig) -> Any:
    return training_loss(config.loss, config.structures, config.regions, config.distill_weight)


def _model(config: TrainConfig, run: Path, replicas: int) -> tuple[Any, list[dict[str, float]]]:
    """The compiled model, new or from the newest checkpoint, and its history."""
    keras.config.set_dtype_policy("mixed_float16" if config.mixed_precision else "float32")
    found = checkpoint.newest(run)
    if found is not None:
        loss = _loss(config)
        model = keras.models.load_model(found.model, custom_objects={loss.__name__: loss, "Overlap": Overlap})
        return model, found.history
    try:
        # JAX sees a shared batch as one array, so its statistics cover all devices anyway.
        model = build(keras, config.network, synchronized=replicas > 1 and keras.backend.backend() == "tensorflow")
    except ValueError as error:
        raise UsageError(f"the network cannot be built: {error}") from error
    if config.start:
        load_pretrained(model, config.outputs, read_pretrained(config.start))
    if config.freeze:
        freeze(model)
    model.compile(
        _optimizer(config),
        loss=_loss(config),
        metrics=overlap_metrics(region_parts(config.structures, config.regions), len(config.outlined)),
    )
    # TensorFlow traces a step that creates variables twice, which takes as long as some epochs.
    model.optimizer.build(model.trainable_variables)
    return model, []


def _optimizer(config: TrainConfig) -> Any:
    if not config.averaging:
        return keras.optimizers.Adam(config.learning_rate)
    return keras.optimizers.Adam(
        config.learning_rate, use_ema=True, ema_momentum=config.averaging, ema_overwrite_frequency=None
    )


def _averaged(config: TrainConfig) -> list[Any]:
    """The callback that makes validation use the moving average of the weights, if there is one."""
    return [keras.callbacks.SwapEMAWeights()] if config.averaging else []


def _summarise(
    config: TrainConfig,
    run: Path,
    model: Any,
    history: list[dict[str, float]],
    held_out: PackedFilms,
    together: Together,
    quiet: bool,
) -> None:
    """Score the best weights per structure, then write and print the summary."""
    if together.processes.count > 1:
        # The first process writes the weights that all read.
        agree(len(history))
    checkpoint.load_best(model, run)
    if not together.processes.is_first:
        return
    scores = []
    if len(held_out):
        logits = together.logits(model, network_input(held_out.grey, config.network.channels), config.batch_size)
        masks = masks_of(logits, config)
        scores = dice_of_structures(config.outlined, held_out, masks)
        write_best_picture(run, held_out, masks, config.outlined)
    write_summary(run, history, scores)
    if not quiet:
        click.echo("\n".join(summary_lines(run, history, scores)))


def _tensorboard(run: Path) -> list[Any]:
    if keras.backend.backend() != "tensorflow":
        return []
    return [keras.callbacks.TensorBoard(run / "tensorboard", write_graph=False)]


def _make_folder(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{run}: cannot be made ({error.strerror}): choose a folder that can be written for --out"
        ) from error
