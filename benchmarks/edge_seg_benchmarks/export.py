"""`edge-seg export`: a model's network for another runtime."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example: edge-seg export lungs --to onnx --out lungs.onnx")
@click.argument("model")
@click.option("--to", "form", type=click.Choice(("onnx",)), default="onnx", show_default=True, help="Form to write.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: the model's name, .onnx]")
def export(model: str, form: str, out: Path | None) -> None:
    """Write the network of MODEL (a shipped name or a .tflite of any program) for ONNX runtimes.

    It takes and gives the same tensors as the .tflite, in the same types; int8 networks come in QDQ form. The manifest
    goes along as the metadata `edge_seg`. On x86-64 processors without VNNI, ONNX Runtime needs the session setting
    `session.x64quantprecision` 1, or int8 sums saturate. Needs `pip install '.[peers]'`.
    """
    from edge_seg.inspection.tensors import find_network
    from edge_seg.storage import write_atomically

    from edge_seg_benchmarks.peers.convert import to_onnx
    from edge_seg_benchmarks.peers.network import read_network

    found = find_network(model)
    network = read_network(found.flatbuffer)
    told = {"edge_seg": found.manifest.to_json()} if found.manifest else {}
    path = out or Path(f"{found.path.stem}.{form}")
    write_atomically(path, to_onnx(network, told))
    taken, given = network.input.spec, network.output.spec
    click.echo(f"wrote {path}: takes {taken.dtype} {taken.shape}, gives {given.dtype} {given.shape}")
