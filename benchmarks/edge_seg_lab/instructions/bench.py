"""Runs the workload on emulated cores, a process at a time."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import edge_seg
import edge_seg_benchmarks
import numpy as np
from edge_seg.errors import DeviceError
from edge_seg.model_file import ModelFile
from edge_seg.typed_json import parse_object, read_fields
from edge_seg_benchmarks.models import label

import edge_seg_lab
from edge_seg_lab.instructions.counter import build_plugin, plugin_with_counter
from edge_seg_lab.instructions.emulator import Arm64Python

_WARM_UP = 2
_LONGEST = 3600
"""Time limit of one process in seconds; float32 is slow, since the emulator computes each number separately."""


@dataclass(frozen=True)
class Counted:
    """What one process counted.

    Attributes:
        versions: of Python and its packages.
        films: instructions of each film by stage, and of the whole as `film`.
    """

    versions: dict[str, str]
    films: tuple[dict[str, int], ...]


class Bench:
    """Counts the instructions of models on one film.

    Args:
        python: the emulated Python.
        folder: an empty folder, for all inputs and outputs.
        pixels: of the film, `(height, width)` uint8 or uint16, bone white.

    Attributes:
        masks: `.npz` with the masks of the last model.

    Raises:
        DeviceError: the plugin cannot be built here.
    """

    def __init__(self, python: Arm64Python, folder: Path, pixels: np.ndarray) -> None:
        self._python, self._plugin = python, build_plugin(folder)
        self._counter, self._packages = folder / "counter", folder / "packages"
        self._film, self._model, self.masks = folder / "film.npy", folder / "model.tflite", folder / "masks.npz"
        np.save(self._film, pixels)
        # Only these packages: others are built for this machine's processor. Copied, so that every process runs the
        # same code, however long the count takes.
        for package in (edge_seg, edge_seg_benchmarks, edge_seg_lab):
            source, without = Path(str(package.__file__)).parent, shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, self._packages / package.__name__, ignore=without)

    def count(self, model: ModelFile, core: str, repeats: int) -> Counted:
        """Run `workload.main` in a new process.

        Raises:
            DeviceError: the process fails or does not end.
            UsageError: the core is unknown.
        """
        self._model.write_bytes(model.to_bytes())
        words = [self._counter, self._model, self._film, self.masks, _WARM_UP, repeats]
        script = ["-m", "edge_seg_lab.instructions.workload", *map(str, words)]
        command = self._python.command(core, script, plugin_with_counter(self._plugin, self._counter))
        # The order of sets and the number of threads change the counts.
        environment = self._python.environment([self._packages], {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"})
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LONGEST)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"{label(model)} on {core} ran for {_LONGEST} s: choose a smaller model") from error
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise DeviceError(f"{label(model)} cannot be counted on {core} ({said[0]}): choose another core")
        return read_fields(Counted, parse_object(done.stdout.splitlines()[-1]))
