"""A kill -9 at any moment of saving and learning leaves the old or the new model, and every correction."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_seg.adaptation.kept import KeptModels
from edge_seg.corrections import Corrections
from edge_seg.inspection import purity_violations
from edge_seg.model_file import ModelFile
from edge_seg.segmenter import Segmenter

MODEL = "lungs-nano"

LEARNING = int(os.environ.get("EDGE_SEG_KILLS", "1"))
KEEPING = 2 * LEARNING

_KEEPS = f"""
import sys
from dataclasses import replace
from edge_seg.adaptation.adapt import adapted_model
from edge_seg.adaptation.kept import KeptModels
from edge_seg.model_file import ModelFile
shipped, kept = ModelFile.read({MODEL!r}), KeptModels(sys.argv[1])
models = [adapted_model(shipped, shipped.flatbuffer, str(number), []) for number in range(3)]
print("ready", flush=True)
for number in range(1_000_000):
    kept.keep(models[number % 3], shipped)
    if number % 2:
        kept.go_back()
"""
_LEARNS = f"""
import sys
from pathlib import Path
from edge_seg.adaptation.adapt import adapt
from edge_seg.model_file import ModelFile
print("ready", flush=True)
adapt(Path(sys.argv[1]), ModelFile.read({MODEL!r}), again=True)
"""


@pytest.mark.slow
def test_killed_while_models_are_kept(tmp_path: Path, nano: ModelFile) -> None:
    draw = random.Random(0)
    for _ in range(KEEPING):
        _kill_after(draw.uniform(0, 0.1), _KEEPS, tmp_path)
        running = KeptModels(tmp_path).in_place_of(nano)
        assert purity_violations(running.flatbuffer) == []
        for path in (tmp_path / "models").glob("*.tflite"):
            ModelFile.read(path)


@pytest.mark.slow
def test_killed_while_it_learns(tmp_path: Path, nano: ModelFile, correct: Callable[..., None]) -> None:
    correct(tmp_path)
    before = [one.number for one in Corrections(tmp_path)]
    draw = random.Random(0)
    for _ in range(LEARNING):
        _kill_after(draw.uniform(0, 4), _LEARNS, tmp_path)
        assert [one.number for one in Corrections(tmp_path)] == before
        assert len(Corrections(tmp_path).films()) == len(before)
        Segmenter(KeptModels(tmp_path).in_place_of(nano))


def _kill_after(seconds: float, program: str, results: Path) -> None:
    """Kill a program `seconds` after it is ready; if it has ended by then, it did all of its work."""
    with subprocess.Popen([sys.executable, "-c", program, str(results)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        assert process.wait() in (-signal.SIGKILL, 0)
