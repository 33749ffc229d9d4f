"""`edge-seg models`: what ships, and what is known of each."""

from __future__ import annotations

import json
from typing import Any

import click

from edge_seg.notice import RESEARCH_USE


@click.command(
    epilog="Example: edge-seg models    (more of one: edge-seg inspect lungs, edge-seg inspect lungs --card)"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def models(as_json: bool) -> None:
    """Show the models that ship with the package: size, time, Dice on films that they never saw."""
    from edge_seg.model_file import ModelFile, shipped_models

    found = [_facts(ModelFile.read(name), name) for name in shipped_models()]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for facts in found:
        size = f"{facts['file_bytes'] / 1e6:.2f} MB, input {facts['input_height']} x {facts['input_width']}"
        time = f", {facts['inference_ms']:.1f} ms ({facts['measured_on']})" if facts["inference_ms"] else ""
        click.echo(f"{facts['name']} {facts['version']}: {size}{time}")
        for score in facts["dice"]:
            interval = f"{score['mean']:.4f} ({score['low']:.4f} to {score['high']:.4f})"
            where = f"{score['dataset']} {score['split']}, {score['region'].replace('_', ' ')}"
            click.echo(f"  Dice {interval}, {where}, n = {score['n']}")
    click.echo(f"Dice: mean and 95 % interval over patients. {RESEARCH_USE}.")


def _facts(model: Any, name: str) -> dict[str, Any]:
    manifest = model.manifest
    measured = manifest.checks.get("measured", {})
    keys = ("dataset", "split", "region", "mean", "low", "high", "n")
    return {
        "name": name,
        "version": manifest.version,
        "path": str(model.path),
        "sha256": manifest.flatbuffer_sha256,
        "file_bytes": model.path.stat().st_size,
        "quantisation": manifest.quantisation,
        "input_height": manifest.input_height,
        "input_width": manifest.input_width,
        "structures": [structure.name for structure in manifest.structures],
        "inference_ms": measured.get("inference_ms_p50"),
        "measured_on": measured.get("machine", "").strip(),
        "dice": [{key: score[key] for key in keys} for score in manifest.scores if score["metric"] == "dice"],
        "notice": RESEARCH_USE,
    }
