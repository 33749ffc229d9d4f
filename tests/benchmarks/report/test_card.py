"""The card in a model's file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.accuracy.scores import MetricSummary, RegionScores
from edge_seg_benchmarks.accuracy.seen import SeenFilms
from edge_seg_benchmarks.latency.stages import Percentiles
from edge_seg_benchmarks.machine import MachineState
from edge_seg_benchmarks.report.card import with_scores
from edge_seg_benchmarks.schema import Machine, ModelReport, Report

STATE = MachineState(0.1, None, None, None, None)
MACHINE = Machine("2026", None, "p", (), "a", 2, 4.0, "Linux", "3.11", {}, before=STATE, during=STATE, after=STATE)
DICE = MetricSummary(0.9, 0.8, 1.0, 5, 5, 0.8, 0.8)


def test_a_card_says_which_scored_films_the_model_was_trained_with(tiny_model: Path) -> None:
    model = ModelFile.read(tiny_model)
    entry = ModelReport(
        "m int8", "m", "1", "int8-qat", "", (64, 64, 1), 1, 1, 1, 1, (), engine="litert", runtime="litert 2",
        delegate="cpu", threads=1, latency_ms={"inference": Percentiles(1, 1, 1, 0, 3)}, samples_ms={}, warm_up=6,
        inference_speed_up=1.0, scores=(RegionScores("d", "all", "whole_lung", 0, DICE, DICE, DICE, DICE),),
    )  # fmt: skip
    seen = replace(entry, seen=(SeenFilms("d", "all", 5, 2, 1), SeenFilms("e", "all", 3, 3, 0)))
    clean, told = (
        with_scores(model, Segmenter(model), [], one, Report("", "", MACHINE, (), (one,), None)).card
        for one in (entry, seen)
    )
    unseen = "on films that training never saw, with:"
    counts = "2 in training and 1 in validation, of 5 films of d all; 3 in training, of 3 films of e all"
    assert unseen in clean
    assert unseen not in told
    assert f"partly on films that it was trained with ({counts}), with:" in told
