"""An untrained network as a model file: a reference for timing only.

`python -m edge_seg_quantize.untrained seed --out seed.float32.tflite`
"""

from __future__ import annotations

from pathlib import Path

from edge_seg_quantize.legacy import tf_keras  # isort: skip  (chooses legacy Keras before TensorFlow is imported)

import click
from edge_seg.cli.main import run_command
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.storage import write_atomically
from edge_seg.structures import Structure
from edge_seg.version import __version__
from edge_seg_train.network import PRESETS, build

from edge_seg_quantize import convert

_SEED = 0


def untrained(preset: str) -> ModelFile:
    """A preset's network with random weights, in float32.

    Args:
        preset: name of a preset of `edge-seg train --network`.
    """
    config = PRESETS[preset]
    tf_keras.utils.set_random_seed(_SEED)
    manifest = Manifest(
        name=preset,
        version=__version__,
        structures=tuple(
            Structure(f"output_{k}", f"output {k}", "#808080", definition="of random weights")
            for k in range(config.outputs)
        ),
        input_height=config.height,
        input_width=config.width,
        input_channels=config.channels,
        thresholds=(0.5,) * config.outputs,
        quantisation="float32",
        training={"about": {"summary": "Not trained: random weights, to measure time with."}},
    )
    return ModelFile(manifest, convert.to_float32(build(tf_keras, config)))


@click.command()
@click.argument("preset", type=click.Choice(sorted(PRESETS)))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(preset: str, out: Path) -> None:
    """Write the network PRESET, untrained, in float32."""
    write_atomically(out, untrained(preset).to_bytes())


if __name__ == "__main__":
    run_command(main)
