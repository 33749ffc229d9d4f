"""Weights to start from: another run's, or a shipped model's float weights.

`python -m edge_seg_train.pretrained RUN --out train/edge_seg_train/weights/lungs.npz` writes the latter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError

from edge_seg_train.checkpoint import load_best
from edge_seg_train.config import read_config
from edge_seg_train.network import NetworkConfig, build

FROZEN = ("stem", "down")
"""Name prefixes of the encoder's layers, which already have the features of chest films."""

_LIKE = {"heart": "cardiomediastinum"}
"""Outputs that take another output's weights if the network to start from lacks them."""

_WEIGHTS = Path(__file__).parent / "weights"
_CONFIG = "config"


@dataclass(frozen=True)
class Pretrained:
    """A trained network.

    Attributes:
        network: its configuration.
        outputs: names of its output channels.
        layers: weights by layer name, in Keras's order; empty until they are read.
        lung: which lung it outlines, see `TrainConfig`.
    """

    network: NetworkConfig
    outputs: tuple[str, ...]
    layers: dict[str, list[np.ndarray]]
    lung: str


def shipped_weights() -> dict[str, Path]:
    """Float weights that come with the trainer, by model name."""
    return {path.stem: path for path in sorted(_WEIGHTS.glob("*.npz"))}


def read_pretrained(start: str, *, weights: bool = True) -> Pretrained:
    """A shipped model's weights by name, or those of a run's best epoch by folder.

    Args:
        start: name or folder.
        weights: false reads only the configuration and outputs, which needs no framework.

    Raises:
        InputError: `start` is neither a shipped model nor a run, or cannot be read.
    """
    path = shipped_weights().get(start)
    if path is not None:
        with np.load(path) as file:
            config = json.loads(str(file[_CONFIG]))
            layers: dict[str, list[np.ndarray]] = {}
            for name in file.files if weights else ():
                if name != _CONFIG:
                    layers.setdefault(name.rpartition("/")[0], []).append(file[name].astype(np.float32))
        network, outputs = NetworkConfig(**config["network"]), tuple(config["structures"])
        return Pretrained(network, outputs, layers, config.get("lung", "whole"))
    if not Path(start).is_dir():
        known = ", ".join(shipped_weights()) or "none here"
        raise InputError(f"{start}: neither a run's folder nor a model whose weights are here ({known}): give one")
    config, _ = read_config(Path(start))
    if not weights:
        return Pretrained(config.network, config.outputs, {}, config.lung)
    import keras

    model = build(keras, config.network)
    load_best(model, Path(start))
    found = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    return Pretrained(config.network, config.outputs, found, config.lung)


def load_pretrained(model: Any, outputs: tuple[str, ...], found: Pretrained) -> None:
    """Set a model's weights; an output `found` lacks starts from the one most like it, or from its initial weights.

    Args:
        model: from `build`.
        outputs: names of its output channels.
        found: weights to set; the networks may differ in input size and outputs, not in layers.

    Raises:
        InputError: the layers differ.
    """
    for layer in model.layers:
        own = layer.get_weights()
        if not own:
            continue
        theirs = found.layers.get(layer.name, [])
        if layer.name == "logits":
            pairs = zip(own, theirs, strict=False)
            theirs = [_outputs(mine, other, outputs, found.outputs) for mine, other in pairs]
        if [w.shape for w in own] != [w.shape for w in theirs]:
            raise InputError(
                f"layer {layer.name} of the network to start from is another: not this network's weights: "
                "leave --network, --base, --widest, --depth and --dropout away"
            )
        layer.set_weights(theirs)


def told_apart_by(start: str, lung: str, output: str) -> tuple[str, ...]:
    """The outputs of the network to start from that outlines of a region made up of them can teach.

    Regions follow from whole lungs, and from structures that may overlap.

    Args:
        start: run or shipped model, empty for none.
        lung, output: of the run that starts from it, see `TrainConfig`.
    """
    found = read_pretrained(start, weights=False) if start else None
    return found.outputs if found and found.lung == lung == "whole" and output == "sigmoid" else ()


def new_outputs(outputs: Sequence[str], found: Pretrained) -> tuple[str, ...]:
    """The outputs that start from random weights, since the network to start from has none like them."""
    return tuple(name for name in outputs if not _most_like(name, found.outputs))


def freeze(model: Any) -> None:
    """Freeze the encoder and all batch statistics: a few films would only spoil them."""
    for layer in model.layers:
        if layer.name.startswith(FROZEN) or layer.name.endswith("_norm"):
            layer.trainable = False


def save_pretrained(run: Path, out: Path) -> None:
    """Write a run's best weights in float16, with the network's configuration and structures.

    Raises:
        InputError: the run has no weights.
    """
    found = read_pretrained(str(run.resolve()))
    arrays = {f"{name}/{i}": w.astype(np.float16) for name, ws in found.layers.items() for i, w in enumerate(ws)}
    config = json.dumps({"network": asdict(found.network), "structures": found.outputs, "lung": found.lung})
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, allow_pickle=False, **{_CONFIG: np.array(config)}, **arrays)


def _outputs(mine: np.ndarray, other: np.ndarray, names: tuple[str, ...], known: tuple[str, ...]) -> np.ndarray:
    """Weights whose last axis has a slice per output; outputs of the same name come from the other network."""
    taken = mine.copy()
    for i, name in enumerate(names):
        like = _most_like(name, known)
        if like and other.shape[:-1] == mine.shape[:-1]:
            taken[..., i] = other[..., known.index(like)]
    return taken


def _most_like(name: str, known: Sequence[str]) -> str:
    """The output whose weights this one takes, empty if there is none."""
    return next((like for like in (name, _LIKE.get(name, name)) if like in known), "")


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(run: Path, out: Path) -> None:
    """Write the float weights of RUN, to start other runs from."""
    save_pretrained(run, out)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    run_command(main)
