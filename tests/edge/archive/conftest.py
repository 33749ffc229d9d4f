"""Shared by the archive tests: a few small films, and a model that starts quickly."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest
from edge_seg.phantom import phantom

pytest.importorskip("pyarrow")

from edge_seg.archive.contents import Archive
from edge_seg.archive.planning import plan

FILMS = 5


@pytest.fixture(scope="session")
def few_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `FILMS` films, 16-bit and 8-bit, and a file that is not one."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(FILMS):
        pixels = phantom(180 + number, 160, seed=number).film.pixels
        cv2.imwrite(str(folder / f"{number}.png"), pixels.astype("u2") * 257 if number % 2 else pixels)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="session")
def _planned(few_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    address = tmp_path_factory.mktemp("planned") / "archive"
    plan([str(few_films)], str(address), model="lungs-nano", gate=False, films_per_shard=2)
    return address


@pytest.fixture
def archive(_planned: Path, tmp_path: Path) -> Archive:
    """An archive of these films in three shards, planned but not run."""
    shutil.copytree(_planned, tmp_path / "archive")
    return Archive(str(tmp_path / "archive"))
