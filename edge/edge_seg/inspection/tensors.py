"""Networks from other programs: what their tensors show, and a draft of the manifest that they need."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import ModelError, UsageError
from edge_seg.inspection.flatbuffer import Graph, Operator, Tensor, read_graph
from edge_seg.model_file import (
    ARGMAX,
    MANIFEST_SUFFIX,
    Manifest,
    ModelFile,
    NoManifestError,
    OtherNetwork,
    find_model,
)
from edge_seg.storage import write_atomically
from edge_seg.structures import structures_named

_PASS_ON = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "CAST"})
_PROBABILITIES = {"LOGISTIC": "sigmoid", "SOFTMAX": "softmax"}
_CHANNELS = (1, 3)
_RANGES = {(0.0, 1.0): (0.0, 1.0), (-1.0, 1.0): (0.5, 0.5), (0.0, 255.0): (0.0, 1 / 255)}
"""Range of the input's real values: mean and standard deviation that bring a grey film into it."""
_NEAR = 0.02


@dataclass(frozen=True)
class Network:
    """A network in a file, with or without a manifest.

    Attributes:
        path: of the file.
        flatbuffer: the network itself.
        file_bytes: size of the file.
        file: the model, `None` if there is no manifest.
        why_none: why there is no manifest, and what to do; empty if there is one.
    """

    path: Path
    flatbuffer: bytes
    file_bytes: int
    file: ModelFile | None = None
    why_none: str = ""

    @property
    def manifest(self) -> Manifest | None:
        """The model's manifest, if it has one."""
        return self.file.manifest if self.file else None

    @property
    def graph(self) -> Graph:
        """Its operators and tensors."""
        return read_graph(self.flatbuffer)

    def drafted(self) -> ModelFile:
        """The model; one without a manifest gets a draft with placeholder names for its structures.

        Raises:
            ModelError: it does not take exactly one picture, or does not output one.
        """
        return self.file or ModelFile(draft_manifest(self.flatbuffer, self.path.stem), self.flatbuffer, path=self.path)

    def write_draft(self) -> Path:
        """Write a draft of the manifest beside the network, where `ModelFile.read` looks for it.

        Raises:
            UsageError: there is a manifest already.
            ModelError: the network does not take exactly one picture, or does not output one.
            OutputError: it cannot be written.
        """
        if self.file is not None:
            raise UsageError(f"{self.path}: has a manifest: edge-seg inspect {self.path} --json shows it")
        beside = self.path.with_suffix(MANIFEST_SUFFIX)
        write_atomically(beside, draft_manifest(self.flatbuffer, self.path.stem).to_json().encode())
        return beside


def find_network(model: str | Path) -> Network:
    """A model by shipped name or path, or a `.tflite` of any program.

    Raises:
        ModelError: there is no such file, it is damaged, or it is not a TFLite network.
    """
    try:
        file = ModelFile.read(model)
    except NoManifestError as error:
        path = find_model(model)
        data = path.read_bytes()
        try:
            read_graph(data)
        except ModelError as damage:
            raise ModelError(f"{path}: {damage}") from damage
        return Network(path, data, len(data), why_none=str(error).removeprefix(f"{path}: "))
    path = file.path or find_model(model)
    return Network(path, file.flatbuffer, path.stat().st_size, file)


def ends_in_probabilities(graph: Graph, output: int) -> bool:
    """Whether an output of a network has passed a sigmoid or softmax, by the operator that produces it."""
    last = _maker(graph, graph.outputs[output])
    return last is not None and last.name in _PROBABILITIES


def draft_manifest(flatbuffer: bytes, name: str) -> Manifest:
    """A manifest from a network's tensors, with structures called `structure_1`, `structure_2`...

    Raises:
        ModelError: it does not take exactly one picture, or does not output one.
    """
    graph = read_graph(flatbuffer)
    if len(graph.inputs) != 1:
        raise ModelError(f"{name}: the network has {len(graph.inputs)} inputs: one picture is supported")
    height, width, channels = _picture(graph.inputs[0], name)
    index = _segmentation(graph, (height, width), name)
    kind, count = _output(graph, index)
    mean, std = _normalisation(graph.inputs[0])
    return Manifest(
        name=name,
        version="unknown",
        structures=structures_named(tuple(f"structure_{k}" for k in range(1, count + 1))),
        input_height=height,
        input_width=width,
        input_channels=channels,
        mean=mean,
        std=std,
        output=kind,
        quantisation=_quantisation(graph),
        thresholds=(0.5,) * count,
        other=OtherNetwork(index, ends_in_probabilities(graph, index)),
        flatbuffer_sha256=hashlib.sha256(flatbuffer).hexdigest(),
    )


def _picture(tensor: Tensor, name: str) -> tuple[int, int, int]:
    shape = tensor.shape
    if len(shape) == 4 and shape[3] in _CHANNELS:
        return shape[1], shape[2], shape[3]
    if len(shape) == 4 and shape[1] in _CHANNELS:
        return shape[2], shape[3], shape[1]
    raise ModelError(f"{name}: the network takes {shape}: a picture of 1 or 3 channels is supported")


def _segmentation(graph: Graph, size: tuple[int, int], name: str) -> int:
    """Which output is the segmentation: the first of the input's own size, else the first picture."""
    pictures = [i for i, tensor in enumerate(graph.outputs) if len(tensor.shape) in (3, 4)]
    if not pictures:
        raise ModelError(f"{name}: the network gives no picture: it is none that segments")
    of_size = [i for i in pictures if size in (graph.outputs[i].shape[1:3], graph.outputs[i].shape[2:4])]
    return (of_size or pictures)[0]


def _output(graph: Graph, index: int) -> tuple[str, int]:
    """Kind of an output, and how many structures it holds."""
    tensor, last = graph.outputs[index], _maker(graph, graph.outputs[index])
    if last is not None and last.name == "ARG_MAX":
        return ARGMAX, max(1, last.inputs[0].shape[-1] - 1)
    if len(tensor.shape) == 3 or (not tensor.scales and not tensor.dtype.startswith("float")):
        return ARGMAX, 1
    channels = min(tensor.shape[1], tensor.shape[3])
    softmax = last is not None and last.name == "SOFTMAX" and channels > 1
    return ("softmax", channels - 1) if softmax else ("sigmoid", channels)


def _maker(graph: Graph, tensor: Tensor) -> Operator | None:
    """The operator that produces a tensor, skipping those that only change layout or storage type."""
    makers = {made.name: operator for operator in graph.operators for made in operator.outputs}
    operator = makers.get(tensor.name)
    while operator is not None and operator.name in _PASS_ON:
        operator = makers.get(operator.inputs[0].name)
    return operator


def _normalisation(tensor: Tensor) -> tuple[float, float]:
    """Mean and standard deviation that fill the range of a quantised input; 0 and 1 for a real one."""
    if tensor.dtype not in ("uint8", "int8") or not tensor.scale:
        return 0.0, 1.0
    first = -128 if tensor.dtype == "int8" else 0
    low, high = ((first + k - tensor.zero_point) * tensor.scale for k in (0, 255))
    for (least, most), found in _RANGES.items():
        if max(abs(low - least), abs(high - most)) <= _NEAR * (most - least):
            return found
    return 0.0, 1.0


def _quantisation(graph: Graph) -> str:
    kinds = {tensor.dtype for tensor in graph.tensors}
    if "float16" in kinds:
        return "float16"
    made = {tensor.dtype for operator in graph.operators for tensor in operator.outputs if tensor.scales}
    if made & {"int8", "uint8"}:
        return "int8-ptq"
    return "dynamic" if "int8" in kinds else "float32"
