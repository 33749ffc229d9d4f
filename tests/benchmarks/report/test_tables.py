"""The rows of a report's tables."""

from __future__ import annotations

from dataclasses import replace

from edge_seg_benchmarks.accuracy.scores import DiceDifference, MetricSummary, RegionScores
from edge_seg_benchmarks.configurations import ConfigurationReport
from edge_seg_benchmarks.latency.stages import Percentiles
from edge_seg_benchmarks.report.pictures import plot_pareto
from edge_seg_benchmarks.report.tables import by_engine, by_region, ranked, scored_sets
from edge_seg_benchmarks.schema import ModelReport


def times(p50: float) -> Percentiles:
    return Percentiles(p50, p50, p50, 0.0, 30)


def scores(region: str, dice: float = 0.9, split: str = "test") -> RegionScores:
    summary = MetricSummary(dice, dice, dice, 3, 3, dice, dice)
    return RegionScores("d", split, region, 0, summary, summary, summary, summary)


def difference(region: str, mean: float) -> DiceDifference:
    return DiceDifference(mean, mean - 0.01, mean + 0.01, 3, 3, "d", "test", region)


def entry(
    name: str,
    quantisation: str,
    milliseconds: float,
    regions: tuple[str, ...] = ("whole_lung",),
    configurations: tuple[ConfigurationReport, ...] = (),
) -> ModelReport:
    lost = () if quantisation == "float32" else tuple(difference(region, -0.01) for region in regions)
    return ModelReport(
        f"{name} {quantisation}", name, "1", quantisation, "", (64, 64, 1), 1, 1, 1, 1, (), engine="litert",
        runtime="litert 2", delegate="cpu", threads=1,
        latency_ms={"inference": times(milliseconds), "inference_alone": times(milliseconds / 2)},
        samples_ms={"inference": tuple(milliseconds + i / 1000 for i in range(30))}, warm_up=6,
        inference_speed_up=1.0, scores=tuple(scores(region) for region in regions), degradation=lost,
        configurations=configurations,
    )  # fmt: skip


def configuration(
    engine: str, threads: int, differing: float | None = 0.0, delegate: str = "cpu"
) -> ConfigurationReport:
    runtime = "litert 2" if engine == "edgetpu" else engine
    return ConfigurationReport(
        engine, runtime, delegate, threads, times(threads * 10.0), {}, differing, None, (), None
    )  # fmt: skip


def test_models_stand_by_speed_each_with_its_scores() -> None:
    models = [entry("a", "float32", 9), entry("a", "int8-qat", 5), entry("untrained", "float32", 7, ())]
    rows = ranked(models, "whole_lung")
    assert [row.model.label for row in rows] == ["a int8-qat", "untrained float32", "a float32"]
    assert rows[0].p is None
    assert rows[1].p is not None
    assert rows[1].p < 0.01
    assert [row.scores[0].dice and row.scores[0].dice.mean for row in rows] == [0.9, None, 0.9]
    assert [row.scores[0].lost and row.scores[0].lost.mean for row in rows] == [-0.01, None, None]
    assert {len(row.scores) for row in rows} == {1}


def test_two_models_that_take_as_long_do_not_differ() -> None:
    p = ranked([entry("a", "float32", 9), entry("b", "float32", 9)], None)[1].p
    assert p is not None
    assert p > 0.5


def test_an_engine_is_a_line_and_threads_are_columns() -> None:
    configurations = (
        configuration("litert", 2),
        configuration("openvino", 1, 0.25),
        configuration("openvino", 2, 0.0),
        configuration("edgetpu", 1, delegate="edgetpu"),
    )
    models = [entry("a", "float32", 9, configurations=configurations), entry("b", "float32", 4)]
    first, second = by_engine(models)
    assert [engine.runtime for engine in first.engines] == ["litert 2", "openvino", "litert 2"]
    assert [engine.delegate for engine in first.engines] == ["cpu", "cpu", "edgetpu"]
    assert first.engines[0].ms == {1: times(4.5), 2: times(20.0)}
    assert first.engines[1].differing_pixels == 0.25
    assert [engine.ms for engine in second.engines] == [{1: times(2.0)}]


def test_definitions_of_a_lung_are_never_in_one_group() -> None:
    groups = by_region(
        [entry("a", "float32", 9, ("whole_lung", "visible_lung")), entry("a", "int8-qat", 5, ("whole_lung",))]
    )
    assert [(group.region, [row.label for row in group.rows]) for group in groups] == [
        ("whole_lung", ["a float32", "a int8-qat"]),
        ("visible_lung", ["a float32"]),
    ]
    assert [row.lost and row.lost.mean for row in groups[0].rows] == [None, -0.01]


def test_a_plot_of_the_same_figures_is_the_same_file() -> None:
    model = replace(entry("a", "float32", 9), loss=(difference("whole_lung", 0.0),))
    once, again = (plot_pareto([model], "whole_lung", "a float32", "svg") for _ in range(2))
    assert once is not None
    assert once == again
    assert plot_pareto([model], "whole_lung", "a float32", "svg", only="other") is None


def test_splits_of_a_data_set_are_columns_of_their_own() -> None:
    model = entry("a", "float32", 9)
    model = replace(model, scores=(*model.scores, scores("whole_lung", 0.5, "val")))
    assert scored_sets([model]) == [("d", "test"), ("d", "val")]
    assert [found.dice and found.dice.mean for found in ranked([model], "whole_lung")[0].scores] == [0.9, 0.5]
