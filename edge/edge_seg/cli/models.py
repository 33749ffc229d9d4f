"""`edge-seg models`: the models that ship, and what is known of each."""

from __future__ import annotations

import json
from typing import Any

import click

from edge_seg.notice import RESEARCH_USE

_SHOWN = (
    ("paediatric", "whole_lung"),
    ("adult-v7", "whole_lung"),
    ("montgomery", "visible_lung"),
    ("jsrt", "heart"),
)
"""Data sets and regions whose scores are shown: children, adults, another hospital, the heart."""


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
    for line in _table(sorted(found, key=lambda facts: facts["inference_ms"] or 0)):
        click.echo(line)
    click.echo()
    click.echo("Dice: mean and 95 % interval over patients, on films that training never saw.")
    if measured := dict.fromkeys(facts["measured_on"] for facts in found if facts["inference_ms"]):
        click.echo(f"ms: one film on one core of {', '.join(measured)}.")
    click.echo("`edge-seg run` takes lungs; --model NAME another one.")
    click.echo("All scores: edge-seg inspect NAME; the model card: edge-seg inspect NAME --card")
    click.echo(f"{RESEARCH_USE}.")


def _table(found: list[dict[str, Any]]) -> list[str]:
    """One column per model, to compare line by line, within 80 characters."""
    rows = [
        ("", [facts["name"] for facts in found]),
        ("version", [facts["version"] for facts in found]),
        ("size", [f"{facts['file_bytes'] / 1e6:.2f} MB" for facts in found]),
        ("input", [f"{facts['input_height']} x {facts['input_width']}" for facts in found]),
        ("ms", [f"{facts['inference_ms']:.1f}" if facts["inference_ms"] else "-" for facts in found]),
        ("Dice", [""] * len(found)),
        *(
            (f"  {region.replace('_', ' ')}, {name}", [_dice(facts, name, region) for facts in found])
            for name, region in _SHOWN
        ),
    ]
    wide = max(len(name) for name, _ in rows)
    return ["  ".join([f"{name:<{wide}}", *(f"{cell:<15}" for cell in cells)]).rstrip() for name, cells in rows]


def _dice(facts: dict[str, Any], dataset: str, region: str) -> str:
    for score in facts["dice"]:
        if (score["dataset"], score["region"]) == (dataset, region):
            low, high = (f"{score[end]:.3f}".removeprefix("0") for end in ("low", "high"))
            return f"{score['mean']:.3f} {low}-{high}"
    return "-"


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
