"""A film that kills the program is set aside after three deaths; films beside it and power cuts are not blamed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

# Kills itself as a broken codec would, in the requested stage and boot.
POISONED = """
import os, signal, sys
from edge_seg.outputs.folder import OutputFolder
from edge_seg.sources import attempts, files

stage, boot, *words = sys.argv[1:]
attempts.boot_id = lambda: boot

def deadly(work, name_of):
    def run(*values):
        if "poison" in name_of(values):
            os.kill(os.getpid(), signal.SIGSEGV)
        return work(*values)
    return run

if stage == "read":
    files.read_film = deadly(files.read_film, lambda values: values[0].name)
if stage == "write":
    OutputFolder.write_files = deadly(OutputFolder.write_files, lambda values: values[1].film.name)
sys.argv = ["edge-seg", *words]
from edge_seg.cli.main import main
sys.exit(main())
"""


def start(stage: str, boot: str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", POISONED, stage, boot, "run", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def records(out: Path) -> dict[str, list[str]]:
    path = out / "records.jsonl"
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        record = json.loads(line)
        found.setdefault(record["name"], []).append(record["status"])
    return found


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "poison", "x", "y")):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((64, 80), 10 + number, np.uint8))
    return folder


@pytest.mark.parametrize("stage", ["read", "write"])
@pytest.mark.parametrize("way", ["files", "watch"])
def test_three_deaths_and_it_is_set_aside(films: Path, tmp_path: Path, tiny_model: Path, stage: str, way: str) -> None:
    out = tmp_path / "out"
    given = ["--watch", films, "--frames", 4] if way == "watch" else [films]
    words = [*given, "--model", tiny_model, "--out", out, "--no-gate", "--save", "record", "-q"]
    deaths = 0
    for _ in range(6):
        process = start(stage, "boot", *words)
        _, said = process.communicate(timeout=300)
        if process.returncode != -signal.SIGSEGV:
            break
        deaths += 1
    assert deaths == 3, said
    found = records(out)
    assert found.pop("poison.png") == ["failed"]
    assert found == {f"{name}.png": ["done"] for name in "abxy"}
    # The next start does not try it again.
    if way == "files":
        process = start(stage, "boot", *words)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 3, said
        assert "3 times" in said


def test_power_cuts_with_a_film_in_hand_set_nothing_aside(films: Path, tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    words = [films, "--model", tiny_model, "--out", out, "--no-gate", "--save", "record", "-q"]
    for number in range(5):
        process = start("read", f"boot {number}", *words)
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGSEGV
    process = start("nowhere", "boot 5", *words)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert records(out)["poison.png"] == ["done"]


def test_a_program_that_is_stopped_in_good_order_blames_no_film(tmp_path: Path, films: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    words = ["--watch", films, "--model", tiny_model, "--out", out, "--no-gate", "--save", "record", "-q"]
    process = start("nowhere", "boot", *words)
    end = time.monotonic() + 300
    while len(records(out)) < 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert not list(out.glob("attempts/*"))
