"""Rows of a report's tables for the templates, in the order in which people compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_seg_data.corruptions import CORRUPTIONS

from edge_seg_benchmarks.accuracy.masks import MaskReport
from edge_seg_benchmarks.accuracy.robustness import CLEAN, CorruptedDice
from edge_seg_benchmarks.accuracy.scores import DiceDifference, MetricSummary, RegionScores, main_region
from edge_seg_benchmarks.accuracy.statistics import rank_test
from edge_seg_benchmarks.latency.stages import ALONE, Percentiles
from edge_seg_benchmarks.peak.roofline import PeakShare
from edge_seg_benchmarks.schema import ModelReport


@dataclass(frozen=True)
class SetDice:
    """Dice of a region on one data set, and its difference from the model's float32; `None` if not scored."""

    dice: MetricSummary | None
    lost: DiceDifference | None


@dataclass(frozen=True)
class RankedModel:
    """A model, the p-value that it is as fast as the next faster one, and its Dice on each of `scored_sets`."""

    model: ModelReport
    p: float | None
    scores: tuple[SetDice, ...]


@dataclass
class EngineRow:
    """A model on one engine: times and share of the peak by number of threads.

    Attributes:
        differing_pixels: the largest share over all numbers of threads.
    """

    runtime: str
    delegate: str
    ms: dict[int, Percentiles] = field(default_factory=dict)
    share_of_peak: dict[int, PeakShare | None] = field(default_factory=dict)
    differing_pixels: float | None = None


@dataclass(frozen=True)
class ModelEngines:
    """The engines that ran a model."""

    model: ModelReport
    engines: tuple[EngineRow, ...]


@dataclass(frozen=True)
class RegionRow:
    """Scores of one model, and their difference from its float32 model."""

    label: str
    scores: RegionScores
    lost: DiceDifference | None


@dataclass(frozen=True)
class RegionTable:
    """One region on one data set, a row for each model."""

    dataset: str
    split: str
    region: str
    rows: list[RegionRow] = field(default_factory=list)


@dataclass(frozen=True)
class CorruptionLine:
    """One corruption on one data set: Dice without it and at each dose."""

    name: str
    title: str
    clean: CorruptedDice
    doses: tuple[CorruptedDice, ...]


def scored_sets(models: Sequence[ModelReport]) -> list[tuple[str, str]]:
    """Data sets and splits that any model was scored on."""
    return list(dict.fromkeys((row.dataset, row.split) for model in models for row in model.scores))


def ranked(models: Sequence[ModelReport], region: str | None) -> list[RankedModel]:
    """Models by inference time, the fastest first (p-values by Mann-Whitney)."""
    ordered = sorted(models, key=lambda model: model.latency_ms["inference"].p50)
    found = []
    for place, model in enumerate(ordered):
        before = ordered[place - 1].samples_ms["inference"] if place else None
        p = rank_test(before, model.samples_ms["inference"]) if before is not None else None
        found.append(RankedModel(model, p, tuple(_set_dice(model, (*key, region)) for key in scored_sets(models))))
    return found


def _set_dice(model: ModelReport, wanted: tuple[str, str, str | None]) -> SetDice:
    row = next((row for row in model.scores if (row.dataset, row.split, row.region) == wanted), None)
    lost = next((row for row in model.degradation if (row.dataset, row.split, row.region) == wanted), None)
    return SetDice(row.dice if row else None, lost)


def by_engine(models: Sequence[ModelReport]) -> list[ModelEngines]:
    """The engines of each model, the first engine first."""
    found = []
    for model in models:
        first = EngineRow(
            model.runtime,
            model.delegate,
            {model.threads: model.latency_ms[ALONE]},
            {model.threads: model.share_of_peak},
        )
        engines = {model.engine: first}
        for run in model.configurations:
            row = engines.setdefault(run.engine, EngineRow(run.runtime, run.delegate))
            row.ms[run.threads] = run.inference_ms
            row.share_of_peak[run.threads] = run.share_of_peak
            shares = [share for share in (row.differing_pixels, run.differing_pixels) if share is not None]
            row.differing_pixels = max(shares, default=None)
        found.append(ModelEngines(model, tuple(engines.values())))
    return found


def by_region(models: Sequence[ModelReport | MaskReport]) -> list[RegionTable]:
    """A table for each data set and region, of models and of masks."""
    tables: dict[tuple[str, str, str], RegionTable] = {}
    for model in models:
        lost = {(row.dataset, row.split, row.region): row for row in model.degradation}
        for row in model.scores:
            key = row.dataset, row.split, row.region
            tables.setdefault(key, RegionTable(*key)).rows.append(RegionRow(model.label, row, lost.get(key)))
    return list(tables.values())


def by_corruption(rows: Sequence[CorruptedDice]) -> list[CorruptionLine]:
    """A line per corruption, for the main region of each data set."""
    lines = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        of_set = [row for row in rows if row.dataset == dataset]
        region = main_region(row.region for row in of_set)
        of_region = [row for row in of_set if row.region == region]
        clean = next(row for row in of_region if row.corruption == CLEAN)
        for corruption in CORRUPTIONS:
            doses = tuple(row for row in of_region if row.corruption == corruption.name)
            lines.append(CorruptionLine(corruption.name, corruption.title, clean, doses))
    return lines
