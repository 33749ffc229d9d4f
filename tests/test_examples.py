"""Every example runs as its first line says, is short, and appears unchanged in docs/reference/api.md."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.phantom import phantom

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(name: str, *words: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_short_documented_and_tested(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    assert f"```python\n{text}```" in (ROOT / "docs" / "reference" / "api.md").read_text()
    assert f'run("{path.stem}"' in Path(__file__).read_text()


@pytest.mark.slow
def test_segment_a_film(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "chest.png"), phantom(512, 480, seed=1).film.pixels)
    said = run("segment_a_film", tmp_path / "chest.png", tmp_path / "results")
    assert "right_lung: " in said
    assert "cardiothoracic: 0." in said
    assert cv2.imread(str(tmp_path / "results" / "chest.overlay.jpg")) is not None


@pytest.mark.slow
def test_segment_many_films(tmp_path: Path) -> None:
    names = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, name in enumerate(names):
        cv2.imwrite(str(name), phantom(256, 240, seed=seed).film.pixels)
    said = run("segment_many_films", *names[:2], tmp_path / "absent.png", names[2]).splitlines()
    assert [line.partition(":")[0] for line in said] == ["0.png", "1.png", "absent.png", "2.png"]
    assert "cannot be read" in said[2]


@pytest.mark.slow
def test_watch_a_folder(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    picture = phantom(256, 240, seed=1).film.pixels
    late = threading.Timer(2, lambda: cv2.imwrite(str(tmp_path / "inbox" / "late.png"), picture))
    late.start()
    said = run("watch_a_folder", tmp_path / "inbox", tmp_path / "results", 1)
    late.join()
    assert "page: http://127.0.0.1:" in said
    assert "1 done, 0 rejected, 0 failed" in said
    assert (tmp_path / "results" / "late.right_lung.png").is_file()


@pytest.mark.slow
def test_films_from_anywhere(tmp_path: Path) -> None:
    chests = [phantom(300, 280, seed=1, phase=phase).film.pixels for phase in (0.0, 0.5)]
    np.save(tmp_path / "stack.npy", np.stack([*chests, np.zeros_like(chests[0])]))
    said = run("films_from_anywhere", tmp_path / "stack.npy", tmp_path / "results")
    assert "2 done, 1 rejected, 0 failed" in said
    assert (tmp_path / "results" / "stack-1.right_lung.png").is_file()


@pytest.mark.slow
def test_benchmark_models(tmp_path: Path) -> None:
    said = run("benchmark_models", tmp_path, "lungs-nano")
    assert f"report: {tmp_path / 'report.html'}" in said
    assert (tmp_path / "report.json").is_file()


@pytest.mark.slow
@pytest.mark.training
def test_train_and_quantize(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    for folder in ("images", "masks"):
        (tmp_path / "films" / folder).mkdir(parents=True)
    for seed in range(20):
        made = phantom(96, 96, seed=seed)
        whole = made.masks["right_lung"] | made.masks["left_lung"]
        cv2.imwrite(str(tmp_path / "films" / "images" / f"{seed}.png"), made.film.pixels)
        cv2.imwrite(str(tmp_path / "films" / "masks" / f"{seed}.png"), np.where(whole, 255, 0).astype(np.uint8))
    said = run("train_and_quantize", tmp_path / "films", tmp_path / "run", tmp_path / "mine.tflite")
    assert "best weights: " in said
    assert (tmp_path / "mine.tflite").is_file()


@pytest.mark.slow
def test_the_tutorial_runs() -> None:
    pytest.importorskip("nbmake")
    pytest.importorskip("ipykernel")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbmake"]
    done = subprocess.run(
        [*words, str(ROOT / "examples" / "tutorial.ipynb")], capture_output=True, text=True, timeout=600
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_tutorial_holds_no_results() -> None:
    cells = json.loads((ROOT / "examples" / "tutorial.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
