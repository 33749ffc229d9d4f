"""An untrained network makes a complete model file that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Segmenter

pytest.importorskip("tensorflow_model_optimization")
pytestmark = pytest.mark.training


def test_an_untrained_preset_runs(tmp_path: Path) -> None:
    from edge_seg_quantize.untrained import main

    path = tmp_path / "nano.tflite"
    done = CliRunner().invoke(main, ["lungs-nano", "--out", str(path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    segmenter = Segmenter.load(path)
    found = segmenter(np.zeros((300, 200), np.uint8))
    assert [mask.shape for mask in found.masks.values()] == [(300, 200)] * 3
    assert segmenter.manifest.quantisation == "float32"
    assert not segmenter.gate
    assert "Not trained" in segmenter.manifest.training["about"]["summary"]
