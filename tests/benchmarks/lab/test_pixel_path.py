"""What a film costs outside the network: every stage is timed, and the named functions are the ones that ran."""

from __future__ import annotations

import numpy as np
import pytest
from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg_lab.pixel_path import STAGES, measure_stages, own_times


@pytest.fixture(scope="module")
def segmenter(lungs: ModelFile) -> Segmenter:
    return Segmenter(lungs)


def test_every_stage_of_every_film_is_timed(segmenter: Segmenter) -> None:
    films = [phantom(300, 260, seed=0).film, phantom(420, 500, seed=0, bits=16).film]
    measured = measure_stages(segmenter, films, 3)
    assert len(measured) == len(films)
    for stages in measured:
        assert set(stages) == {*STAGES, "pixels_in + pixels_out"}
        assert all(ms.shape == (3,) and (ms > 0).all() for ms in stages.values())
        np.testing.assert_allclose(stages["pixels_in + pixels_out"], stages["pixels_in"] + stages["pixels_out"])


def test_time_is_told_by_function_of_the_package(segmenter: Segmenter) -> None:
    times = own_times(segmenter, phantom(420, 500, seed=0, bits=16).film, 2)
    assert list(times.values()) == sorted(times.values(), reverse=True)
    assert {"resampling.enlarge_above", "measurements.of", "doubt.signals"} <= times.keys()
    assert any(name.startswith("resampling.") and name.endswith("> take") for name in times)
