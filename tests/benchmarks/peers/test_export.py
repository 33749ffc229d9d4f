"""`edge-seg export`: an ONNX file that gives the same result in ONNX Runtime and includes its manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg_benchmarks.export import export

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def test_a_model_is_exported(tmp_path: Path, lungs: ModelFile) -> None:
    path = tmp_path / "lungs.onnx"
    done = CliRunner().invoke(export, ["lungs", "--to", "onnx", "--out", str(path)], catch_exceptions=False)
    assert "takes int8 (1, " in done.stdout
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["edge_seg"])["name"] == "lungs"
    segmenter = Segmenter(lungs)
    tensor = segmenter.prepare(phantom(256, 256, seed=0).film)[0]
    found = session.run(None, {session.get_inputs()[0].name: tensor})[0]
    # Halves are rounded differently, which adds a step here and there.
    np.testing.assert_allclose(found.astype(int), segmenter.runtime.run(tensor), atol=8)
    assert np.mean((found > 0) != (segmenter.runtime.run(tensor) > 0)) < 0.001
