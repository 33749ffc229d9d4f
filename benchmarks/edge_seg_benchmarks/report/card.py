"""Writes the scores of a run into a model's manifest and its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset

from edge_seg_benchmarks.accuracy.films import PHANTOM
from edge_seg_benchmarks.accuracy.scores import METRICS
from edge_seg_benchmarks.report.failures import draw_failure
from edge_seg_benchmarks.report.folder import render
from edge_seg_benchmarks.report.tables import by_corruption
from edge_seg_benchmarks.schema import ModelReport, Report

_PICTURE = "failure-"


@dataclass(frozen=True)
class Measured:
    """How the scores in a manifest were measured (`checks.measured`)."""

    date: str
    machine: str
    runtime: str
    threads: int
    inference_ms_p50: float
    command: str


def save_scores(
    model: ModelFile, segmenter: Segmenter, datasets: Sequence[Dataset], entry: ModelReport, report: Report
) -> None:
    """Replace a model's file with one that holds its scores; see `with_scores`.

    Nothing is written for a model without a file or without scores.

    Raises:
        OutputError: the file cannot be written.
    """
    if model.path is not None and entry.scores:
        write_atomically(model.path, with_scores(model, segmenter, datasets, entry, report).to_bytes())


def with_scores(
    model: ModelFile, segmenter: Segmenter, datasets: Sequence[Dataset], entry: ModelReport, report: Report
) -> ModelFile:
    """The model with the scores of this run in its manifest, a card made from them, and pictures of known failures.

    Args:
        model: as benchmarked.
        segmenter: with this model, without film gate.
        datasets: as benchmarked; only films of the phantom are shown.
        entry: of this model in the report.
        report: the whole report.
    """
    measured = Measured(
        date=report.machine.date,
        machine=f"{report.machine.processor}, {report.machine.architecture}",
        runtime=entry.runtime,
        threads=entry.threads,
        inference_ms_p50=entry.latency_ms["inference"].p50,
        command=report.command,
    )
    checks = {**model.manifest.checks, "measured": asdict(measured)}
    manifest = replace(model.manifest, scores=tuple(_manifest_scores(entry, model.manifest.scores)), checks=checks)
    phantoms = [dataset for dataset in datasets if dataset.layout == PHANTOM]
    failures = entry.failures if phantoms else ()
    pictures = {
        f"{_PICTURE}{place}.png": draw_failure(segmenter, phantoms[0], failure)
        for place, failure in enumerate(failures, 1)
    }
    facts = {
        "manifest": manifest,
        "entry": entry,
        "measured": measured,
        "robustness": by_corruption(entry.robustness),
        "trust": entry.trust,
        "agreement": entry.agreement,
        "film_gate": entry.film_gate,
        "failures": list(zip(pictures, failures, strict=True)),
    }
    kept = {name: data for name, data in model.associated.items() if not name.startswith(_PICTURE)}
    return replace(model, manifest=manifest, card=render("card.md.j2", facts), associated=kept | pictures)


def _manifest_scores(entry: ModelReport, before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An entry for each data set, region and metric, as a manifest holds them.

    If the float model was not measured this time, the previous difference from it is kept as long as the same films
    have the same score.
    """
    known = {_identity(score): score["minus_float32"] for score in before if "minus_float32" in score}
    lost = {(row.dataset, row.split, row.region): row for row in entry.degradation}
    scores = []
    for row in entry.scores:
        key = row.dataset, row.split, row.region
        for metric in METRICS:
            summary = getattr(row, metric)
            if summary is None:
                continue
            score = {**dict(zip(("dataset", "split", "region"), key, strict=True)), "metric": metric, **asdict(summary)}
            if metric == "dice" and key in lost:
                difference = lost[key]
                score["minus_float32"] = {
                    "mean": difference.mean, "low": difference.low, "high": difference.high
                }  # fmt: skip
            elif _identity(score) in known:
                score["minus_float32"] = known[_identity(score)]
            scores.append(score)
    return scores


def _identity(score: dict[str, Any]) -> tuple[Any, ...]:
    """What two measurements of the same films by the same network have in common."""
    return *(score[name] for name in ("dataset", "split", "region", "metric", "n")), round(score["mean"], 6)
