"""Compiles for the Edge TPU with the vendor's compiler, if installed, and stores the result in the model file.

`python -m edge_seg_quantize.edge_tpu MODEL...` compiles models that are already quantised.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from edge_seg.cli.main import run_command
from edge_seg.errors import DeviceError, ModelError
from edge_seg.model_file import COMPILED_NAME, ModelFile, find_model
from edge_seg.storage import write_atomically

COMPILER = "edgetpu_compiler"
HOW_TO_INSTALL = (
    "it runs on x86-64 Linux alone: add the package source of https://coral.ai/docs/edgetpu/compiler, then "
    "sudo apt install edgetpu-compiler"
)
_PATIENCE_S = 600
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20}
_COUNTS = {
    "operators_mapped": r"Number of operations that will run on Edge TPU: (\d+)",
    "operators_on_cpu": r"Number of operations that will run on CPU: (\d+)",
}
_MEMORY = {
    "cached_bytes": r"On-chip memory used for caching model parameters: ([\d.]+)(B|KiB|MiB)",
    "free_bytes": r"On-chip memory remaining for caching model parameters: ([\d.]+)(B|KiB|MiB)",
    "streamed_bytes": r"Off-chip memory used for streaming uncached model parameters: ([\d.]+)(B|KiB|MiB)",
}


def find_compiler() -> str:
    """Path of the compiler.

    Raises:
        DeviceError: it is not on the PATH; the message says how to install it.
    """
    found = shutil.which(COMPILER)
    if found is None:
        raise DeviceError(f"{COMPILER} is not on the PATH; {HOW_TO_INSTALL}")
    return found


def compile_model(model: ModelFile) -> ModelFile:
    """The model with its network for the Edge TPU added, and the compiler's figures in its manifest.

    The network for the CPU and its checksum stay the same.

    Raises:
        DeviceError: the compiler is not installed.
        ModelError: it refuses the network, or maps none of it.
    """
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "network.tflite"
        source.write_bytes(model.flatbuffer)
        try:
            done = subprocess.run(
                [compiler, "-s", "-o", folder, str(source)], capture_output=True, text=True, timeout=_PATIENCE_S
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{model.manifest.name}: {COMPILER} did not end in {_PATIENCE_S} s") from error
        compiled, log = source.with_name("network_edgetpu.tflite"), source.with_name("network_edgetpu.log")
        said = (log.read_text(errors="replace") if log.exists() else "") + done.stdout + done.stderr
        if done.returncode or not compiled.exists():
            reason = next((line for line in reversed(said.splitlines()) if line.strip()), "no reason given")
            raise ModelError(f"{model.manifest.name}: {COMPILER} refuses the network ({reason.strip()})")
        data = compiled.read_bytes()
    facts = read_log(said)
    if not facts.get("operators_mapped"):
        raise ModelError(f"{model.manifest.name}: {COMPILER} maps nothing of the network: see `edge-seg inspect`")
    facts["sha256"] = hashlib.sha256(data).hexdigest()
    return replace(
        model,
        manifest=replace(model.manifest, edge_tpu=facts),
        associated={**model.associated, COMPILED_NAME: data},
    )


def read_log(text: str) -> dict[str, Any]:
    """Figures from the compiler's log: `compiler`, operators by where they run, bytes on and off the chip, `on_cpu`.

    >>> read_log("Edge TPU Compiler version 16.0.384591198\\nNumber of operations that will run on Edge TPU: 41\\n")
    {'compiler': '16.0.384591198', 'operators_mapped': 41}
    """
    facts: dict[str, Any] = {}
    version = re.search(r"Edge TPU Compiler version (\S+)", text)
    if version:
        facts["compiler"] = version[1]
    for name, pattern in _COUNTS.items():
        if found := re.search(pattern, text):
            facts[name] = int(found[1])
    for name, pattern in _MEMORY.items():
        if found := re.search(pattern, text):
            facts[name] = round(float(found[1]) * _UNITS[found[2]])
    # One row per operator: name, count, and why it runs where it does.
    rows = re.findall(r"^([A-Z][A-Z0-9_]+|[a-z][\w-]+)\s+(\d+)\s+(\S.*)$", text, re.MULTILINE)
    on_cpu = {name: {"count": int(count), "reason": why.strip()} for name, count, why in rows if "Mapped" not in why}
    return {**facts, "on_cpu": on_cpu} if on_cpu else facts


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
def main(models: tuple[str, ...]) -> None:
    """Compile MODEL... (files, or names of shipped models) for the Edge TPU; the files are overwritten."""
    for name in models:
        path = find_model(name)
        write_atomically(path, compile_model(ModelFile.read(path)).to_bytes())
        click.echo(f"{path}: compiled")


if __name__ == "__main__":
    run_command(main)
