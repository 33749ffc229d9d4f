"""The manifest of a quantised model: structures, input, training data, settings and origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_seg.errors import InputError
from edge_seg.model_file import Manifest
from edge_seg.structures import shows_chest, structures_named, with_definition
from edge_seg_data import evenly_spaced
from edge_seg_train.config import TrainConfig, read_config
from edge_seg_train.pretrained import shipped_weights
from edge_seg_train.stored import code_version

from edge_seg_quantize.legacy import OWN
from edge_seg_quantize.settings import QuantizeSettings

PIECES_FILMS = 400
"""Maximum number of films checked to decide whether structures are in one piece."""

_WHOLE = 0.95  # a structure counts as whole if its largest piece holds this share of it
_CARELESS = 0.05  # share of films that may be exceptions


def make_manifest(config: TrainConfig, record: dict[str, Any], settings: QuantizeSettings, one_piece: bool) -> Manifest:
    """The manifest of a run's models, without the fields that differ between them.

    Args:
        config, record: of the run, as returned by `read_config`.
        settings: how the run is quantised.
        one_piece: whether smaller pieces of a structure may be dropped; see `in_one_piece`.
    """
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
        single_component=settings.single_component and one_piece,
        expects="chest" if shows_chest(structures) else "",
        network=_network(raw["network"]),
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


def _network(raw: dict[str, Any]) -> dict[str, Any]:
    """The network's configuration; for one built elsewhere, only its input and output are known."""
    ends = ("family", "height", "width", "channels", "outputs")
    return {name: raw[name] for name in ends} if raw["family"] == OWN else raw


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The run's settings that matter to a reader of the manifest, without the training machine's folders."""
    elsewhere = ("datasets", "network", "structures", "devices", "start", "teacher")
    settings = {name: value for name, value in config.to_json().items() if name not in elsewhere}
    return {**settings, "distill": [Path(run).name for run in config.distill]}


def _started_from(config: TrainConfig) -> dict[str, Any]:
    """The run whose weights this one started from, with its facts if they can still be read, and its predecessors."""
    if not config.start:
        return {}
    if config.start in shipped_weights():
        # Even if the working directory holds something of that name.
        return {"started_from": {"run": config.start}}
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


def in_one_piece(labels: np.ndarray) -> bool:
    """Whether every structure is in one piece wherever it is outlined: only then may smaller pieces be dropped.

    A mask of both lungs is two pieces. One film in twenty may have more, or careless outlines.

    Args:
        labels: `(films, height, width, structures)` uint8 of 0, 1 and 127.
    """
    chosen = labels[evenly_spaced(range(len(labels)), PIECES_FILMS)]
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
