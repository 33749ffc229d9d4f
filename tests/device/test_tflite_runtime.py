"""`edge-seg run` with tflite-runtime in place of LiteRT, in a separate environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.runtime import TFLiteRuntime
from edge_seg.sources import read_film

pytestmark = [pytest.mark.device, pytest.mark.slow]

# OpenCV from 4.12 on needs numpy 2.
PACKAGES = ("numpy<2", "tflite-runtime==2.14.0", "opencv-python-headless<4.12", "click", "flatbuffers", "pydicom")
LARGEST_DIFFERENCE = 0.005


@pytest.fixture(scope="module")
def python() -> Path:
    """Python of an environment with tflite-runtime, kept between runs; or a skip with the reason."""
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for Python 3.12 and later")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-seg-tests"
    folder = cache / f"tflite-{sys.version_info.major}.{sys.version_info.minor}"
    found, stamp = folder / "bin" / "python", folder / "packages"
    if stamp.is_file() and stamp.read_text() == "\n".join(PACKAGES):
        return found
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    install = [str(found), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    done = subprocess.run([*install, *PACKAGES], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the environment cannot be made here: {done.stderr.strip().splitlines()[-1]}")
    stamp.write_text("\n".join(PACKAGES))
    return found


def run(python: Path, films: list[Path], out: Path) -> None:
    """`edge-seg run` in that environment with automatic choice of engine; checks which engine really ran."""
    home = str(Path(__file__).parents[2] / "edge")
    command = [str(python), "-m", "edge_seg.cli.main", "run", *map(str, films), "--out", str(out), "-q"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": home}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert len(records) == len(films)
    assert {record["runtime"] for record in records} == {"tflite 2.14.0"}


def differences(lungs: ModelFile, films: list[Path], out: Path) -> list[float]:
    """Share of pixels in which each mask differs from LiteRT's, for each film."""
    segmenter = Segmenter(lungs, TFLiteRuntime(lungs.flatbuffer, engine="litert"))
    differing = []
    for path in films:
        for name, mask in segmenter(read_film(path)).masks.items():
            other = read_film(out / f"{path.stem}.{name}.png").pixels > 0
            assert mask.any()
            differing.append(float(np.mean(mask != other)))
    return differing


def test_masks_of_phantoms_differ_in_at_most_half_a_percent_of_pixels(
    python: Path, lungs: ModelFile, tmp_path: Path
) -> None:
    films = [tmp_path / f"phantom-{seed}.png" for seed in range(6)]
    for seed, path in enumerate(films):
        cv2.imwrite(str(path), phantom(512, 480, seed=seed, bits=16 if seed % 2 else 8).film.pixels)
    run(python, films, tmp_path / "out")
    found = differences(lungs, films, tmp_path / "out")
    assert max(found) <= LARGEST_DIFFERENCE, found


@pytest.mark.data
def test_masks_of_real_films_differ_in_at_most_half_a_percent_of_pixels(
    python: Path, lungs: ModelFile, films_folder: Path, tmp_path: Path
) -> None:
    films = sorted((films_folder / "adult" / "images").iterdir())[:12]
    run(python, films, tmp_path / "out")
    found = differences(lungs, films, tmp_path / "out")
    assert max(found) <= LARGEST_DIFFERENCE, found
