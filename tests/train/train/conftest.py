"""Shared by the training tests: phantom films on disk, and the command run in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.phantom import phantom


@pytest.fixture(scope="session")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve phantom films with an outline for each structure."""
    folder = tmp_path_factory.mktemp("data") / "chests"
    for i in range(12):
        made = phantom(64, 60, seed=i)
        for name, picture in {"images": made.film.pixels, **made.masks}.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{i}.png"), picture if name == "images" else picture * np.uint8(255))
    return folder


@pytest.fixture
def edge_seg(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `edge-seg WORDS...` in this process, with TensorFlow already loaded, and returns exit code and stderr."""
    from edge_seg.cli.main import main

    def run(*words: object) -> tuple[int, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert isinstance(end.value.code, int)
        return end.value.code, capfd.readouterr().err

    return run
