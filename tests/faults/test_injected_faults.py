"""Every call that changes a file fails in turn: nothing is torn, lost or doubled, and the next run continues.

`EDGE_SEG_FAULT_STEP=1` takes each call; the default takes every fifth.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from edge_seg.phantom import phantom

HERE = Path(__file__).parent
STEP = int(os.environ.get("EDGE_SEG_FAULT_STEP", "5"))


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the library that makes calls fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or no Linux, to make calls fail with")
    made = tmp_path_factory.mktemp("native") / "faults.so"
    source = HERE / "native" / "faults.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return str(made)


@pytest.mark.slow
@pytest.mark.parametrize("start", [1, 3])
def test_a_write_that_fails_tears_loses_and_doubles_nothing(
    tmp_path: Path, tiny_model: Path, shim: str, start: int
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for seed in range(3):
        cv2.imwrite(str(films / f"film-{seed}.png"), phantom(64, 72, seed=seed).film.pixels)
    done = subprocess.run(
        [sys.executable, str(HERE / "sweep.py"), str(tiny_model), str(tmp_path), str(STEP), str(start)],
        env={**os.environ, "LD_PRELOAD": shim},
        capture_output=True,
        text=True,
        timeout=800,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
