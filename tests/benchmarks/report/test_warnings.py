"""What a report warns of."""

from __future__ import annotations

from dataclasses import replace

from edge_seg_benchmarks.accuracy.masks import MaskReport
from edge_seg_benchmarks.accuracy.scores import MetricSummary, RegionScores
from edge_seg_benchmarks.accuracy.seen import SeenFilms
from edge_seg_benchmarks.latency.stages import Percentiles
from edge_seg_benchmarks.machine import MachineState
from edge_seg_benchmarks.report.warnings import warnings_of
from edge_seg_benchmarks.schema import DatasetReport, Machine, ModelReport, Report

STATE = MachineState(0.1, None, None, None, None)
MACHINE = Machine("2026", None, "p", (), "a", 2, 4.0, "Linux", "3.11", {}, before=STATE, during=STATE, after=STATE)
DICE = MetricSummary(0.9, 0.8, 1.0, 5, 5, 0.8, 0.8)


def scores(dataset: str, region: str = "whole_lung") -> tuple[RegionScores, ...]:
    return (RegionScores(dataset, "test", region, 0, DICE, DICE, DICE, DICE),)


def report(*datasets: str) -> Report:
    """A report of one model, which was scored on `adult`."""
    entry = ModelReport(
        "m int8", "m", "1", "int8-qat", "", (64, 64, 1), 1, 1, 1, 1, (), engine="litert", runtime="litert 2",
        delegate="cpu", threads=1, latency_ms={"inference": Percentiles(1, 1, 1, 0, 3)}, samples_ms={}, warm_up=6,
        inference_speed_up=1.0, scores=scores("adult"),
    )  # fmt: skip
    named = tuple(DatasetReport(name, "pairs", "test", None, {}) for name in datasets)
    return Report("Research use only", "", MACHINE, named, (entry,), None)


def test_a_data_set_that_nothing_was_scored_on_is_named() -> None:
    assert warnings_of(report("adult")) == []
    assert warnings_of(report("adult", "pairs")) == ["pairs has no rows: no model here outlines what it outlines"]
    masks = MaskReport("masks in theirs", (), (), scores("pairs", "object"), (), ())
    assert warnings_of(replace(report("adult", "pairs"), masks=(masks,))) == []


def test_films_seen_in_training_are_counted() -> None:
    (entry,) = report("adult").models
    seen = replace(entry, seen=(SeenFilms("adult", "test", 5, 2, 1),))
    (said,) = warnings_of(replace(report("adult"), models=(seen,)))
    assert "of 5 films of adult test it had 2 in training and 1 in validation" in said
