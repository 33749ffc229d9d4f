"""`edge-seg run` with tflite-runtime in place of LiteRT, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Segmenter
from edge_seg.datasets.dataset import read_grey
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.sources import read_film

pytestmark = [pytest.mark.device, pytest.mark.slow]

PACKAGES = ("numpy<2", "tflite-runtime==2.14.0", "opencv-python-headless<4.12", "click", "flatbuffers", "pydicom")
LARGEST_DIFFERENCE = 0.005


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for Python 3.12 and later")
    folder = tmp_path_factory.mktemp("tflite") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    found = folder / "bin" / "python"
    install = [str(found), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    done = subprocess.run([*install, *PACKAGES], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the environment cannot be made here: {done.stderr.strip().splitlines()[-1]}")
    return found


def test_masks_differ_in_at_most_half_a_percent_of_pixels(python: Path, lungs: ModelFile, tmp_path: Path) -> None:
    films = []
    for seed in range(6):
        films.append(tmp_path / f"phantom-{seed}.png")
        cv2.imwrite(str(films[-1]), phantom(512, 480, seed=seed).film.pixels)
    named = os.environ.get("EDGE_SEG_DATA")
    real = (Path(named) if named else Path(__file__).parents[3] / "shared" / "data") / "adult" / "images"
    films += sorted(real.glob("*.jpg"))[:10] if real.is_dir() else []
    out = tmp_path / "out"
    words = ["run", *map(str, films), "--engine", "tflite", "--out", str(out), "-q"]
    command = [str(python), "-m", "edge_seg.cli.main", *words]
    home = str(Path(__file__).parents[2] / "edge")
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": home}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    segmenter = Segmenter(lungs)
    differing = []
    for path in films:
        for name, mask in segmenter(read_film(path)).masks.items():
            other = read_grey(out / f"{path.stem}.{name}.png") > 0
            differing.append(float(np.mean(mask != other)))
    assert max(differing) <= LARGEST_DIFFERENCE, differing
