"""A folder with everything that the documentation's commands name: films, DICOM, data sets with outlines, networks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.model_file import shipped_models
from edge_seg.phantom import Phantom, phantom, write_dicom
from edge_seg_data.phantom.brain_set import write_brain_set

ROOT = Path(__file__).parents[2]
_STRUCTURES = ("right_lung", "left_lung", "cardiomediastinum", "heart")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, make_flatbuffer: Callable[..., bytes], tiny_model: Path) -> Path:
    """The folder in which the commands run."""
    folder = tmp_path_factory.mktemp("world")
    chests = [phantom(200, 180, seed=seed) for seed in range(10)]
    for place in ("films", "more", "inbox", "docs/reference", "shared", "home", "old", "new"):
        (folder / place).mkdir(parents=True)
    for seed in range(3):
        _write(folder / "films" / f"{seed}.png", chests[seed].film.pixels)
    _write(folder / "chest.png", phantom(512, 480, seed=1).film.pixels)
    for path in (folder / "more" / "film.dcm", folder / "film.dcm"):
        write_dicom(chests[3], path, spacing_mm=(1.5, 1.5))
    for name in ("my_films", "paediatric", "adult"):
        _chest_set(folder / name, chests)
    (folder / "more_films" / "images").mkdir(parents=True)
    for seed in (8, 9):
        _write(folder / "more_films" / "images" / f"more-{seed}.png", phantom(160, 144, seed=seed).film.pixels)
    shutil.copytree(folder / "my_films" / "right_lung", folder / "their_masks" / "right_lung")
    (folder / "unet.tflite").write_bytes(make_flatbuffer(dtype="float32"))
    for name in ("lungs.tflite", "model.tflite"):
        shutil.copy(shipped_models()["lungs"], folder / name)
    write_brain_set(folder / "brain_tumours", films=20, patients=10)
    shutil.copy(ROOT / "README.md", folder)
    (folder / "station.toml").write_text('[inputs]\nwatch = ["inbox"]\n')
    (folder / "mine.tflite").write_bytes(tiny_model.read_bytes())
    return folder


def _chest_set(folder: Path, chests: list[Phantom]) -> None:
    for name in ("images", *_STRUCTURES):
        (folder / name).mkdir(parents=True)
    for number, made in enumerate(chests):
        _write(folder / "images" / f"{number}.png", made.film.pixels)
        for name in _STRUCTURES:
            _write(folder / name / f"{number}.png", made.masks[name].astype(np.uint8) * 255)
    rows = [f"{number},{'val' if number > 7 else 'test' if number > 5 else 'train'}" for number in range(len(chests))]
    (folder / "index.csv").write_text("\n".join(["stem,split", *rows]) + "\n")


def _write(path: Path, pixels: np.ndarray) -> None:
    assert cv2.imwrite(str(path), pixels)
