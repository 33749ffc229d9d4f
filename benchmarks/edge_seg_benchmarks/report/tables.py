"""What the tables of a report say, in the order in which people compare: plain data for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_seg_data.corruptions import CORRUPTIONS

from edge_seg_benchmarks.accuracy.robustness import CLEAN
from edge_seg_benchmarks.accuracy.scores import main_region
from edge_seg_benchmarks.accuracy.statistics import rank_test
from edge_seg_benchmarks.latency.stages import ALONE


def scored_sets(models: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Data sets and splits that any model was scored on."""
    return list(dict.fromkeys((row["dataset"], row["split"]) for model in models for row in model["scores"]))


def ranked(models: Sequence[dict[str, Any]], region: str | None) -> list[dict[str, Any]]:
    """Entries of a report, fastest inference first.

    Returns:
        `model`; `p`, whether it differs from the one before (Mann-Whitney); `scores`, for each of `scored_sets` the
        Dice of the region and what it lost against its float32 (`dice`, `lost`; `None` where it was not scored).
    """
    ordered = sorted(models, key=lambda model: float(model["latency_ms"]["inference"]["p50"]))
    found = []
    for place, model in enumerate(ordered):
        before = ordered[place - 1]["samples_ms"]["inference"] if place else None
        p = rank_test(before, model["samples_ms"]["inference"]) if before is not None else None
        scores = []
        for dataset, split in scored_sets(models):
            row, lost = (_of(model[part], dataset, split, region) for part in ("scores", "degradation"))
            scores.append({"dice": row and row["dice"], "lost": lost})
        found.append({"model": model, "p": p, "scores": scores})
    return found


def _of(rows: Sequence[dict[str, Any]], *wanted: str | None) -> dict[str, Any] | None:
    return next((row for row in rows if (row["dataset"], row["split"], row["region"]) == wanted), None)


def by_engine(report: dict[str, Any]) -> list[dict[str, Any]]:
    """For each model `label` and `engines`: `runtime`, `delegate`, `ms` and `share_of_peak` by threads, and
    `differing_pixels`, the most of all threads.
    """
    found = []
    for model in report["models"]:
        first = {**model, "inference_ms": model["latency_ms"][ALONE], "differing_pixels": None}
        engines: dict[str, dict[str, Any]] = {}
        for run in [first, *(run for run in report["runs"] if run["label"] == model["label"])]:
            facts = {"runtime": run["runtime"], "delegate": run["delegate"], "ms": {}, "share_of_peak": {}}
            engine = engines.setdefault(run["engine"], {**facts, "differing_pixels": None})
            engine["ms"][run["threads"]] = run["inference_ms"]
            engine["share_of_peak"][run["threads"]] = run["share_of_peak"]
            differing = [share for share in (engine["differing_pixels"], run["differing_pixels"]) if share is not None]
            engine["differing_pixels"] = max(differing, default=None)
        found.append({"label": model["label"], "model": model, "engines": list(engines.values())})
    return found


def by_region(models: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each data set and region its films, and a row of each model: `scores`, and what it lost against `float32`."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for model in models:
        lost = {(row["dataset"], row["split"], row["region"]): row for row in model["degradation"]}
        for row in model["scores"]:
            key = row["dataset"], row["split"], row["region"]
            facts = {"dataset": key[0], "split": key[1], "region": key[2], "rows": []}
            group = groups.setdefault(key, facts)
            group["rows"].append({"label": model["label"], "scores": row, "lost": lost.get(key)})
    return list(groups.values())


def by_corruption(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each data set's main region alone: a line per corruption with `clean` and `doses`."""
    lines = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        of_set = [row for row in rows if row["dataset"] == dataset]
        region = main_region(row["region"] for row in of_set)
        of_region = [row for row in of_set if row["region"] == region]
        clean = next(row for row in of_region if row["corruption"] == CLEAN)
        for corruption in CORRUPTIONS:
            doses = [row for row in of_region if row["corruption"] == corruption.name]
            lines.append({"name": corruption.name, "title": corruption.title, "clean": clean, "doses": doses})
    return lines
