"""The job-array recipes start commands that exist, each run on its own share."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from edge_seg.cli.archive import run

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "archives.md").read_text()


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def started(script: str, **environment: str) -> dict[str, Any]:
    """How a script starts its one command; the script must treat exit code 3 as success."""
    stubs = 'srun() { "$@"; }; edge-seg() { printf "%s\\n" "$@"; return 3; }\n'
    done = subprocess.run(["bash", "-euc", stubs + script], capture_output=True, text=True, env=environment, check=True)
    verb, name, *words = done.stdout.splitlines()
    assert (verb, name) == ("archive", "run")
    return run.make_context("run", words).params


def test_slurm() -> None:
    script = block("bash")
    assert "--array=0-199" in script
    given = started(script, SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_TASK_COUNT="200", PATH="/usr/bin:/bin")
    assert given["shard"] == (3, 200)


def test_kubernetes() -> None:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load(block("yaml"))["spec"]
    assert job["completionMode"] == "Indexed"
    (container,) = job["template"]["spec"]["containers"]
    shell, option, script = container["command"]
    assert (shell, option) == ("sh", "-c")
    given = started(script, JOB_COMPLETION_INDEX="7", PATH="/usr/bin:/bin")
    assert given["shard"] == (7, job["completions"])


def test_the_python_of_the_page_runs() -> None:
    exec(block("python"), {})
