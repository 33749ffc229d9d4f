"""The masks of the shipped model are the same bytes on 64-bit ARM.

Needs Python for arm64: `edge_seg_lab.instructions.arm64` emulates it on Debian and Ubuntu, and
EDGE_SEG_ARM64_PYTHON may name another command that takes a working folder, `--`, and Python's arguments, and reads REQ
(pip requirements) and EXTRA (folders for PYTHONPATH).
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
from edge_seg.phantom import phantom, write_dicom

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
segmenter = Segmenter.load("lungs", threads=1, engine="litert", gate=False)
print("MACHINE", platform.machine(), segmenter.runtime.name)
for film in np.load(sys.argv[1]).values():
    tensor, _ = segmenter.prepare(Film(film))
    result = segmenter(film)
    masks = b"".join(mask.tobytes() for mask in result.masks.values())
    areas = sum(int(mask.sum()) for mask in result.masks.values())
    print("RESULT", hashlib.sha256(tensor.tobytes()).hexdigest(), hashlib.sha256(masks).hexdigest(), areas)
"""


@pytest.fixture
def emulator() -> list[str]:
    """The command that runs Python for arm64."""
    named = os.environ.get("EDGE_SEG_ARM64_PYTHON")
    return shlex.split(named) if named else [sys.executable, "-m", "edge_seg_lab.instructions.arm64"]


CLINIC = """
import hashlib, platform, sys, threading
from pathlib import Path
import cv2, pydicom, pynetdicom
from edge_seg import Film, Segmenter
from edge_seg.outputs.folder import OutputFolder
from edge_seg.station.session import run_session
from edge_seg.sources import Inbox, Listener

out, film = Path(sys.argv[1]), pydicom.dcmread(sys.argv[2])
segmenter = Segmenter.load("lungs", threads=1, engine="litert", gate=False)
listener = Listener("0", Inbox(out / "inbox"), 1)

def send():
    scanner = pynetdicom.AE("SCANNER")
    scanner.acse_timeout = scanner.dimse_timeout = scanner.network_timeout = 300
    scanner.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
    association = scanner.associate("127.0.0.1", listener.port, ae_title="EDGESEG")
    print("STATUS", association.send_c_store(film).Status)
    association.release()

sender = threading.Thread(target=send)
sender.start()
summary = run_session(listener, segmenter, OutputFolder(out, ["mask", "record", "dicom"]))
sender.join()
print("MACHINE", platform.machine(), summary.done)
for path in sorted(out.glob("*.png")):
    print("MASK", path.name, hashlib.sha256(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tobytes()).hexdigest())
segmentation = pydicom.dcmread(next(out.glob("*.seg.dcm")))
print("SEG", segmentation.SOPInstanceUID, hashlib.sha256(segmentation.PixelData).hexdigest())
"""

DEVICE = "numpy>=2,<3 ai-edge-litert=={litert} opencv-python-headless==4.14.0.94 click flatbuffers pydicom"


def lines(text: str, word: str) -> list[list[str]]:
    return [line.split()[1:] for line in text.splitlines() if line.startswith(word)]


def environment(emulator: list[str], name: str, requirements: str) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """Command of a Python for arm64 with these requirements and this checkout; its environment, and ours.

    Our own emulation keeps several sets of requirements in one folder, shared with the benchmark tests; another command
    may not, so it gets a folder by `name`.
    """
    home = Path(__file__).parents[2] / "edge"
    folder = name if os.environ.get("EDGE_SEG_ARM64_PYTHON") else "emulation"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-seg-tests" / folder
    there = {**os.environ, "EXTRA": str(home), "REQ": requirements}
    begun = subprocess.run(
        [*emulator, str(cache), "--", "-c", "print('up')"], env=there, capture_output=True, text=True
    )
    if begun.returncode:
        last = begun.stderr.strip().splitlines()[-1:] or ["no reason given"]
        pytest.skip(f"Python for arm64 cannot be run here: {last[0]}")
    return [*emulator, str(cache), "--"], there, {**os.environ, "PYTHONPATH": str(home)}


def test_masks_are_the_same_bytes_as_here(emulator: list[str], lungs: ModelFile, tmp_path: Path) -> None:
    litert = importlib.metadata.version("ai-edge-litert")
    python, there, here = environment(emulator, "arm64", DEVICE.format(litert=litert))
    films = tmp_path / "films.npz"
    shapes = [f"{height},{width},{bits}" for height, width, bits in SHAPES]
    subprocess.run([sys.executable, "-c", MAKE, films, *shapes], env=here, check=True)
    ours = subprocess.run([sys.executable, "-c", SEGMENT, films], env=here, check=True, capture_output=True, text=True)
    command = [*python, "-c", SEGMENT, str(films)]
    theirs = subprocess.run(command, env=there, capture_output=True, text=True, timeout=600)
    assert theirs.returncode == 0, theirs.stderr
    assert lines(theirs.stdout, "MACHINE") == [["aarch64", "litert", litert]]
    results = lines(ours.stdout, "RESULT")
    assert len(results) == len(SHAPES)
    assert all(int(areas) > 0 for _, _, areas in results), "empty masks would prove nothing"
    assert lines(theirs.stdout, "RESULT") == results


def test_a_film_comes_in_by_dicom_and_goes_out_as_a_segmentation_with_the_same_bytes(
    emulator: list[str], lungs: ModelFile, tmp_path: Path
) -> None:
    pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")
    versions = {
        name: importlib.metadata.version(name) for name in ("pynetdicom", "highdicom", "pydicom", "ai-edge-litert")
    }
    wanted = DEVICE.format(litert=versions["ai-edge-litert"])
    wanted += f"=={versions['pydicom']} pynetdicom=={versions['pynetdicom']} highdicom=={versions['highdicom']}"
    python, there, here = environment(emulator, "arm64-clinic", wanted)
    film = tmp_path / "film.dcm"
    write_dicom(phantom(400, 360, seed=1), film)
    ours, theirs = (
        subprocess.run(
            [*command, "-c", CLINIC, str(tmp_path / folder), str(film)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=600,
        )
        for command, environ, folder in (([sys.executable], here, "ours"), (python, there, "theirs"))
    )
    assert ours.returncode == 0, ours.stderr
    assert theirs.returncode == 0, theirs.stderr
    assert lines(theirs.stdout, "MACHINE") == [["aarch64", "1"]]
    assert lines(theirs.stdout, "STATUS") == [["0"]]
    assert len(lines(ours.stdout, "MASK")) == len(lungs.manifest.structures)
    for kind in ("MASK", "SEG"):
        assert lines(theirs.stdout, kind) == lines(ours.stdout, kind)
