"""The masks of the shipped model are the same bytes on 64-bit ARM.

Needs Python for arm64: a command in EDGE_SEG_ARM64_PYTHON that takes a working folder, `--`, and Python's arguments,
and heeds REQ (pip requirements) and EXTRA (folders for PYTHONPATH), as the emulation script beside the shared
radiographs does.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from edge_seg.model_file import ModelFile

pytestmark = [pytest.mark.device, pytest.mark.slow]

SHAPES = ((300, 333, 8), (350, 333, 16), (400, 250, 8), (512, 480, 16))

MAKE = """
import sys
import numpy as np
from edge_seg.phantom import phantom
shapes = [tuple(map(int, words.split(","))) for words in sys.argv[2:]]
films = [phantom(height, width, seed=seed, bits=bits).film.pixels for seed, (height, width, bits) in enumerate(shapes)]
np.savez(sys.argv[1], *films)
"""

SEGMENT = """
import hashlib, platform, sys
import numpy as np
from edge_seg import Film, Segmenter
segmenter = Segmenter.load("lungs", threads=1, engine="litert")
print("MACHINE", platform.machine(), segmenter.runtime.name)
for film in np.load(sys.argv[1]).values():
    tensor, _ = segmenter.prepare(Film(film))
    result = segmenter(film)
    masks = b"".join(mask.tobytes() for mask in result.masks.values())
    areas = sum(int(mask.sum()) for mask in result.masks.values())
    print("RESULT", hashlib.sha256(tensor.tobytes()).hexdigest(), hashlib.sha256(masks).hexdigest(), areas)
"""


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> list[str]:
    """The command that runs Python for arm64, or a skip that says why there is none."""
    named = os.environ.get("EDGE_SEG_ARM64_PYTHON")
    if named:
        return shlex.split(named)
    films_folder: Path = request.getfixturevalue("films_folder")
    script = films_folder.parent / "tools" / "arm64-python"
    if not script.is_file():
        pytest.skip("no Python for arm64 here: set EDGE_SEG_ARM64_PYTHON to a command that runs it")
    return [str(script)]


def lines(text: str, word: str) -> list[list[str]]:
    return [line.split()[1:] for line in text.splitlines() if line.startswith(word)]


def test_masks_are_the_same_bytes_as_here(emulator: list[str], lungs: ModelFile, tmp_path: Path) -> None:
    home = Path(__file__).parents[2] / "edge"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-seg-tests" / "arm64"
    litert = importlib.metadata.version("ai-edge-litert")
    there = {
        **os.environ,
        "EXTRA": str(home),
        "REQ": f"numpy>=2,<3 ai-edge-litert=={litert} opencv-python-headless==4.14.0.94 click flatbuffers pydicom",
    }
    begun = subprocess.run(
        [*emulator, str(cache), "--", "-c", "print('up')"], env=there, capture_output=True, text=True
    )
    if begun.returncode:
        last = begun.stderr.strip().splitlines()[-1:] or ["no reason given"]
        pytest.skip(f"Python for arm64 cannot be run here: {last[0]}")

    films = tmp_path / "films.npz"
    here = {**os.environ, "PYTHONPATH": str(home)}
    shapes = [f"{height},{width},{bits}" for height, width, bits in SHAPES]
    subprocess.run([sys.executable, "-c", MAKE, films, *shapes], env=here, check=True)
    ours = subprocess.run([sys.executable, "-c", SEGMENT, films], env=here, check=True, capture_output=True, text=True)
    command = [*emulator, str(cache), "--", "-c", SEGMENT, str(films)]
    theirs = subprocess.run(command, env=there, capture_output=True, text=True, timeout=600)
    assert theirs.returncode == 0, theirs.stderr
    assert lines(theirs.stdout, "MACHINE") == [["aarch64", "litert", litert]]
    results = lines(ours.stdout, "RESULT")
    assert len(results) == len(SHAPES)
    assert all(int(areas) > 0 for _, _, areas in results), "empty masks would prove nothing"
    assert lines(theirs.stdout, "RESULT") == results
