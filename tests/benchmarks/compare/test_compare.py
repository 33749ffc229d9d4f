"""Comparisons of reports: planted differences are found, equal results are called the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg.errors import InputError, UsageError
from edge_seg_benchmarks.accuracy.scores import FilmScore
from edge_seg_benchmarks.command import benchmark
from edge_seg_benchmarks.compare.limits import Limit
from edge_seg_benchmarks.compare.reports import compare_reports
from edge_seg_benchmarks.latency.cold_start import ColdStart
from edge_seg_benchmarks.latency.reference_timing import ReferenceTimes
from edge_seg_benchmarks.latency.stages import ALONE
from edge_seg_benchmarks.machine import MachineState
from edge_seg_benchmarks.schema import Machine, ModelReport, Report
from hypothesis import given
from hypothesis import strategies as st

STATE = MachineState(0.1, None, None, None, None)
MACHINE = Machine("2026", None, "p", (), "a", 2, 4.0, "Linux", "3.11", {}, before=STATE, during=STATE, after=STATE)


def report(seed: int, slow: float = 1.0, lost: float = 0.0, pace: float = 1.0, label: str = "m int8") -> Report:
    """A report of one model on a machine as unsteady as real ones: jitter, bursts, and slow spells.

    The machine takes `pace` times as long for anything, the model `slow` times as long as that.
    """
    chance = np.random.default_rng(seed)
    rounds = 300
    spells = 1 + np.repeat(np.maximum(0, chance.normal(0.05, 0.12, 10)), rounds // 10)
    bursts = np.where(chance.random(rounds) < 0.08, chance.uniform(1.3, 3, rounds), 1)
    disturbed = spells * bursts
    inference = 8 * slow * pace * disturbed * (1 + np.abs(chance.normal(0, 0.015, rounds)))
    reference = 0.04 * pace * disturbed * (1 + np.abs(chance.normal(0, 0.015, rounds)))
    truth = np.random.default_rng(1).uniform(0.9, 0.98, 60)
    films = [
        FilmScore("d", "test", str(i), str(i // 2), "whole_lung", float(v - lost), 0.9, 5.0, 2.0)
        for i, v in enumerate(truth + (chance.normal(0, 0.003, 60) if lost else 0))
    ]
    entry = ModelReport(
        label, "m", "1", "int8-qat", "", (64, 64, 1), 1, 1, 1, 1000, (), engine="litert", runtime="litert 2",
        delegate="cpu", threads=1, latency_ms={}, samples_ms={ALONE: tuple(inference.tolist())}, warm_up=6,
        inference_speed_up=1.0, cold_start=ColdStart(0.4 * slow, 9e7, 1e7), films=tuple(films),
    )  # fmt: skip
    times = ReferenceTimes("products", tuple(reference.tolist()), 1.0, 1.0, 1.0)
    return Report("Research use only", "", MACHINE, (), (entry,), label, times)


def with_times(made: Report, times: Sequence[float]) -> Report:
    """The report with other times for its model."""
    entry = replace(made.models[0], samples_ms={ALONE: tuple(times)})
    return replace(made, models=(entry,))


@pytest.mark.slow
def test_two_runs_of_the_same_thing_are_the_same() -> None:
    verdicts = [compare_reports(report(2 * i), report(2 * i + 1)).latency[0].verdict for i in range(200)]
    assert verdicts.count("same") >= 190


@pytest.mark.slow
def test_a_planted_slowdown_is_found() -> None:
    found = [compare_reports(report(2 * i), report(2 * i + 1, slow=1.1)).latency[0] for i in range(100)]
    assert sum(row.verdict == "slower" for row in found) >= 95
    assert np.median([row.ratio.least for row in found]) == pytest.approx(1.1, abs=0.01)
    back = compare_reports(report(1, slow=1.1), report(2)).latency[0]
    assert back.verdict == "faster"


@pytest.mark.slow
@pytest.mark.parametrize("pace", [0.8, 1.07, 1.4])
def test_a_slower_minute_is_no_slower_model(pace: float) -> None:
    found = [compare_reports(report(2 * i), report(2 * i + 1, pace=pace)) for i in range(100)]
    assert np.median([both.machine_ratio for both in found]) == pytest.approx(pace, rel=0.01)
    rows = [both.latency[0] for both in found]
    assert np.median([row.ratio.least for row in rows]) == pytest.approx(pace, rel=0.01)
    assert np.median([row.ratio.over_machine for row in rows]) == pytest.approx(1, abs=0.01)
    assert sum(row.verdict == "same" for row in rows) >= 95
    slower = [compare_reports(report(2 * i), report(2 * i + 1, slow=1.3, pace=pace)) for i in range(50)]
    if pace > 1:
        assert sum(both.latency[0].verdict == "slower" for both in slower) >= 47


def test_a_model_that_waits_for_the_memory_is_not_praised_for_a_slow_clock() -> None:
    found = compare_reports(report(1), report(2, slow=1 / 1.3, pace=1.3))
    assert found.machine_ratio == pytest.approx(1.3, abs=0.03)
    assert found.latency[0].verdict == "same"


def test_moments_of_a_raised_clock_are_no_faster_model() -> None:
    times = np.array(report(2).models[0].samples_ms[ALONE])
    times[::100] = 0.8 * min(times)
    assert compare_reports(report(1), with_times(report(2), times.tolist())).latency[0].verdict == "same"


@pytest.mark.parametrize("times", [None, ReferenceTimes("other products", (1.0,) * 300, 1.0, 1.0, 1.0)])
def test_reference_times_of_other_arithmetic_are_not_compared(times: ReferenceTimes | None) -> None:
    other = replace(report(2, slow=1.1), reference_timing=times)
    found = compare_reports(report(1), other)
    assert found.machine_ratio is None
    (row,) = found.latency
    assert row.ratio.over_machine == row.ratio.least == row.slowdown
    assert row.verdict == "slower"


@pytest.mark.parametrize("fact", [{"processor": "q"}, {"extensions": ("avx2",)}, {"board": "b"}])
def test_another_machine_is_compared_by_its_clock(fact: dict[str, Any]) -> None:
    other = replace(report(1, slow=3.0), machine=replace(MACHINE, **fact))
    found = compare_reports(report(2), other)
    assert not found.same_machine
    assert found.machine_ratio is None
    assert found.latency[0].ratio.least == pytest.approx(3, abs=0.1)


def test_a_planted_loss_of_dice_is_found_and_none_is_none() -> None:
    (worse,) = compare_reports(report(0), report(0, lost=0.005)).accuracy
    assert worse.verdict == "worse"
    assert worse.mean == pytest.approx(-0.005, abs=0.002)
    (same,) = compare_reports(report(0), report(5)).accuracy
    assert (same.verdict, same.mean) == ("same", 0)
    (better,) = compare_reports(report(0, lost=0.005), report(0)).accuracy
    assert better.verdict == "better"


@given(
    st.sampled_from(["least", "p50", "p95", "cold_start", "peak_rss", "file_bytes"]), st.floats(0.5, 3), st.booleans()
)
def test_limits_hold_what_they_were_given(what: str, limit: float, equal: bool) -> None:
    limit = round(limit, 3)
    sign = ">=" if equal else ">"
    assert Limit.parse(f"{what} {sign} {limit}x") == Limit(what, sign, limit)


@pytest.mark.parametrize(
    "text", ["dice_drop", "dice_drop>", "p95>1.1", "dice_drop>0.1x", "speed>2x", "p95<1x", "p95>1.x.1x"]
)
def test_what_is_not_a_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--fail-if"):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("limit", "slow", "lost", "fails"),
    [
        ("least>1.05x", 1.1, 0.0, True),
        ("least>1.2x", 1.1, 0.0, False),
        ("dice_drop>0.002", 1.0, 0.005, True),
        ("dice_drop>0.02", 1.0, 0.005, False),
        ("p95>1.1x", 1.5, 0.0, True),
        ("p50>1.2x", 1.05, 0.0, False),
        ("cold_start>1.2x", 1.3, 0.0, True),
        ("peak_rss>=1x", 1.0, 0.0, True),
        ("file_bytes>1x", 1.0, 0.0, False),
    ],
)
def test_a_limit_fails_continuous_integration(
    tmp_path: Path, limit: str, slow: float, lost: float, fails: bool
) -> None:
    (tmp_path / "old.json").write_text(report(0).to_text())
    (tmp_path / "new.json").write_text(report(1, slow=slow, lost=lost).to_text())
    words = ["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json"), "--fail-if", limit]
    done = CliRunner().invoke(benchmark, [*words, "--out", str(tmp_path / "table.md")], standalone_mode=False)
    assert done.return_value == (1 if fails else 0), done.output
    assert (limit.partition(">")[0] in done.stderr) == fails
    assert "Research use only" in (tmp_path / "table.md").read_text()
    told = CliRunner().invoke(benchmark, [*words, "--json"], standalone_mode=False)
    assert json.loads(told.stdout)[0]["latency"][0]["label"] == "m int8"


def test_a_limit_on_least_times_is_not_broken_by_a_slower_minute() -> None:
    comparison = compare_reports(report(0), report(1, pace=1.2))
    assert Limit.parse("least>1.1x").broken(comparison) == []
    assert len(Limit.parse("p50>1.1x").broken(comparison)) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "renamed"}, "m int8 is only in the base"),
        ({"films": ()}, "was scored on 0 of the "),
        ({"films": report(1).models[0].films[1:]}, " films of d, whole lung"),
        ({"films": tuple(replace(film, dataset="e") for film in report(0).models[0].films)}, "was scored on 0 of the "),
    ],
)
def test_a_limit_on_dice_fails_where_dice_cannot_be_compared(change: dict[str, Any], reason: str) -> None:
    made = report(1)
    comparison = compare_reports(report(0), replace(made, models=(replace(made.models[0], **change),)))
    (line,) = Limit.parse("dice_drop>0.002").broken(comparison)
    assert line.startswith("dice_drop could not be compared: ")
    assert reason in line
    renamed = "label" in change
    for limit in ("p95>9x", "file_bytes>9x"):
        assert len(Limit.parse(limit).broken(comparison)) == renamed, "a model that is gone was not timed either"


def test_a_limit_fails_where_a_figure_is_not_there_or_is_not_a_number() -> None:
    made = report(1)
    other = replace(made.models[0], engine="onnxruntime", cold_start=None)
    comparison = compare_reports(report(0), replace(made, models=(other,)))
    assert Limit.parse("least>9x").broken(comparison) == [
        "least could not be compared: m int8 was not timed on litert with 1 threads"
    ]
    assert Limit.parse("cold_start>9x").broken(comparison) == [
        "cold_start could not be compared: m int8 has it in one report alone"
    ]
    films = tuple(replace(film, dice=float("nan")) for film in made.models[0].films)
    scored = compare_reports(report(0), replace(made, models=(replace(made.models[0], films=films),)))
    assert "is nan" in Limit.parse("dice_drop>0.002").broken(scored)[0]


def test_a_limit_on_dice_fails_where_the_base_was_not_scored() -> None:
    made = report(0)
    base = replace(made, models=(replace(made.models[0], films=()),))
    assert Limit.parse("dice_drop>0.002").broken(compare_reports(base, report(1))) == [
        "dice_drop could not be compared: the base has no scores"
    ]


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(report(0).to_text())
    (tmp_path / "old.json").write_text(json.dumps({"schema": 1}))
    (tmp_path / "text.json").write_text("none")
    for name, words in (("old", "schema is 1"), ("text", "not a report"), ("absent", "cannot be read")):
        arguments = ["compare", str(tmp_path / "good.json"), str(tmp_path / f"{name}.json")]
        with pytest.raises(InputError, match=words):
            CliRunner().invoke(benchmark, arguments, standalone_mode=False, catch_exceptions=False)
    with pytest.raises(UsageError, match="two reports"):
        CliRunner().invoke(benchmark, ["compare"], standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize(("count", "verdict"), [(4, "too few"), (8, "slower")])
def test_a_slow_model_is_judged_by_few_times_but_not_by_a_handful(count: int, verdict: str) -> None:
    base, other = (with_times(report(1), [ms + i for i in range(count)]) for ms in (400.0, 800.0))
    assert compare_reports(base, other).latency[0].verdict == verdict
