"""What learning costs on ARM: `python -m edge_seg_lab.instructions.adaptation lungs --work FOLDER`.

Counts the instructions for a film's activations and for one training pass over it, forward and backward, on an
emulated core.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import edge_seg
from edge_seg.adaptation.decoder import find_decoder, shipped_parameters
from edge_seg.adaptation.examples import Encoder, Outlined
from edge_seg.adaptation.learning import Settings, learn
from edge_seg.cli.main import run_command
from edge_seg.errors import DeviceError
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom

import edge_seg_lab
from edge_seg_lab.instructions.counter import build_plugin, plugin_with_counter, read_counter
from edge_seg_lab.instructions.emulator import device_requirements, prepare

_LOOKS = 3
_INSIDE = "--inside"


@click.command(epilog="Example: python -m edge_seg_lab.instructions.adaptation lungs --work build/arm64")
@click.argument("model")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="As of edge_seg_lab.instructions.")
@click.option("--core", default="cortex-a72", show_default=True, help="To emulate; this one is a Raspberry Pi 4.")
def main(model: str, work: Path, core: str) -> None:
    """Count the instructions that MODEL takes to learn from one film on an emulated 64-bit ARM core."""
    python = prepare(work, device_requirements())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counter, file, packages = folder / "counter", folder / "model.tflite", folder / "packages"
        plugin = plugin_with_counter(build_plugin(folder), counter)
        file.write_bytes(ModelFile.read(model).to_bytes())
        for package in (edge_seg, edge_seg_lab):
            source, without = Path(str(package.__file__)).parent, shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, packages / package.__name__, ignore=without)
        words = ["-m", "edge_seg_lab.instructions.adaptation", _INSIDE, str(counter), str(file)]
        environment = python.environment([packages], {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"})
        done = subprocess.run(python.command(core, words, plugin), env=environment, capture_output=True, text=True)
        if done.returncode:
            raise DeviceError(f"nothing was counted on {core}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    click.echo(f"{model} on {core}: {', '.join(f'{name} {count / 1e6:.0f} M' for name, count in found.items())}")


def count(counter: str, model: str) -> dict[str, int]:
    """Instructions for a film's activations and for each pass over it after the first. Runs inside the emulator."""
    read, file = read_counter(Path(counter)), ModelFile.read(Path(model))
    decoder, made = find_decoder(file.flatbuffer), phantom(512, 512, seed=0)
    encoder, outlined = Encoder(file, decoder), Outlined("one", "one", made.film, made.masks)
    encoder.example(outlined)
    before = read()
    example = encoder.example(outlined)
    activations, after = read() - before, list[int]()
    start = shipped_parameters(decoder, file.flatbuffer)
    learn(decoder, start, [example], Settings(passes=_LOOKS), lambda *_: after.append(read()))
    return {"activations": activations, "look": (after[-1] - after[0]) // (_LOOKS - 1)}


if __name__ == "__main__":
    if sys.argv[1:2] == [_INSIDE]:
        print(json.dumps(count(*sys.argv[2:])))
    else:
        run_command(main)
