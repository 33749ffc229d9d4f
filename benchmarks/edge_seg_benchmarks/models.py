"""Models of a report: what they are called, what they cost by count, and whom each is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from edge_seg.inspection import inspect_model
from edge_seg.inspection.flatbuffer import read_graph
from edge_seg.model_file import ModelFile

from edge_seg_benchmarks.accuracy.scores import FilmScore, main_region
from edge_seg_benchmarks.traffic import bytes_moved


def label(model: ModelFile) -> str:
    """How a model is called in tables."""
    return f"{model.manifest.name} {model.manifest.quantisation}"


def labels(models: Sequence[ModelFile]) -> list[str]:
    """How the models of one report are called: equal labels get the version, or else the flatbuffer's checksum, too."""
    found = [label(model) for model in models]
    for tell in (lambda model: model.manifest.version, lambda model: model.manifest.flatbuffer_sha256[:8]):
        shared = {name for name in found if found.count(name) > 1}
        found = [f"{name} {tell(model)}" if name in shared else name for name, model in zip(found, models, strict=True)]
    return found


def float_twin(model: ModelFile, models: Sequence[ModelFile]) -> int | None:
    """Index of the float32 model of the same name, which the model's Dice is compared with."""
    if model.manifest.quantisation == "float32":
        return None
    for index, other in enumerate(models):
        if other.manifest.name == model.manifest.name and other.manifest.quantisation == "float32":
            return index
    return None


def most_accurate(models: Sequence[ModelFile], scores: Sequence[Sequence[FilmScore]]) -> int | None:
    """Index of the model whose mean Dice is highest, a float32 one where there is any: what every loss is counted from.

    Only models that were scored on the same films' main region take part; `None` where none was scored.
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


def model_facts(model: ModelFile) -> dict[str, Any]:
    """What stands in a report beside the measurements."""
    facts = inspect_model(model)
    return {
        "label": label(model),
        "name": model.manifest.name,
        "version": model.manifest.version,
        "quantisation": model.manifest.quantisation,
        "sha256": model.manifest.flatbuffer_sha256,
        "input": list(model.manifest.input_shape),
        "parameters": facts.parameters,
        "macs": facts.macs,
        "bytes_moved": bytes_moved(read_graph(model.flatbuffer)),
        "file_bytes": facts.file_bytes,
        "int8_violations": list(facts.violations),
    }
