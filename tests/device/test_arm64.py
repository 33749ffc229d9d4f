"""The masks of the shipped model are the same bytes on 64-bit ARM.

Needs Python for arm64: a command in EDGE_SEG_ARM64_PYTHON that takes a working folder, `--`, and Python's arguments, as
the emulation script beside the shared radiographs does.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edge_seg.model_file import ModelFile

pytestmark = [pytest.mark.device, pytest.mark.slow]


def emulator(films_folder: Path) -> list[str]:
    named = os.environ.get("EDGE_SEG_ARM64_PYTHON")
    if named:
        return shlex.split(named)
    script = films_folder.parent / "tools" / "arm64-python"
    if not script.is_file():
        pytest.skip("no Python for arm64 here: set EDGE_SEG_ARM64_PYTHON to a command that runs it")
    if os.geteuid() != 0 and not shutil.which("mmdebstrap"):
        pytest.skip("making the arm64 environment needs root")
    return [str(script)]


def test_masks_are_the_same_bytes_as_here(films_folder: Path, lungs: ModelFile, tmp_path: Path) -> None:
    home = Path(__file__).parents[2] / "edge"
    work = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-seg-tests" / "arm64"
    films = tmp_path / "films.npz"
    make = """
import numpy as np, sys
from edge_seg.phantom import phantom
np.savez(sys.argv[1], *[phantom(300 + 50 * s, 333, seed=s, bits=16 if s % 2 else 8).film.pixels for s in range(4)])
"""
    segment = """
import hashlib, sys
import numpy as np
from edge_seg import Segmenter
segmenter = Segmenter.load("lungs", threads=1)
for film in np.load(sys.argv[1]).values():
    result = segmenter(film)
    tensor, _ = segmenter.prepare(result.film)
    masks = b"".join(mask.tobytes() for mask in result.masks.values())
    print("RESULT", hashlib.sha256(tensor.tobytes()).hexdigest(), hashlib.sha256(masks).hexdigest())
"""
    here = {**os.environ, "PYTHONPATH": str(home)}
    subprocess.run([sys.executable, "-c", make, films], env=here, check=True)
    ours = subprocess.run([sys.executable, "-c", segment, films], env=here, check=True, capture_output=True, text=True)
    command = [*emulator(films_folder), str(work), "--", "-c", segment, str(films)]
    there = {**os.environ, "EXTRA": str(home)}
    theirs = subprocess.run(command, env=there, capture_output=True, text=True, timeout=800)
    if theirs.returncode and "edge_seg" not in theirs.stderr and "Traceback" not in theirs.stderr:
        pytest.skip(f"arm64 cannot be emulated here: {theirs.stderr.strip().splitlines()[-1:]}")
    assert theirs.returncode == 0, theirs.stderr
    results = [[line for line in run.stdout.splitlines() if line.startswith("RESULT")] for run in (ours, theirs)]
    assert len(results[0]) == 4
    assert results[0] == results[1]
