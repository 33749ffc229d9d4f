"""Runs end to end: every reader, kill and resume, several devices, the other backend."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.phantom import phantom

pytest.importorskip("keras")

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = "--network tiny --size 32 --batch-size 4 --learning-rate 0.005 --picture-every 1 -q".split()  # noqa: SIM905


def edge_seg(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli.main", *map(str, words)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600)


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "chests"
    for i in range(12):
        made = phantom(64, 60, seed=i)
        for name, picture in {"images": made.film.pixels, **made.masks}.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{i}.png"), picture if name == "images" else picture * np.uint8(255))
    return folder


def layouts() -> object:
    """The makers of the readers' own tests: the same files, laid out exactly as the sets are."""
    path = Path(__file__).parents[1] / "edge" / "test_datasets.py"
    spec = importlib.util.spec_from_file_location("laid_out_sets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("layout", ["montgomery", "pairs", "tumours"])
def test_a_tiny_run_on_each_published_layout(layout: str, tmp_path: Path) -> None:
    folder = getattr(layouts(), layout)(tmp_path / "data")
    done = edge_seg("train", folder, "--out", tmp_path / "run", "--epochs", 2, *TINY)
    assert done.returncode == 0, done.stderr
    log = log_of(tmp_path / "run")
    assert len(log) == 2
    assert {"dice", "iou", "recall", "precision", "loss", "val_dice", "learning_rate"} <= log[0].keys()
    assert all(np.isfinite(float(entry["loss"])) for entry in log)
    assert (tmp_path / "run" / "best.model.weights.h5").stat().st_size > 0
    assert len(list((tmp_path / "run" / "pictures").glob("*.png"))) == 2
    assert list((tmp_path / "run" / "tensorboard").rglob("events*"))
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["code_version"]
    assert stored["data"][0]["train"] >= 8


def test_the_seed_preset_trains_with_the_seeds_settings(chests: Path, tmp_path: Path) -> None:
    words = [
        "--network",
        "seed",
        "--size",
        "64",
        "--epochs",
        "1",
        "--films-per-epoch",
        "4",
        "--picture-every",
        "0",
        "-q",
    ]
    done = edge_seg("train", chests, "--out", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["loss"], config["learning_rate"], config["batch_size"]) == ("dice", 1e-5, 2)
    assert (config["schedule"], config["plateau_factor"], config["plateau_patience"]) == ("plateau", 0.1, 5)


def test_killed_at_three_random_moments_it_ends_as_if_nothing_had_happened(chests: Path, tmp_path: Path) -> None:
    epochs, words = 8, ["--epochs", "8", "--films-per-epoch", "40", *TINY]
    whole = edge_seg("train", chests, "--out", tmp_path / "whole", *words)
    assert whole.returncode == 0, whole.stderr
    command = [
        sys.executable,
        "-m",
        "edge_seg.cli.main",
        "train",
        str(chests),
        "--out",
        str(tmp_path / "killed"),
        *words,
    ]
    moments, kills = random.Random(os.getpid()), 0
    checkpoints = tmp_path / "killed" / "checkpoints"
    while kills < 3:
        before = max((p.name for p in checkpoints.glob("epoch-*")), default="")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        # At least one more epoch each time, then anywhere in the next ones.
        while max((p.name for p in checkpoints.glob("epoch-*")), default="") <= before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.wait()
        kills += 1
    done = edge_seg("train", chests, "--out", tmp_path / "killed", *words)
    assert done.returncode == 0, done.stderr
    logs = [log_of(tmp_path / name) for name in ("whole", "killed")]
    assert len(logs[0]) == len(logs[1]) == epochs
    for one, other in zip(*logs, strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=2e-2)
        assert one["learning_rate"] == other["learning_rate"]
    count = (
        "import sys, keras; from edge_seg_train.losses import bce_dice_loss as f;"
        "from edge_seg_train.metrics import Overlap;"
        "m = keras.models.load_model(sys.argv[1], custom_objects={'bce_dice_loss': f, 'Overlap': Overlap});"
        "print('STEPS', int(m.optimizer.iterations))"
    )
    steps = [
        subprocess.run(
            [sys.executable, "-c", count, tmp_path / name / "checkpoints" / f"epoch-{epochs:05d}" / "model.keras"],
            capture_output=True, text=True, check=True,
        ).stdout.split("STEPS")[1].strip()
        for name in ("whole", "killed")
    ]  # fmt: skip
    assert steps == [str(epochs * 10)] * 2
    assert (tmp_path / "killed" / "best.model.weights.h5").exists()


def test_a_run_goes_on_by_itself_and_refuses_other_settings(chests: Path, tmp_path: Path) -> None:
    words = ["--epochs", "1", "--films-per-epoch", "8", *TINY]
    assert edge_seg("train", chests, "--out", tmp_path, *words).returncode == 0
    assert edge_seg("train", "--out", tmp_path, "-q").returncode == 0
    other = edge_seg("train", chests, "--out", tmp_path, *words, "--loss", "dice")
    assert other.returncode == 2
    assert "other settings (loss)" in other.stderr


def test_two_devices_share_a_batch(chests: Path, tmp_path: Path) -> None:
    script = """
import sys, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from edge_seg.cli.main import main
main(sys.argv[1:])
"""
    words = ["train", chests, "--out", tmp_path, "--epochs", "2", "--films-per-epoch", "16", *TINY]
    command = [sys.executable, "-c", script, *map(str, words), "--device", "CPU:0", "--device", "CPU:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(log_of(tmp_path)) == 2


def test_mixed_precision(chests: Path, tmp_path: Path) -> None:
    words = ["--epochs", "1", "--films-per-epoch", "8", "--mixed-precision", *TINY]
    done = edge_seg("train", chests, "--out", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(float(log_of(tmp_path)[0]["loss"]))


def test_jax_trains_too(chests: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    words = ["--epochs", "1", "--films-per-epoch", "8", *TINY]
    done = edge_seg("train", chests, "--out", tmp_path, *words, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "config.json").read_text())["backend"] == "jax"
