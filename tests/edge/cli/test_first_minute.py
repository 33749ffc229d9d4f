"""What a new user sees in the first minute: the result itself, what to check, and where everything is."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.address import reachable_host
from edge_seg.assessment.trust import Calibration
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.phantom.breath import STEPS, breath_frame
from edge_seg.sources import DemoCamera

COMMAND = [sys.executable, "-m", "edge_seg"]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "run", *map(str, words)], capture_output=True, text=True, timeout=120)


@contextmanager
def running(*words: object) -> Iterator[list[str]]:
    """The lines of a command's standard error up to the one that says it is ready."""
    process = subprocess.Popen([*COMMAND, "run", *map(str, words)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    guard = threading.Timer(120, process.kill)
    guard.start()
    try:
        said = []
        for line in process.stderr:
            said.append(line.rstrip())
            if line.startswith("ready: "):
                break
        yield said
    finally:
        process.terminate()
        process.communicate(timeout=60)
        guard.cancel()


@pytest.fixture(scope="module")
def doubtful_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that trusts none of its own outlines."""
    file = ModelFile.read(tiny_model)
    trust = Calibration(("coverage",), (0.0,), (1.0,), (0.0,), -1.0, {})
    path = tmp_path_factory.mktemp("doubtful") / "doubtful.tflite"
    path.write_bytes(ModelFile(replace(file.manifest, trust=trust.to_json()), file.flatbuffer).to_bytes())
    return path


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    path = tmp_path / "chest.png"
    cv2.imwrite(str(path), phantom(300, 280, seed=1).film.pixels)
    return path


def test_one_film_ends_with_its_result(chest: Path, tmp_path: Path) -> None:
    seen = run(chest, "--out", tmp_path / "out")
    assert seen.returncode == 0, seen.stderr
    rows = dict(line.split("  ", 1) for line in seen.stdout.splitlines())
    assert {"right lung", "left lung", "cardiothoracic ratio", "estimated Dice"} <= set(rows)
    assert Path(rows["overlay"].strip()).is_file()
    assert "px" in rows["right lung"]
    assert "ms a film (inference " in seen.stderr
    assert "films a second" in seen.stderr
    assert "1 done, 0 failed" in seen.stderr


@pytest.mark.slow
def test_films_of_low_trust_are_counted_and_named_with_the_reason(
    chest: Path, doubtful_model: Path, tmp_path: Path
) -> None:
    seen = run(chest, "--model", doubtful_model, "--out", tmp_path / "out")
    assert seen.returncode == 0, seen.stderr
    assert "1 done, 1 to check, 0 failed" in seen.stderr
    assert f"edge-seg: to check: {chest}: low trust, estimated Dice 0.27" in seen.stderr
    assert "(low: check every number above)" in seen.stdout
    again = run(chest, "--model", doubtful_model, "--out", tmp_path / "out")
    assert again.stdout == seen.stdout
    assert "0 done, 0 failed, 1 done before (1 to check; --again repeats them)" in again.stderr
    many = tmp_path / "films"
    many.mkdir()
    for number in range(12):
        (many / f"{number:02d}.png").write_bytes(chest.read_bytes())
    batch = run(many, "--model", doubtful_model, "--out", tmp_path / "many")
    assert batch.stdout == ""
    assert "12 done, 12 to check, 0 failed" in batch.stderr
    assert "and 2 more to check: see " in batch.stderr


@pytest.mark.slow
def test_what_is_rejected_says_why_in_place_of_numbers(tmp_path: Path) -> None:
    made = phantom(300, 280, seed=1).masks
    cv2.imwrite(str(tmp_path / "mask.png"), np.where(made["right_lung"], np.uint8(255), np.uint8(0)))
    seen = run(tmp_path / "mask.png", "--out", tmp_path / "out")
    assert seen.returncode == 3
    assert "a mask or a drawing, no film" in seen.stdout
    assert "px" not in seen.stdout
    assert "0 done, 0 failed, 1 rejected" in seen.stderr
    again = run(tmp_path / "mask.png", "--out", tmp_path / "out")
    assert again.stdout == seen.stdout
    assert "1 done before (1 rejected; --again repeats them)" in again.stderr


def test_an_accelerator_that_is_asked_for_and_absent_is_told(chest: Path, tiny_model: Path, tmp_path: Path) -> None:
    seen = run(chest, "--model", tiny_model, "--out", tmp_path / "out", "--delegate", "edgetpu")
    assert "edge-seg: ran on the CPU, not on the Edge TPU: " in seen.stderr


@pytest.mark.slow
def test_quiet_prints_nothing_and_json_the_record_alone(chest: Path, tiny_model: Path, tmp_path: Path) -> None:
    quiet = run(chest, "--model", tiny_model, "--out", tmp_path / "out", "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    json = run(chest, "--model", tiny_model, "--out", tmp_path / "out", "--json", "--again")
    assert len(json.stdout.splitlines()) == 1


@pytest.mark.slow
def test_a_station_says_that_it_is_ready_and_where(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom")
    (tmp_path / "inbox").mkdir()
    words = ["--watch", tmp_path / "inbox", "--listen", "0", "--ae-title", "BOX", "--view", "0.0.0.0:0"]
    with running(*words, "--model", tiny_model, "--out", tmp_path / "out") as said:
        ready = said[-1]
        page = next(line for line in said if line.startswith("page: "))
    assert f"folder {tmp_path / 'inbox'}" in ready
    assert "DICOM at 127.0.0.1:" in ready
    assert "(AE title BOX)" in ready
    assert f"results in {tmp_path / 'out'}; Ctrl-C ends it" in ready
    # A browser on a phone cannot go to 0.0.0.0.
    assert "//0.0.0.0" not in page
    assert f"//{reachable_host('0.0.0.0')}:" in page
    assert "?token=" in page


def test_on_a_terminal_the_address_is_a_picture_for_a_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from edge_seg.cli import ready

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    ready._say_qr_code("http://192.0.2.7:8080/?token=abc")
    assert len(terminal.getvalue().splitlines()) > 10


def test_the_frames_of_the_demo_are_the_phantoms_own() -> None:
    painted = phantom(1024, 1024, seed=0, phase=3 / STEPS).film.pixels
    for number in (3, 9, 15):
        assert np.abs(breath_frame(number).astype(int) - painted).mean() < 4
    frames = [arrival.content for arrival in DemoCamera(2) if arrival is not None]
    assert [frame.name for frame in frames] == ["demo-000001.png", "demo-000002.png"]
