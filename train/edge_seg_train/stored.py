"""A run's settings in its folder: written once, and compared before the run resumes."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import edge_seg_train.quiet  # noqa: F401  # isort: skip  (before TensorFlow is imported)

import keras
from edge_seg import __version__
from edge_seg.errors import UsageError
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset

from edge_seg_train.config import CONFIG_NAME, TrainConfig, read_config
from edge_seg_train.drawing import RECIPE


def code_version() -> str:
    """Version of edge-seg, with the commit if the code runs from its own checkout."""
    file = Path(__file__)

    def git(*words: str) -> str:
        command = ["git", *words]
        done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        # An installation may be inside another project's repository.
        git("ls-files", "--error-unmatch", file.name)
        commit = git("describe", "--always", "--dirty")
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{commit}"


def refuse_other_settings(config: TrainConfig, run: Path, write: bool = True) -> None:
    """Refuse to resume a run with other settings; more epochs and `skip_bad` are allowed.

    Args:
        config: to resume with.
        run: folder of the run.
        write: whether this process writes to the folder, which several may share.

    Raises:
        UsageError: the folder holds a run with other settings.
    """
    if not (run / CONFIG_NAME).exists():
        return
    known, record = read_config(run)
    stored = known.to_json()
    different = [name for name, value in config.to_json().items() if value != stored[name]]
    if different and set(different) <= {"epochs", "skip_bad"} and config.epochs >= known.epochs:
        # More epochs than planned, or a film that turned out to be damaged: the run resumes.
        record["config"] |= {"epochs": config.epochs, "skip_bad": config.skip_bad}
        if write:
            write_atomically(run / CONFIG_NAME, (json.dumps(record, indent=2) + "\n").encode())
        return
    if different:
        raise UsageError(
            f"{run} holds a run with other settings ({', '.join(different)}): repeat them, or choose another --out"
        )


def store_config(config: TrainConfig, datasets: list[Dataset], run: Path) -> None:
    """Write a run's configuration and what its data sets hold, unless already written."""
    if (run / CONFIG_NAME).exists():
        return
    record = {
        "config": config.to_json(),
        "code_version": code_version(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "recipe": RECIPE,
        "python": platform.python_version(),
        "data": [
            {
                "name": d.name,
                "layout": d.layout,
                **{s: len(d.split(s)) for s in ("train", "val", "test")},
                **d.facts,
            }
            for d in datasets
        ],
    }
    write_atomically(run / CONFIG_NAME, (json.dumps(record, indent=2) + "\n").encode())
