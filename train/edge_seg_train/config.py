"""The configuration of a training run, as stored in the run's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edge_seg.errors import InputError

from edge_seg_train.augmentation import Augmentation
from edge_seg_train.network import NetworkConfig

CONFIG_NAME = "config.json"
BACKGROUND = "background"
"""Name of the first class of a softmax."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that determines a run; with the films and the code version it is reproducible.

    Attributes:
        datasets: folders, each as `PATH` or `LAYOUT=PATH`.
        structures: output names, in order.
        regions: regions derived from the structures (`structures.DERIVED`) whose outlines are labels too.
        output: `sigmoid`, one probability each, or `softmax` over background and structures that never overlap.
        lung: which lung the outlines show: `whole`, `visible`, or a definition in your own words.
        network: to train.
        augmentation: applied to the films.
        loss: a name in `losses.LOSSES`.
        epochs, batch_size, films_per_epoch: length of the run; `films_per_epoch` 0 is every film once.
        validation_films: most films, evenly spaced, to score after each epoch.
        learning_rate: initial, of Adam.
        schedule: `cosine` (to a hundredth over all epochs), `plateau` (times `plateau_factor` after
            `plateau_patience` epochs without a better validation loss) or `constant`.
        patience: stop after this many epochs without a better validation Dice; 0 never stops early.
        balance: see `drawing.Drawing`.
        shares: name of each data set and how often its films are drawn relative to the others', in place of `balance`.
        averaging: share of its value that the moving average of the weights keeps at each step; 0 keeps no average.
            Otherwise validation and the run's weights use the average (Polyak and Juditsky 1992).
        augment_on: where films are augmented: `host` (see `drawing`) or `accelerator` (see `accelerated`).
        mixed_precision: compute in float16 (GPU) while weights stay float32.
        devices: devices to train on; empty means every visible GPU, or the CPU.
        picture_every: epochs between pictures of film | truth | prediction; 0 never.
        seed: of weights, films and augmentation.
        start: run or shipped model to take the initial weights from; empty initialises them at random.
        teacher: shipped model, or model file, that adds outlines that training films lack; empty is none.
        distill: runs, or names of shipped weights, whose probabilities are learned along with the outlines.
        distill_weight: weight of their loss relative to that of the outlines.
        skip_bad: leave out films that cannot be read.
        freeze: keep the encoder and all batch statistics as they are.
        hold_out: `(part, parts)`: the part of the training patients, from 0, to validate on instead of training on.
    """

    datasets: tuple[str, ...]
    structures: tuple[str, ...]
    network: NetworkConfig
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: str = "bce+dice"
    epochs: int = 30
    batch_size: int = 16
    films_per_epoch: int = 0
    validation_films: int = 128
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    plateau_factor: float = 0.1
    plateau_patience: int = 5
    patience: int = 0
    balance: float = 1.0
    mixed_precision: bool = False
    devices: tuple[str, ...] = ()
    picture_every: int = 5
    seed: int = 0
    start: str = ""
    freeze: bool = False
    skip_bad: bool = False
    teacher: str = ""
    output: str = "sigmoid"
    lung: str = "whole"
    regions: tuple[str, ...] = ()
    shares: tuple[tuple[str, float], ...] = ()
    averaging: float = 0.0
    augment_on: str = "host"
    distill: tuple[str, ...] = ()
    distill_weight: float = 1.0
    hold_out: tuple[int, int] | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Name of each channel of the network's output, in order."""
        return (BACKGROUND, *self.structures) if self.output == "softmax" else self.structures

    @property
    def outlined(self) -> tuple[str, ...]:
        """Name of each plane of the labels, in order."""
        return (*self.structures, *self.regions)

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TrainConfig:
        """The configuration from the data of `to_json`."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in raw.items() if key in known}
        for name in ("datasets", "structures", "devices", "regions", "distill"):
            values[name] = tuple(values.get(name, ()))
        values["shares"] = tuple((name, float(share)) for name, share in values.get("shares", ()))
        values["hold_out"] = tuple(values["hold_out"]) if values.get("hold_out") else None
        values["network"] = NetworkConfig(**values["network"])
        values["augmentation"] = Augmentation(**values["augmentation"])
        return cls(**values)


def read_config(run: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """Configuration of a run, and everything in its file (code version, data).

    Raises:
        InputError: the folder holds no run.
    """
    path = run / CONFIG_NAME
    try:
        raw = json.loads(path.read_text())
        return TrainConfig.from_json(raw["config"]), raw
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{run}: holds no training run ({error}): give the folder of `edge-seg train --out`"
        ) from error
