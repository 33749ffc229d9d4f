"""Count instructions: `python -m edge_seg_lab.instructions lungs --work FOLDER --out instructions.json`."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path

import click
from edge_seg.cli.main import run_command
from edge_seg.errors import UsageError
from edge_seg.model_file import ModelFile
from edge_seg.storage import write_atomically

from edge_seg_lab.instructions.cores import split_cores
from edge_seg_lab.instructions.measure import count_instructions
from edge_seg_lab.instructions.table import markdown


@click.command(epilog="Example: python -m edge_seg_lab.instructions lungs --work build/arm64 --out counts.json")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--cores",
    default="cortex-a72,cortex-a76",
    show_default=True,
    help="To emulate; the first of these lacks dot-product instructions (Raspberry Pi 4), the second has them (Pi 5). "
    "`max,sme=off` is one core.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder that keeps the emulator and its Python (about 300 MB, fetched the first time).",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The JSON file to write.")
@click.option(
    "--runs", type=click.IntRange(2), default=2, show_default=True, help="Processes, whose spread is reported."
)
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True, help="Films in each process.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def main(models: tuple[str, ...], cores: str, work: Path, out: Path, runs: int, repeats: int, quiet: bool) -> None:
    """Count the instructions that MODEL... (shipped names or files) take on emulated 64-bit ARM cores.

    Needs Debian or Ubuntu, a C compiler and `pip install 'edge-seg[report]'`; no board and no root. A float32 model is
    compared with the other models of its name.
    """
    names = split_cores(cores)
    if not names:
        raise UsageError("--cores is empty: give some, as in --cores cortex-a72,cortex-a76")
    options = {"--cores": ",".join(names), "--runs": runs, "--repeats": repeats, "--work": "FOLDER", "--out": out.name}
    words = [*(Path(model).name for model in models), *(str(word) for option in options.items() for word in option)]
    report = count_instructions(
        [ModelFile.read(model) for model in models],
        names,
        work,
        runs=runs,
        repeats=repeats,
        command=shlex.join(["python", "-m", "edge_seg_lab.instructions", *words]),
        say=lambda text: None if quiet else click.echo(text, err=True),
    )
    write_atomically(out, (json.dumps(asdict(report), indent=1) + "\n").encode())
    click.echo(markdown(report))


if __name__ == "__main__":
    run_command(main)
