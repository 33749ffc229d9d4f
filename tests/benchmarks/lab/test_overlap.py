"""Rates of checkouts, each measured in its own process."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_seg_lab.overlap import measure_overlap

HERE = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_checkout_is_measured_together_and_one_by_one(tiny_model: Path) -> None:
    (rates,) = measure_overlap([HERE], 4, 1, model=str(tiny_model), side=96).values()
    shown = rates.summary()
    assert len(rates.films_per_second) == 1
    assert shown["cpu_ms_per_film"]["least"] > 0
    stages = shown["single_ms"]
    assert len(rates.single_ms["end_to_end"]) == 4
    assert stages["end_to_end"]["least"] >= stages["write"]["least"] > 0
