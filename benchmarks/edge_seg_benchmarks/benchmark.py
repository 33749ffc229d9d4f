"""The whole benchmark: accuracy and latency of several models in one run, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from edge_seg import RESEARCH_USE, Segmenter
from edge_seg.datasets import Dataset
from edge_seg.inspection import inspect_model
from edge_seg.model_file import ModelFile
from edge_seg.runtime import TFLiteRuntime

from edge_seg_benchmarks.accuracy import (
    FilmScore,
    degradation,
    main_region,
    score_film,
    scored_films,
    subgroups,
    summarise,
)
from edge_seg_benchmarks.agreement import measure_agreement
from edge_seg_benchmarks.data import PHANTOM
from edge_seg_benchmarks.failures import worst_failures
from edge_seg_benchmarks.gate import measure_gate
from edge_seg_benchmarks.latency import measure_cold_start, measure_latency
from edge_seg_benchmarks.machine import machine_facts
from edge_seg_benchmarks.reliability import measure_reliability
from edge_seg_benchmarks.robustness import CorruptedScore, score_corrupted, summarise_corrupted

SCHEMA = 1


def run_benchmark(
    models: Sequence[ModelFile],
    datasets: Sequence[Dataset],
    *,
    split: str = "test",
    limit: int | None = None,
    threads: int = 1,
    repeats: int = 30,
    robustness: int = 0,
    should_reject: Sequence[str] = (),
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Score and time models; the first model is the reference of the speed-ups.

    Args:
        models: read from files.
        datasets: films with outlines; none measures latency alone.
        split: which films.
        limit: at most so many films of each data set.
        threads: for inference.
        repeats: rounds of the latency measurement.
        robustness: at most so many films of each data set are corrupted and scored, with the last model; 0 is none.
        should_reject: files, folders and globs of pictures that the last model's gate should reject.
        command: how to repeat this.
        say: told of progress.

    Returns:
        The report as plain data, `schema` first.

    Raises:
        InputError: a data set has no films to score, or what should be rejected cannot be opened.
        UsageError: there are pictures to reject, and the last model has no gate.
    """
    segmenters = [Segmenter(model, TFLiteRuntime(model.flatbuffer, threads)) for model in models]
    # Scores are the network's: a film that the gate would turn away is scored like every other.
    ungated = [Segmenter(model, s.runtime, gate=False) for model, s in zip(models, segmenters, strict=True)]
    # First, since it is quick to say what is wrong with a folder.
    gate = measure_gate(segmenters[-1], datasets, split, limit, should_reject, say)
    scores: list[list[FilmScore]] = [[] for _ in models]
    for dataset in datasets:
        films = scored_films(dataset, split, limit)
        for index, film in enumerate(films, 1):
            for segmenter, found in zip(ungated, scores, strict=True):
                found += score_film(segmenter, dataset.name, film)
            if index == len(films) or index % 50 == 0:
                say(f"{dataset.name}: {index} of {len(films)} films scored")
    agreement = measure_agreement(ungated[-1], datasets, split, limit, say)
    say(f"latency: {repeats} rounds")
    latencies = measure_latency(segmenters, repeats)
    entries = []
    for i, (model, segmenter) in enumerate(zip(models, segmenters, strict=True)):
        say(f"cold start of {label(model)}")
        reference = float_twin(model, models)
        facts = inspect_model(model)
        entries.append(
            {
                "label": label(model),
                "name": model.manifest.name,
                "version": model.manifest.version,
                "quantisation": model.manifest.quantisation,
                "sha256": model.manifest.flatbuffer_sha256,
                "input": list(model.manifest.input_shape),
                "runtime": segmenter.runtime.name,
                "delegate": segmenter.runtime.delegate,
                "threads": segmenter.runtime.threads,
                "parameters": facts.parameters,
                "macs": facts.macs,
                "file_bytes": facts.file_bytes,
                "int8_violations": list(facts.violations),
                "latency_ms": latencies[i],
                "inference_speed_up": latencies[0]["inference"]["p50"] / latencies[i]["inference"]["p50"],
                "cold_start": measure_cold_start(str(model.path), threads) if model.path else None,
                "scores": summarise(scores[i]),
                "degradation": [] if reference is None else degradation(scores[i], scores[reference]),
                "subgroups": subgroups(scores[i], main_region(s.region for s in scores[i]) or ""),
                "films": [asdict(score) for score in scores[i]],
            }
        )
    corrupted: list[CorruptedScore] = []
    failures = []
    for dataset in datasets if robustness else ():
        found_there = score_corrupted(ungated[-1], dataset, split, robustness, say)
        corrupted += found_there
        # By layout: a folder of somebody's films may be called phantom too.
        failures += worst_failures(found_there) if dataset.layout == PHANTOM else []
    trust, last = measure_reliability(corrupted), label(models[-1])
    return {
        "schema": SCHEMA,
        "notice": RESEARCH_USE,
        "command": command,
        "machine": machine_facts(),
        "datasets": [{"name": d.name, "layout": d.layout, "split": split, "limit": limit, **d.facts} for d in datasets],
        "models": entries,
        "robustness": [{"model": last, **row} for row in summarise_corrupted(corrupted)],
        "trust": {"model": last, **trust} if trust else None,
        "agreement": [{"model": last, **row} for row in agreement],
        "gate": {"model": last, **gate} if gate else None,
        "failures": [{"model": last, **failure} for failure in failures],
    }


def label(model: ModelFile) -> str:
    """How a model is called in tables."""
    return f"{model.manifest.name} {model.manifest.quantisation}"


def float_twin(model: ModelFile, models: Sequence[ModelFile]) -> int | None:
    """Index of the float32 model of the same name, which the model's Dice is compared with."""
    if model.manifest.quantisation == "float32":
        return None
    for index, other in enumerate(models):
        if other.manifest.name == model.manifest.name and other.manifest.quantisation == "float32":
            return index
    return None
