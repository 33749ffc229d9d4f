"""What stands beside what in a report's tables."""

from __future__ import annotations

from typing import Any

from edge_seg_benchmarks.report.pictures import plot_pareto
from edge_seg_benchmarks.report.tables import by_engine, by_region, ranked, scored_sets


def entry(name: str, quantisation: str, milliseconds: float, regions: tuple[str, ...] = ("whole_lung",)) -> Any:
    scores = [{"dataset": "d", "split": "test", "region": r, "dice": {"mean": 0.9}} for r in regions]
    return {
        "label": f"{name} {quantisation}",
        "engine": "litert",
        "runtime": "litert 2",
        "delegate": "cpu",
        "threads": 1,
        "latency_ms": {"inference": {"p50": milliseconds}, "inference_alone": {"p50": milliseconds / 2}},
        "samples_ms": {"inference": [milliseconds + i / 1000 for i in range(30)]},
        "share_of_peak": None,
        "scores": scores,
        "degradation": [] if quantisation == "float32" else [{**row, "mean": -0.01} for row in scores],
    }


def run(label: str, engine: str, threads: int, differing: float | None = 0.0, delegate: str = "cpu") -> dict[str, Any]:
    return {
        "label": label,
        "engine": engine,
        "runtime": "litert 2" if engine == "edgetpu" else engine,
        "delegate": delegate,
        "threads": threads,
        "inference_ms": {"p50": threads * 10.0},
        "share_of_peak": None,
        "differing_pixels": differing,
    }


def test_models_stand_by_speed_each_with_its_scores() -> None:
    models = [entry("a", "float32", 9), entry("a", "int8-qat", 5), entry("untrained", "float32", 7, ())]
    rows = ranked(models, "whole_lung")
    assert [row["model"]["label"] for row in rows] == ["a int8-qat", "untrained float32", "a float32"]
    assert rows[0]["p"] is None
    assert rows[1]["p"] < 0.01
    assert [row["scores"][0]["dice"] for row in rows] == [{"mean": 0.9}, None, {"mean": 0.9}]
    assert [row["scores"][0]["lost"] and row["scores"][0]["lost"]["mean"] for row in rows] == [-0.01, None, None]
    assert {len(row["scores"]) for row in rows} == {1}


def test_two_models_that_take_as_long_do_not_differ() -> None:
    assert ranked([entry("a", "float32", 9), entry("b", "float32", 9)], None)[1]["p"] > 0.5


def test_an_engine_is_a_line_and_threads_are_columns() -> None:
    report = {
        "models": [entry("a", "float32", 9), entry("b", "float32", 4)],
        "runs": [
            run("a float32", "litert", 2),
            run("a float32", "openvino", 1, 0.25),
            run("a float32", "openvino", 2, 0.0),
            run("a float32", "edgetpu", 1, delegate="edgetpu"),
        ],
    }
    first, second = by_engine(report)
    assert [engine["runtime"] for engine in first["engines"]] == ["litert 2", "openvino", "litert 2"]
    assert [engine["delegate"] for engine in first["engines"]] == ["cpu", "cpu", "edgetpu"]
    assert first["engines"][0]["ms"] == {1: {"p50": 4.5}, 2: {"p50": 20.0}}
    assert first["engines"][1]["differing_pixels"] == 0.25
    assert [engine["ms"] for engine in second["engines"]] == [{1: {"p50": 2.0}}]


def test_definitions_of_a_lung_are_never_in_one_group() -> None:
    groups = by_region(
        [entry("a", "float32", 9, ("whole_lung", "visible_lung")), entry("a", "int8-qat", 5, ("whole_lung",))]
    )
    assert [(group["region"], [row["label"] for row in group["rows"]]) for group in groups] == [
        ("whole_lung", ["a float32", "a int8-qat"]),
        ("visible_lung", ["a float32"]),
    ]
    assert [row["lost"] and row["lost"]["mean"] for row in groups[0]["rows"]] == [None, -0.01]


def test_a_plot_of_the_same_figures_is_the_same_file() -> None:
    model = entry("a", "float32", 9)
    model |= {"name": "a", "quantisation": "float32"}
    model["loss"] = [{**row, "mean": 0.0, "low": -0.01, "high": 0.01, "n": 3} for row in model["scores"]]
    once, again = (plot_pareto([model], "whole_lung", "a float32", "svg") for _ in range(2))
    assert once is not None
    assert once == again
    assert plot_pareto([model], "whole_lung", "a float32", "svg", only="other") is None


def test_splits_of_a_data_set_are_columns_of_their_own() -> None:
    model = entry("a", "float32", 9)
    model["scores"].append({"dataset": "d", "split": "val", "region": "whole_lung", "dice": {"mean": 0.5}})
    assert scored_sets([model]) == [("d", "test"), ("d", "val")]
    assert [found["dice"]["mean"] for found in ranked([model], "whole_lung")[0]["scores"]] == [0.9, 0.5]
