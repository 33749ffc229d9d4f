"""The models of a report: their labels, what their networks cost, and which model each is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from edge_seg.inspection import inspect_model
from edge_seg.inspection.flatbuffer import read_graph
from edge_seg.model_file import ModelFile

from edge_seg_benchmarks.accuracy.scores import FilmScore, main_region
from edge_seg_benchmarks.traffic import bytes_moved


@dataclass(frozen=True)
class ModelFacts:
    """What a report says about a model apart from the measurements.

    Attributes:
        label: name in this report.
        name, version, quantisation: from the manifest.
        sha256: of the flatbuffer.
        input: height, width and channels.
        parameters, macs: of the network; multiply-accumulates of one film.
        bytes_moved: see `traffic.bytes_moved`.
        file_bytes: of the model file.
        int8_violations: what keeps a network from being int8 throughout.
    """

    label: str
    name: str
    version: str
    quantisation: str
    sha256: str
    input: tuple[int, ...]
    parameters: int
    macs: int
    bytes_moved: int
    file_bytes: int
    int8_violations: tuple[str, ...]


def label(model: ModelFile) -> str:
    """Name of a model in tables."""
    return f"{model.manifest.name} {model.manifest.quantisation}"


def labels(models: Sequence[ModelFile]) -> list[str]:
    """Labels of a report's models; duplicates also get the version and, if still equal, the flatbuffer's checksum."""
    found = [label(model) for model in models]
    for tell in (lambda model: model.manifest.version, lambda model: model.manifest.flatbuffer_sha256[:8]):
        shared = {name for name in found if found.count(name) > 1}
        found = [f"{name} {tell(model)}" if name in shared else name for name, model in zip(found, models, strict=True)]
    return found


def float_twin(model: ModelFile, models: Sequence[ModelFile]) -> int | None:
    """Index of the float32 model of the same name, the reference for this model's Dice."""
    if model.manifest.quantisation == "float32":
        return None
    for index, other in enumerate(models):
        if other.manifest.name == model.manifest.name and other.manifest.quantisation == "float32":
            return index
    return None


def most_accurate(models: Sequence[ModelFile], scores: Sequence[Sequence[FilmScore]]) -> int | None:
    """Index of the model with the highest mean Dice of the main region, the reference for every loss.

    A float32 model if one was scored; `None` if no model was.
    """
    region = main_region(score.region for of_model in scores for score in of_model)
    means = {}
    for index, of_model in enumerate(scores):
        values = [score.dice for score in of_model if score.region == region]
        if values:
            means[index] = float(np.mean(values))
    floats = {i: mean for i, mean in means.items() if models[i].manifest.quantisation == "float32"}
    candidates = floats or means
    return max(candidates, key=lambda index: candidates[index]) if candidates else None


def model_facts(model: ModelFile, label: str) -> ModelFacts:
    """Facts of a model.

    Args:
        model: as read from its file.
        label: its name in this report.
    """
    facts = inspect_model(model)
    return ModelFacts(
        label=label,
        name=model.manifest.name,
        version=model.manifest.version,
        quantisation=model.manifest.quantisation,
        sha256=model.manifest.flatbuffer_sha256,
        input=model.manifest.input_shape,
        parameters=facts.parameters,
        macs=facts.macs,
        bytes_moved=bytes_moved(read_graph(model.flatbuffer)),
        file_bytes=facts.file_bytes,
        int8_violations=tuple(facts.violations),
    )
