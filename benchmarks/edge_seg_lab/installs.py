"""Whether distributions install and work, for the Python that runs this: nothing but the standard library is needed.

    python -m build --outdir dist .
    PYTHON benchmarks/edge_seg_lab/installs.py dist/*

Each distribution is installed into a fresh environment, which then runs the demo; a line for each says what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

FRAMES = 3


def main(arguments: list[str] | None = None) -> int:
    """Install and try each; return 1 if one does not work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("distributions", nargs="+", type=Path, help="wheels and source distributions")
    parser.add_argument("--extra", default="", help="install this extra too")
    given = parser.parse_args(arguments)
    worked = [_try(path.resolve(), given.extra) for path in given.distributions]
    return 0 if all(worked) else 1


def _try(distribution: Path, extra: str) -> bool:
    """Install one, run the demo, print the outcome."""
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as folder:
        started = time.monotonic()
        try:
            said = _demo(distribution, extra, Path(folder))
        except subprocess.CalledProcessError as error:
            said = f"FAILED: {' '.join(map(str, error.cmd))}\n{error.stdout}"
        seconds = time.monotonic() - started
    print(f"Python {platform.python_version()}, {distribution.name}: {said} ({seconds:.0f} s)", flush=True)
    return not said.startswith("FAILED")


def _demo(distribution: Path, extra: str, folder: Path) -> str:
    """Run the demo in a fresh environment and summarise it."""
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env" / "bin"
    wanted = f"{distribution}[{extra}]" if extra else str(distribution)
    _run(folder, programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "--no-compile", wanted)
    _run(folder, programs / "edge-seg", "run", "--camera", "demo", "--frames", FRAMES, "--out", "demo")
    records = [json.loads(line) for line in (folder / "demo" / "records.jsonl").read_text().splitlines()]
    done = [record for record in records if record["status"] == "done"]
    if len(done) != FRAMES:
        return f"FAILED: {len(done)} of {FRAMES} films done"
    _run(folder, programs / "edge-seg", "inspect", "lungs")
    return f"installed; {len(done)} films done by {done[0]['runtime']}, estimated Dice {done[-1]['estimated_dice']}"


def _run(folder: Path, *words: object) -> None:
    """Run a program of the environment outside the checkout."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = list(map(str, words))
    subprocess.run(
        command, cwd=folder, env=clean, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


if __name__ == "__main__":
    sys.exit(main())
