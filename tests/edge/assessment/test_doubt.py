"""The estimate of a film's Dice, structure by structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edge_seg.assessment.doubt import LUNGS, Doubt, lung_signals, signals
from edge_seg.assessment.trust import LOW_TRUST, Calibration

NAMES = ("right_lung", "left_lung", "cardiomediastinum")


def logits(sure: float = 6.0) -> np.ndarray:
    found = np.full((64, 64, 3), -sure, np.float32)
    found[10:50, 8:28, 0] = found[10:50, 36:56, 1] = found[20:50, 24:40, 2] = sure
    return found


def test_signals_are_of_each_structure_and_of_both_definitions_of_lung() -> None:
    found = signals(logits(), NAMES, np.array([0.5, 2.0]))
    assert set(found) == {*NAMES, "whole_lung", "visible_lung"}
    assert found["whole_lung"]["coverage"] > found["visible_lung"]["coverage"] > found["right_lung"]["coverage"]
    assert found["right_lung"]["left"] == pytest.approx(8 / 64, abs=1 / 64)
    assert found["right_lung"]["bottom"] == pytest.approx(49 / 64, abs=2 / 64)
    assert {name: found["left_lung"][name] for name in ("pooled_0", "pooled_1")} == {"pooled_0": 0.5, "pooled_1": 2.0}
    assert all(np.isfinite(list(values.values())).all() for values in found.values())


def test_an_unsure_network_has_other_signals_than_a_sure_one() -> None:
    sure, unsure = (signals(logits(value), NAMES, None)["whole_lung"] for value in (6.0, 1.0))
    assert unsure["soft_dice"] < sure["soft_dice"]
    assert unsure["unsure_within"] > sure["unsure_within"]
    assert unsure["outside"] > sure["outside"]


def test_nothing_found_has_signals_too() -> None:
    found = signals(np.full((32, 32, 3), -9, np.float32), NAMES, None)
    assert all(np.isfinite(list(values.values())).all() for values in found.values())
    assert found["right_lung"]["coverage"] < -6


def test_estimates_and_bounds_survive_the_manifest() -> None:
    one = Calibration(("coverage",), (0.0,), (1.0,), (0.5,), 3.0, {}, margin=0.7)
    doubt = Doubt({"whole_lung": one, "heart": one}, 0.9, {"films": 3})
    again = Doubt.from_json(doubt.to_json())
    assert again == doubt
    found = again.estimates({"whole_lung": {"coverage": 1.0}})
    assert set(found) == {"whole_lung"}
    assert found["whole_lung"].bound is not None
    assert found["whole_lung"].bound < found["whole_lung"].dice
    wrongs: tuple[dict[str, Any], ...] = (
        {"regions": []},
        {"regions": {"heart": 1}, "low": 0.9},
        {"regions": {}},
        {"regions": {}, "low": "x"},
    )
    for wrong in wrongs:
        with pytest.raises(ValueError, match="trust"):
            Doubt.from_json(wrong)


def test_a_single_calibration_of_an_older_model_goes_on_working() -> None:
    one = Calibration(("coverage",), (0.0,), (1.0,), (0.5,), 3.0, {})
    doubt = Doubt.from_json(one.to_json())
    assert doubt.of_lungs_alone
    assert doubt.low == LOW_TRUST
    found = doubt.estimates(lung_signals(logits(), NAMES))
    assert found[LUNGS].bound is None
    assert lung_signals(logits(), ("tumour",)) == {}
