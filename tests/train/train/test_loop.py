"""Runs in separate processes: killed and resumed, on several devices, on the other backend."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg_data import open_dataset
from edge_seg_data.scores import dice
from edge_seg_lab.ports import free_port
from edge_seg_train import checkpoint
from edge_seg_train.config import read_config
from edge_seg_train.loop import validation_films
from edge_seg_train.losses import bce_dice_loss
from edge_seg_train.metrics import Overlap
from edge_seg_train.network import build
from edge_seg_train.packing import network_input

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = "--network tiny --depth 1 --size 32 --batch-size 4 --learning-rate 5e-3 --picture-every 1 -q".split()  # noqa: SIM905

# Starts `edge-seg` with the words of each line it reads, in a forked process that already has all modules; prints its
# id, and how it ended. Steps are not compiled, which would take longer than all of them (see `uncompiled`).
SERVER = """
import json, os, sys
import edge_seg_train.loop
import tensorflow as tf
tf.config.run_functions_eagerly(True)
from edge_seg.cli.main import main
for line in sys.stdin:
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        main(json.loads(line))
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""

# Two devices share a run, which is resumed; then one of them is named, and has all weights.
TWO_DEVICES = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from edge_seg.cli.main import main
from edge_seg_train import loop

def edge_seg(*words):
    try:
        main(["train", *words])
    except SystemExit as end:
        assert end.code == 0

build, (first, again, named) = loop.build, json.loads(sys.argv[1])
edge_seg(*first)
edge_seg(*again)

def built(*words, **options):
    model = build(*words, **options)
    assert all("CPU:1" in w.value.device for w in model.weights), model.weights[0].value.device
    return model

loop.build = built
# Step by step, as in `SERVER`.
tf.config.run_functions_eagerly(True)
edge_seg(*named)
"""


TOGETHER = [
    *TINY,
    "--batch-size",
    "8",
    "--epochs",
    "2",
    "--films-per-epoch",
    "16",
    "--structures",
    "right_lung",
]

# Runs `edge-seg` with these words, and prints a checksum of the weights after each epoch.
WEIGHTS = """
import hashlib, sys
import numpy as np
from edge_seg.cli.main import main
from edge_seg_train import checkpoint

save = checkpoint.save

def told(run, model, *words):
    weights = b"".join(np.asarray(weight).tobytes() for weight in model.get_weights())
    print("weights", hashlib.sha256(weights).hexdigest(), flush=True)
    save(run, model, *words)

checkpoint.save = told
main(sys.argv[1:])
"""


def run_python(*words: object, **environment: str) -> None:
    command = [sys.executable, *map(str, words)]
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


def dice_of_best_weights(run: Path) -> float:
    """Dice of the best weights on the validation films, computed independently of the training metrics."""
    config = read_config(run)[0]
    model = build(keras, config.network)
    model.load_weights(run / "best.model.weights.h5")
    films = validation_films(config, [open_dataset(path) for path in config.datasets])
    found = np.asarray(model(network_input(films.grey, 1), training=False)) > 0
    return float(
        np.mean([
            dice(films.labels[i, :, :, k] == 1, found[i, :, :, k], films.labels[i, :, :, k] != 127)
            for i in range(len(films))
            for k in range(found.shape[-1])
        ])
    )  # fmt: skip


class Trainings:
    """Consecutive runs of `edge-seg train`, each in its own process."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, *words: object) -> int:
        """Start a run and return its process id."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(["train", *map(str, words)]) + "\n")
        self._server.stdin.flush()
        return self._said()

    def ended(self) -> int:
        """Wait for it to end and return its exit code, or minus the signal that ended it."""
        return self._said()

    def close(self) -> None:
        self._server.communicate(timeout=60)

    def _said(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


@pytest.fixture
def trainings() -> Iterator[Trainings]:
    made = Trainings()
    yield made
    made.close()


def test_killed_at_three_random_moments_it_ends_as_if_nothing_had_happened(
    chests: Path, tmp_path: Path, trainings: Trainings
) -> None:
    epochs, steps = 6, 4
    words = ["--epochs", str(epochs), "--films-per-epoch", str(4 * steps), *TINY]
    trainings.start(chests, "--out", tmp_path / "whole", *words)
    assert trainings.ended() == 0
    run = tmp_path / "killed"
    moments = random.Random(os.getpid())
    for _ in range(3):
        before = max((p.name for p in (run / "checkpoints").glob("epoch-*")), default="")
        process = trainings.start(chests, "--out", run, *words)
        deadline = time.monotonic() + 120
        # At least one more epoch each time, then anywhere in the following ones.
        while max((p.name for p in (run / "checkpoints").glob("epoch-*")), default="") <= before:
            assert Path(f"/proc/{process}").exists()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.4))
        os.kill(process, signal.SIGKILL)
        assert trainings.ended() == -signal.SIGKILL
    trainings.start(chests, "--out", run, *words)
    assert trainings.ended() == 0
    logs = [log_of(tmp_path / name) for name in ("whole", "killed")]
    assert len(logs[0]) == len(logs[1]) == epochs
    for one, other in zip(*logs, strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=2e-2)
        assert one["learning_rate"] == other["learning_rate"]
    assert steps_of(tmp_path / "whole") == steps_of(run) == epochs * steps
    assert (run / "best.model.weights.h5").exists()


@pytest.fixture(scope="module")
def two_devices(chests: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on two devices that was resumed, and one on a named device."""
    shared, named = (tmp_path_factory.mktemp(name) for name in ("shared", "named"))
    commands = [
        [chests, "--out", shared, "--epochs", 1, "--films-per-epoch", 40, *TINY, "--device", "CPU:0"],
        ["--out", shared, "--epochs", 2, "-q"],
        [chests, "--out", named, "--epochs", 1, "--films-per-epoch", 8, *TINY, "--device", "CPU:1"],
    ]
    commands[0] += ["--device", "CPU:1"]
    run_python("-c", TWO_DEVICES, json.dumps([list(map(str, words)) for words in commands]))
    return shared, named


def test_two_devices_share_a_batch_and_go_on(two_devices: tuple[Path, Path]) -> None:
    run, _ = two_devices
    log = log_of(run)
    assert len(log) == 2
    assert all(np.isfinite(float(entry["loss"])) for entry in log)
    # A step is one batch shared by both devices, not one for each.
    assert steps_of(run) == 20
    assert dice_of_best_weights(run) == pytest.approx(max(float(e["val_dice"]) for e in log), abs=1e-3)


def test_one_device_of_several_can_be_named(two_devices: tuple[Path, Path]) -> None:
    # The place of its weights is asserted when the network is built.
    assert len(log_of(two_devices[1])) == 1


@pytest.fixture(scope="module")
def on_jax(chests: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs on JAX, on one device."""
    pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    run = tmp_path_factory.mktemp("jax")
    run_python("-m", "edge_seg.cli.main", "train", chests, "--out", run, *TOGETHER, KERAS_BACKEND="jax")
    return run


def test_jax_trains_too(on_jax: Path) -> None:
    assert json.loads((on_jax / "config.json").read_text())["backend"] == "jax"
    log = log_of(on_jax)
    assert np.isfinite(float(log[0]["loss"]))
    assert dice_of_best_weights(on_jax) == pytest.approx(max(float(epoch["val_dice"]) for epoch in log), abs=1e-3)


def test_two_processes_on_jax_learn_what_one_does(chests: Path, tmp_path: Path, on_jax: Path) -> None:
    coordinator = f"127.0.0.1:{free_port()}"
    words = [sys.executable, "-c", WEIGHTS, "train", chests, "--out", tmp_path, *TOGETHER]
    processes = [
        subprocess.Popen(
            [*map(str, words), "--process", f"{index}/2", "--coordinator", coordinator],
            env={**os.environ, "KERAS_BACKEND": "jax"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    said = [process.communicate(timeout=600) for process in processes]
    # As one text: pytest shortens those in a list.
    assert [process.returncode for process in processes] == [0, 0], "\n\n".join(errors[-3000:] for _, errors in said)
    weights = [[line for line in output.splitlines() if line.startswith("weights ")] for output, _ in said]
    assert len(weights[0]) == 2
    assert weights[0] == weights[1]
    losses = [[float(epoch["loss"]) for epoch in log_of(run)] for run in (on_jax, tmp_path)]
    # Sums in another order round differently, which grows from step to step.
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-4)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    # What only the first process writes is there, once.
    assert {"best.model.weights.h5", "report.html", "splits.json"} <= {path.name for path in tmp_path.iterdir()}
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["epoch-00002"]
