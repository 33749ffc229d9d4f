"""The trust score: features move as outlines get worse, estimates stay within 0 and 1, weights survive the manifest."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from edge_seg.assessment.trust import Calibration, lung_features
from hypothesis import given
from hypothesis import strategies as st


def two_lungs(sureness: float = 6.0, width: int = 40) -> np.ndarray:
    """Logits of two upright ellipses; `sureness` sets how steep they are along the outline."""
    rows, columns = np.mgrid[0:128, 0:128]
    planes = []
    for centre, half in ((36, 20), (92, width / 2)):
        radius = np.hypot((rows - 64) / 45, (columns - centre) / half)
        planes.append(np.clip((1 - radius) * sureness * 4, -sureness, sureness))
    return np.stack(planes, axis=2).astype(np.float32)


def test_features_move_as_they_should() -> None:
    sure, unsure = lung_features(two_lungs(8)), lung_features(two_lungs(2))
    assert sure["soft_dice"] > unsure["soft_dice"]
    assert sure["unsure_width"] < unsure["unsure_width"]
    narrow = lung_features(two_lungs(8, width=10))
    assert narrow["asymmetry"] > sure["asymmetry"]
    assert narrow["smaller_lung"] < sure["smaller_lung"]
    torn = two_lungs(8)
    torn[60:68] = -8
    assert lung_features(torn)["fragments"] > sure["fragments"] == 0
    toothed = two_lungs(8)
    toothed[::6] = two_lungs(8, width=20)[::6]
    assert lung_features(toothed)["raggedness"] > sure["raggedness"]


@given(st.sampled_from([0.0, -9.0, 9.0]), st.integers(1, 40), st.integers(1, 40))
def test_features_of_anything_are_numbers(value: float, height: int, width: int) -> None:
    found = lung_features(np.full((height, width, 2), value, np.float32))
    assert np.isfinite(list(found.values())).all()


def calibration() -> Calibration:
    names = tuple(lung_features(two_lungs()))
    weights = tuple(1.0 if name == "soft_dice" else 0.0 for name in names)
    return Calibration(names, (2.0,) * len(names), (1.0,) * len(names), weights, 2.0, {"films": 3})


def test_the_estimate_is_a_dice_and_is_bounded_far_outside() -> None:
    found = calibration()
    sure, unsure = (found.estimate(lung_features(two_lungs(s))) for s in (8, 1))
    assert 0 < unsure < sure < 1
    wild = dict.fromkeys(found.features, 1e9)
    assert found.estimate(wild) == pytest.approx(1 / (1 + np.exp(-8)), abs=1e-4)


def test_the_bound_lies_its_margin_below_the_estimate_and_is_not_there_without_one() -> None:
    found = replace(calibration(), margin=0.5)
    features = lung_features(two_lungs(3))
    logit = np.log(found.estimate(features) / (1 - found.estimate(features)))
    assert found.bound(features) == pytest.approx(1 / (1 + np.exp(0.5 - logit)), abs=2e-4)
    assert calibration().bound(features) is None
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_calibration_survives_the_manifest() -> None:
    again = Calibration.from_json(json.loads(json.dumps(calibration().to_json())))
    assert again == calibration()
