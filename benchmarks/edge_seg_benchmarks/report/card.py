"""Scores into a model: its manifest and its card say what this run measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
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

_PICTURE = "failure-"


def with_scores(
    model: ModelFile,
    segmenter: Segmenter,
    datasets: Sequence[Dataset],
    entry: dict[str, Any],
    report: dict[str, Any],
) -> ModelFile:
    """The model with the scores of this run in its manifest, a card made from them, and pictures of known failures.

    Args:
        model: as benchmarked.
        segmenter: with this model, without gate.
        datasets: as benchmarked; only films of the phantom are pictured.
        entry: of this model in the report.
        report: the whole report.
    """
    lost = {(row["dataset"], row["split"], row["region"]): row for row in entry["degradation"]}
    scores = []
    for row in entry["scores"]:
        key = row["dataset"], row["split"], row["region"]
        for metric in METRICS:
            if row[metric] is None:
                continue
            score = {
                "dataset": row["dataset"],
                "split": row["split"],
                "region": row["region"],
                "metric": metric,
                **row[metric],
            }
            if metric == "dice" and key in lost:
                score["minus_float32"] = {name: lost[key][name] for name in ("mean", "low", "high")}
            scores.append(score)
    measured = {
        "date": report["machine"]["date"],
        "machine": f"{report['machine']['processor']}, {report['machine']['architecture']}",
        "runtime": entry["runtime"],
        "threads": entry["threads"],
        "inference_ms_p50": entry["latency_ms"]["inference"]["p50"],
        "command": report["command"],
    }
    manifest = replace(model.manifest, scores=tuple(scores), checks={**model.manifest.checks, "measured": measured})
    phantoms = [dataset for dataset in datasets if dataset.layout == PHANTOM]
    failures = [failure for failure in report["failures"] if failure["model"] == entry["label"] and phantoms]
    pictures = {
        f"{_PICTURE}{place}.png": draw_failure(segmenter, phantoms[0], failure)
        for place, failure in enumerate(failures, 1)
    }
    card = render(
        "card.md.j2",
        manifest=manifest,
        entry=entry,
        measured=measured,
        robustness=by_corruption([row for row in report["robustness"] if row["model"] == entry["label"]]),
        trust=_of_model(report["trust"], entry),
        agreement=[row for row in report["agreement"] if row["model"] == entry["label"]],
        gate=_of_model(report["gate"], entry),
        failures=list(zip(pictures, failures, strict=True)),
    )
    kept = {name: data for name, data in model.associated.items() if not name.startswith(_PICTURE)}
    return replace(model, manifest=manifest, card=card, associated=kept | pictures)


def write_scores(model: ModelFile, path: Path) -> None:
    """Put a model with its scores in its file's place.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, model.to_bytes())


def _of_model(section: dict[str, Any] | None, entry: dict[str, Any]) -> dict[str, Any] | None:
    return section if section and section["model"] == entry["label"] else None
