"""The recipe of the shipped models: the commands accept what it would run."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from edge_seg.cli.main import VERBS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lines() -> list[list[str]]:
    """The commands of the whole family, none of them run."""
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    words = ["make", "--dry-run", "--file", "quantize/family.mk", "all", "DATA=data", "RUNS=nowhere"]
    # A make that runs these tests must not affect this one.
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, env=alone)
    return [shlex.split(line) for line in done.stdout.replace("\\\n", " ").splitlines()]


def test_every_model_is_trained_quantised_and_scored(lines: list[list[str]]) -> None:
    verbs = [line[1] for line in lines if line[0] == "edge-seg"]
    # Including the teacher and two halves, which are not shipped.
    assert (verbs.count("quantize"), verbs.count("benchmark")) == (6, 3)
    # The steps read exactly the files that other steps write.
    made = {line[line.index("--out") + 1] for line in lines if "--out" in line}
    read = {word for line in lines for word in line if word.startswith("nowhere/") and not word.endswith(".done")}
    assert {word.replace(".float32", "").replace(".ptq", "") for word in read} == made


def test_every_option_is_known(lines: list[list[str]]) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install '.[train]'")
    from edge_seg_quantize.calibration import main as calibration
    from edge_seg_train.averaging import main as averaging

    programs = {"edge_seg_train.averaging": averaging, "edge_seg_quantize.calibration": calibration}

    for line in lines:
        if line[0] == "edge-seg":
            module, _, name = VERBS[line[1]][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            rest = line[2:]
        elif line[0] == "python":
            command, rest = programs[line[2]], line[3:]
        else:
            assert line[0] == "touch"
            continue
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= known, line
        if line[1] == "train":
            command.make_context("train", rest)
