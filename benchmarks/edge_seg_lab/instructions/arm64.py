"""Run Python for 64-bit ARM: `python -m edge_seg_lab.instructions.arm64 FOLDER -- -c "print('up')"`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click
from edge_seg.cli.main import run_command

from edge_seg_lab.instructions.emulator import device_requirements, prepare


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("words", metavar="-- ARGUMENTS", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--requirements", envvar="REQ", help="Of pip, separated by spaces; or in REQ. By default those of the device part."
)
@click.option(
    "--packages", envvar="EXTRA", default="", help="Folders for PYTHONPATH, separated by colons; or in EXTRA."
)
@click.option("--core", envvar="CPU", default="cortex-a72", show_default=True, help="To emulate; or in CPU.")
def main(folder: Path, words: tuple[str, ...], requirements: str | None, packages: str, core: str) -> None:
    """Run Python for 64-bit ARM with ARGUMENTS; FOLDER keeps it: about a minute and 300 MB the first time."""
    wanted = shlex.split(requirements) if requirements else device_requirements()
    python = prepare(folder, wanted)
    command = python.command(core, words)
    extra = [Path(name) for name in packages.split(os.pathsep) if name]
    # Its bytecode must not mix with that of this machine's Python.
    compiled = {"PYTHONPYCACHEPREFIX": str(python.folder / "bytecode")}
    os.execve(command[0], command, python.environment(extra, {**os.environ, **compiled}))


if __name__ == "__main__":
    run_command(main)
