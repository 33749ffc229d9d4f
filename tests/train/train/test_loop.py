"""Runs in processes of their own: killed and resumed, on several devices, on the other backend."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg_data import open_dataset
from edge_seg_data.scores import dice
from edge_seg_train import checkpoint
from edge_seg_train.config import read_config
from edge_seg_train.loop import validation_films
from edge_seg_train.losses import bce_dice_loss
from edge_seg_train.metrics import Overlap
from edge_seg_train.network import build
from edge_seg_train.packing import network_input

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = "--network tiny --size 32 --batch-size 4 --learning-rate 0.005 --picture-every 1 -q".split()  # noqa: SIM905

TWO_DEVICES = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from edge_seg.cli.main import main
main(sys.argv[1:])
"""


def train(*words: object, start: tuple[str, ...] = ("-m", "edge_seg.cli.main"), **environment: str) -> None:
    command = [sys.executable, *start, "train", *map(str, words)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def steps_of(run: Path) -> int:
    found = checkpoint.newest(run)
    assert found is not None
    names = {"bce_dice_loss": bce_dice_loss, "Overlap": Overlap}
    return int(keras.models.load_model(found.model, custom_objects=names).optimizer.iterations)


def go_on_to(run: Path, epochs: int) -> None:
    """Make a finished run one that was stopped before its end."""
    raw = json.loads((run / "config.json").read_text())
    raw["config"]["epochs"] = epochs
    (run / "config.json").write_text(json.dumps(raw))


def dice_of_best_weights(run: Path) -> float:
    """Dice of the best weights on the validation films, by other means than the metrics of training."""
    config = read_config(run)[0]
    model = build(keras, config.network)
    model.load_weights(run / "best.model.weights.h5")
    films = validation_films(config, [open_dataset(path) for path in config.datasets])
    found = model.predict(network_input(films.grey, 1), verbose=0) > 0
    return float(
        np.mean([
            dice(films.labels[i, :, :, k] == 1, found[i, :, :, k], films.labels[i, :, :, k] != 127)
            for i in range(len(films))
            for k in range(found.shape[-1])
        ])
    )  # fmt: skip


def test_killed_at_three_random_moments_it_ends_as_if_nothing_had_happened(chests: Path, tmp_path: Path) -> None:
    epochs, steps = 8, 10
    words = ["--epochs", str(epochs), "--films-per-epoch", str(4 * steps), *TINY]
    train(chests, "--out", tmp_path / "whole", *words)
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "edge_seg.cli.main", "train", str(chests), "--out", str(run), *words]
    moments = random.Random(os.getpid())
    for _ in range(3):
        before = max((p.name for p in (run / "checkpoints").glob("epoch-*")), default="")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        # At least one more epoch each time, then anywhere in the next ones.
        while max((p.name for p in (run / "checkpoints").glob("epoch-*")), default="") <= before:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.wait()
    train(chests, "--out", run, *words)
    logs = [log_of(tmp_path / name) for name in ("whole", "killed")]
    assert len(logs[0]) == len(logs[1]) == epochs
    for one, other in zip(*logs, strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=2e-2)
        assert one["learning_rate"] == other["learning_rate"]
    assert steps_of(tmp_path / "whole") == steps_of(run) == epochs * steps
    assert (run / "best.model.weights.h5").exists()


def test_two_devices_share_a_batch_and_go_on(chests: Path, tmp_path: Path) -> None:
    words = [chests, "--out", tmp_path, "--epochs", "1", "--films-per-epoch", "40", *TINY]
    train(*words, "--device", "CPU:0", "--device", "CPU:1", start=("-c", TWO_DEVICES))
    go_on_to(tmp_path, 2)
    train("--out", tmp_path, "-q", start=("-c", TWO_DEVICES))
    log = log_of(tmp_path)
    assert len(log) == 2
    assert all(np.isfinite(float(entry["loss"])) for entry in log)
    # A step is one batch shared by both devices, not one for each.
    assert steps_of(tmp_path) == 20
    assert dice_of_best_weights(tmp_path) == pytest.approx(max(float(e["val_dice"]) for e in log), abs=1e-3)


def test_one_device_of_several_can_be_named(chests: Path, tmp_path: Path) -> None:
    words = [chests, "--out", tmp_path, "--epochs", "1", "--films-per-epoch", "8", *TINY]
    script = TWO_DEVICES.replace(
        "main(sys", "from edge_seg_train import loop\nbuild = loop.build\n"
        "def built(*words, **options):\n    model = build(*words, **options)\n"
        "    assert all('CPU:1' in w.value.device for w in model.weights), model.weights[0].value.device\n"
        "    return model\n"
        "loop.build = built\nmain(sys",
    )  # fmt: skip
    train(*words, "--device", "CPU:1", start=("-c", script))
    assert len(log_of(tmp_path)) == 1


@pytest.mark.parametrize("devices", [1, 2])
def test_jax_trains_too(chests: Path, tmp_path: Path, devices: int) -> None:
    pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    flags = f"--xla_force_host_platform_device_count={devices}"
    words = ["--epochs", "1", "--films-per-epoch", "40", *TINY]
    train(chests, "--out", tmp_path, *words, KERAS_BACKEND="jax", XLA_FLAGS=flags)
    assert json.loads((tmp_path / "config.json").read_text())["backend"] == "jax"
    log = log_of(tmp_path)
    assert np.isfinite(float(log[0]["loss"]))
    assert dice_of_best_weights(tmp_path) == pytest.approx(float(log[0]["val_dice"]), abs=1e-3)
