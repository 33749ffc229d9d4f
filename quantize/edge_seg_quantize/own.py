"""Your own Keras U-Net: checked layer by layer, and rebuilt in legacy Keras, since only that can be quantised.

A functional model is read from its configuration; the weights are copied by layer name, and the outputs compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from edge_seg_quantize.legacy import OWN  # isort: skip  (chooses legacy Keras before TensorFlow is imported)

import keras
import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from edge_seg.errors import ModelError, OutputError, UsageError, first_line
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset, split_name
from edge_seg_train.config import TrainConfig
from edge_seg_train.data import open_run_datasets, store_splits
from edge_seg_train.network import NetworkConfig
from edge_seg_train.stored import refuse_other_settings, store_config

OWN_NAME = "own.keras"
"""File of the network in a run made by `adopt`."""

_FIXES = {
    "Rescaling": "leave it out and give the network grey / 255, or put it first, without an offset, before a Conv2D",
    "Normalization": "leave it out and give the network grey / 255",
    "Multiply": "no attention gate or squeeze-and-excitation can be quantised: leave it out, or take Add",
    "GroupNormalization": "take BatchNormalization",
    "LayerNormalization": "take BatchNormalization",
    "InstanceNormalization": "take BatchNormalization",
    "Lambda": "take a layer of Keras",
    "Functional": "call its layers in the model itself, without a model inside the model",
    "Sequential": "call its layers in the model itself, without a model inside the model",
    "PReLU": "take ReLU",
    "ELU": "take ReLU",
    "LeakyReLU": "take ReLU",
    "SeparableConv2D": "take DepthwiseConv2D and then Conv2D of size 1",
    "MultiHeadAttention": "leave it out",
    "Conv2DTranspose": "its weights would be int8 per tensor, not per channel: take UpSampling2D and then Conv2D",
}
_ACTIVATIONS = ("linear", "relu", "relu6")
_NORMALISED = ("Conv2D", "DepthwiseConv2D")
_ABSORBING = (*_NORMALISED, "Dense")
_NOT_COPIED = ("_initializer", "_regularizer", "_constraint")
_AGREES = 1e-4
_BATCH = 8


@dataclass(frozen=True)
class OwnNetwork:
    """A network trained elsewhere.

    Attributes:
        model: legacy twin, float32, which outputs logits.
        output: `sigmoid` or `softmax`, from the last activation; `sigmoid` if there is none.
    """

    model: Any
    output: str

    @property
    def structures(self) -> int:
        """How many structures it outlines."""
        return int(self.model.output_shape[-1]) - (self.output == "softmax")


@dataclass(frozen=True)
class _Layer:
    """A layer of a configuration: its class, settings, and the names of its input layers."""

    name: str
    kind: str
    settings: dict[str, Any]
    takes: tuple[str, ...]
    calls: int
    is_layer: bool


def load_own(path: Path) -> OwnNetwork:
    """Read a functional Keras model that can be quantised.

    Raises:
        ModelError: it cannot be read, or has layers that cannot be quantised; the message names each with the fix.
    """
    keras.config.set_dtype_policy("float32")
    try:
        source = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError, AttributeError) as error:
        raise ModelError(
            f"{path}: cannot be loaded ({first_line(error)}): save a functional model of Keras's own layers by "
            "model.save('model.keras')"
        ) from error
    if isinstance(source, keras.Sequential):
        source = keras.Model(source.inputs, source.outputs)
    config = source.get_config()
    if "input_layers" not in config:
        raise ModelError(f"{path}: is no functional model: build it as keras.Model(inputs, outputs)")
    layers = [_read(entry) for entry in config["layers"]]
    layers, activation = _without_last_activation(layers, _names(config["output_layers"]))
    problems = [*_problems_of_ends(source), *_problems_of_layers(layers)]
    if problems:
        raise ModelError(f"{path}: cannot be quantised: {'; '.join(problems)}")
    twin = _rebuilt(layers)
    scaled, scale = _scale(layers)
    _copy_weights(source, twin, scaled, scale)
    _compare(source, twin, activation, 255.0 if scaled else 1.0, path)
    return OwnNetwork(twin, activation or "sigmoid")


def adopt(path: Path, data: Sequence[str], structures: Sequence[str], lung: str, run: Path) -> None:
    """Turn a network trained elsewhere into a run that `quantize` accepts.

    Args:
        path: the model, as saved by Keras. Its input is grey / 255, letterboxed, in each channel.
        data: folders, each as `PATH` or `LAYOUT=PATH`; fine-tuning uses their training films.
        structures: names of its outputs, in order; optional if it has one output and the films outline one structure.
        lung: which lung the outlines show, see `TrainConfig`.
        run: folder of the run.

    Raises:
        ModelError: a layer cannot be quantised.
        InputError: the films cannot be read.
        OutputError: the run cannot be written.
        UsageError: the structures are not given, or `run` holds another run.
    """
    own = load_own(path)
    datasets = open_run_datasets(data, run)
    config = _config(own, data, datasets, structures, lung)
    refuse_other_settings(config, run)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run}: cannot be made ({error.strerror}): choose another --out") from error
    write_atomically(run / OWN_NAME, path.read_bytes())
    store_config(config, datasets, run)
    store_splits(run, datasets)


def _config(
    own: OwnNetwork, data: Sequence[str], datasets: Sequence[Dataset], structures: Sequence[str], lung: str
) -> TrainConfig:
    outlined = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.structures))
    count = own.structures
    chosen = tuple(structures) or (outlined if len(outlined) == count == 1 else ())
    if len(chosen) != count:
        what = "1 structure: name it" if count == 1 else f"{count} structures: name them in the order of its channels"
        raise UsageError(f"the network outlines {what} by --structures (the films have {', '.join(outlined)})")
    height, width, channels = own.model.input_shape[1:]
    outputs = own.model.output_shape[-1]
    return TrainConfig(
        datasets=tuple(map(_absolute, data)),
        structures=chosen,
        network=NetworkConfig(family=OWN, height=height, width=width, channels=channels, outputs=outputs),
        batch_size=_BATCH,
        output=own.output,
        lung=lung,
    )


def _absolute(dataset: str) -> str:
    """The data set with an absolute path, so that it works from any directory."""
    layout, path = split_name(dataset)
    return f"{layout}={path.resolve()}" if layout else str(path.resolve())


def _read(entry: Mapping[str, Any]) -> _Layer:
    nodes = entry.get("inbound_nodes", [])
    takes = tuple(_histories(nodes[0]["args"])) if nodes else ()
    return _Layer(
        entry["config"].get("name", entry.get("name", "")),
        entry["class_name"],
        dict(entry["config"]),
        takes,
        len(nodes),
        str(entry.get("module", "keras.layers")).startswith("keras.layers"),
    )


def _histories(found: Any) -> Iterator[str]:
    """Names of the layers whose tensors are among the arguments of a call."""
    if isinstance(found, Mapping):
        history = (
            found.get("config", {}).get("keras_history") if found.get("class_name") == "__keras_tensor__" else None
        )
        if history:
            yield str(history[0])
    elif isinstance(found, list | tuple):
        for one in found:
            yield from _histories(one)


def _names(ends: Any) -> list[str]:
    """Names of a model's output layers: a configuration holds one output by itself, several in a list."""
    return [str(ends[0])] if ends and isinstance(ends[0], str) else [str(end[0]) for end in ends]


def _without_last_activation(layers: list[_Layer], ends: list[str]) -> tuple[list[_Layer], str]:
    """The layers up to the logits, whose layer comes last, and the sigmoid or softmax that follows, if any."""
    last = next(layer for layer in layers if layer.name == ends[0])
    kind = "softmax" if last.kind == "Softmax" else str(last.settings.get("activation", "linear"))
    rest = [layer for layer in layers if layer is not last]
    if kind not in ("sigmoid", "softmax"):
        return [*rest, last], ""
    if last.kind in ("Activation", "Softmax"):
        before = next(layer for layer in rest if layer.name == last.takes[0])
        return [*(layer for layer in rest if layer is not before), before], kind
    bare = _Layer(
        last.name, last.kind, {**last.settings, "activation": "linear"}, last.takes, last.calls, last.is_layer
    )
    return [*rest, bare], kind


def _problems_of_ends(model: Any) -> Iterator[str]:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        yield f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs: give it one of each"
        return
    taken, given = tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    if len(taken) != 4 or None in taken[1:] or taken[3] not in (1, 3):
        yield f"it takes {taken}: fix height and width, with 1 or 3 channels last (keras.Input((256, 256, 1)))"
    elif given[1:3] != taken[1:3]:
        yield f"it gives {given[1:3]} for {taken[1:3]}: enlarge its output to the size of the input"


def _problems_of_layers(layers: list[_Layer]) -> Iterator[str]:
    by_name = {layer.name: layer for layer in layers}
    for layer in layers:
        for problem in _problems_of(layer, by_name):
            yield f"{layer.name} ({layer.kind}): {problem}"


def _problems_of(layer: _Layer, by_name: Mapping[str, _Layer]) -> Iterator[str]:
    if layer.kind == "InputLayer" or _is_first_scale(layer, by_name):
        return
    known = getattr(tf_keras.layers, layer.kind, None)
    if not layer.is_layer and layer.kind not in _FIXES:
        yield f"is an operation: take a layer (keras.layers.{layer.kind}) for it"
    elif layer.kind in _FIXES or known is None:
        yield _FIXES.get(layer.kind, "is no layer of Keras's own: leave it out")
    elif layer.kind == "BatchNormalization":
        if by_name[layer.takes[0]].kind not in _NORMALISED:
            yield f"follows {layer.takes[0]} and would stay float: put it right after a Conv2D, or leave it out"
    elif not tfmot.quantization.keras.default_8bit.Default8BitQuantizeRegistry().supports(
        known(**_settings(layer, known))
    ):
        yield "TensorFlow Model Optimization cannot quantise it: leave it out"
    elif layer.calls > 1:
        yield "is called more than once: give each call a layer of its own"
    elif layer.settings.get("data_format", "channels_last") != "channels_last":
        yield "has channels first: build the network with channels last"
    elif str(layer.settings.get("activation", "linear")) not in _ACTIVATIONS:
        yield f"has the activation {layer.settings['activation']}: take relu"


def _is_first_scale(layer: _Layer, by_name: Mapping[str, _Layer]) -> bool:
    """Whether a layer only scales the input, which the next layer's weights can absorb."""
    first = layer.kind == "Rescaling" and by_name[layer.takes[0]].kind == "InputLayer"
    absorbed = all(after.kind in _ABSORBING for after in by_name.values() if layer.name in after.takes)
    return first and absorbed and not np.any(layer.settings.get("offset", 0.0))


def _settings(layer: _Layer, kind: Any) -> dict[str, Any]:
    """The settings that legacy Keras accepts; weights are copied, so initialisers do not matter."""
    known = signature(kind.__init__).parameters
    return {
        key: value
        for key, value in layer.settings.items()
        if key in {*known, "name"} and not key.endswith(_NOT_COPIED) and key not in ("dtype", "trainable")
    }


def _rebuilt(layers: list[_Layer]) -> Any:
    """The legacy twin, built in the order in which layers feed each other."""
    by_name = {layer.name: layer for layer in layers}
    made: dict[str, Any] = {}

    def tensor(name: str) -> Any:
        if name not in made:
            layer = by_name[name]
            if layer.kind == "InputLayer":
                shape = layer.settings.get("batch_shape") or layer.settings["batch_input_shape"]
                made[name] = tf_keras.Input(tuple(shape[1:]), name=name)
            elif layer.kind == "Rescaling":
                made[name] = tensor(layer.takes[0])
            else:
                kind = getattr(tf_keras.layers, layer.kind)
                taken = [tensor(one) for one in layer.takes]
                made[name] = kind(**_settings(layer, kind))(taken if len(taken) > 1 else taken[0])
        return made[name]

    for layer in layers:  # recursing from the output alone would be too deep for Python
        tensor(layer.name)
    first = next(layer.name for layer in layers if layer.kind == "InputLayer")
    return tf_keras.Model(made[first], made[layers[-1].name])


def _scale(layers: list[_Layer]) -> tuple[str, float]:
    """The layer that takes a scaled input, and the factor applied to grey / 255; empty if no layer does."""
    rescaling = next((layer for layer in layers if layer.kind == "Rescaling"), None)
    if rescaling is None:
        return "", 1.0
    after = next(layer.name for layer in layers if rescaling.name in layer.takes)
    return after, 255.0 * float(rescaling.settings["scale"])


def _copy_weights(source: Any, twin: Any, scaled: str, scale: float) -> None:
    for layer in twin.layers:
        weights = source.get_layer(layer.name).get_weights()
        if layer.name == scaled:
            weights[0] = weights[0] * np.float32(scale)
        layer.set_weights(weights)


def _compare(source: Any, twin: Any, activation: str, grey: float, path: Path) -> None:
    """Raise a ModelError if the twin's output differs from the model's.

    Args:
        source, twin: models.
        activation: the final activation, which the twin leaves out; empty for none.
        grey: the model's input for white, where the twin's is 1.
        path: for the message.
    """
    films = np.random.default_rng(0).random((2, *twin.input_shape[1:]), np.float32)
    known = source.predict(films * np.float32(grey), verbose=0)
    found = twin.predict(films, verbose=0)
    if activation:
        found = np.asarray(getattr(keras.ops, activation)(found))
    if not np.allclose(known, found, atol=_AGREES, rtol=_AGREES):
        raise ModelError(
            f"{path}: rebuilt in legacy Keras it gives something else (by {np.abs(known - found).max():.2g}): build it "
            "of Conv2D, BatchNormalization, ReLU, MaxPooling2D, UpSampling2D, Concatenate and Add"
        )
