"""Scores into a model: its manifest and its card say what this run measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_seg.model_file import ModelFile
from edge_seg.outputs.atomic import write_atomically

from edge_seg_benchmarks.report import render
from edge_seg_benchmarks.robustness import robustness_table


def with_scores(model: ModelFile, entry: dict[str, Any], report: dict[str, Any]) -> ModelFile:
    """The model with the scores of this run in its manifest, and a card made from them.

    Args:
        model: as benchmarked.
        entry: of this model in the report.
        report: the whole report.
    """
    lost = {(row["dataset"], row["split"], row["region"]): row for row in entry["degradation"]}
    scores = []
    for row in entry["scores"]:
        key = row["dataset"], row["split"], row["region"]
        for metric in ("dice", "iou", "hd95_px"):
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
    corrupted = robustness_table([row for row in report["robustness"] if row["model"] == entry["label"]])
    card = render("card.md.j2", manifest=manifest, entry=entry, measured=measured, robustness=corrupted)
    return replace(model, manifest=manifest, card=card)


def write_scores(model: ModelFile, path: Path) -> None:
    """Put a model with its scores in its file's place.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, model.to_bytes())
