"""Memory between steps."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.training

# Allocates and frees 16 blocks of 8 MB, twice, and prints the page faults of the second time.
SCRIPT = """
import ctypes, resource, sys
from edge_seg_train.memory import keep_freed_memory
told = keep_freed_memory() if sys.argv[1] == "told" else None
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(ctypes.c_size_t(8 << 20)) for _ in range(16)]
    for block in blocks:
        ctypes.memset(block, 1, 8 << 20)
    for block in blocks:
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
# The C library learns from the first large blocks it is given back; the third step is like all that follow.
step(), step()
print(told, step())
"""


# Trains for some epochs as `loop.train` does, and prints the page faults of the last.
TRAINING = """
import resource, sys
from dataclasses import replace
from edge_seg_train.memory import keep_freed_memory
told = keep_freed_memory() if sys.argv[1] == "told" else None
import keras, numpy as np
from edge_seg_train.augmentation import NO_AUGMENTATION
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.drawing import Drawing
from edge_seg_train.losses import LOSSES
from edge_seg_train.network import PRESETS, build
from edge_seg_train.packing import PackedFilms
config = replace(PRESETS["lungs"], height=128, width=160)
model = build(keras, config)
model.compile("adam", loss=LOSSES["bce+dice"])
model.optimizer.build(model.trainable_variables)
grey, labels = np.zeros((8, 128, 160), np.uint8), np.zeros((8, 128, 160, 3), np.uint8)
films = PackedFilms(grey, labels, ("",) * 8, np.zeros(8, int), np.ones(8, bool))
batches = TrainingBatches(Drawing(films, 8, 4, NO_AUGMENTATION), workers=2)
counts = []
class Count(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
model.fit(batches, epochs=4, verbose=0, callbacks=[Count()], shuffle=False)
print(told, counts[-1] - counts[-2])
"""


def faults(script: str, how: str) -> tuple[str, int]:
    # The parent process may already have set it for its own TensorFlow.
    clean = {name: value for name, value in os.environ.items() if name != "TF_CPU_ALLOCATOR_USE_BFC"}
    words = [sys.executable, "-c", script, how]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=clean)
    told, count = done.stdout.split()
    return told, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told")
def test_memory_that_a_step_gave_back_is_there_for_the_next() -> None:
    told, kept = faults(SCRIPT, "told")
    assert told == "True"
    assert kept < faults(SCRIPT, "untold")[1] / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told")
def test_training_takes_no_new_memory_once_it_runs() -> None:
    pytest.importorskip("tensorflow")
    assert faults(TRAINING, "told")[1] < faults(TRAINING, "untold")[1] / 10
