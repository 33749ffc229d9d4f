"""`edge-seg inspect`: thin over `edge_seg.inspection`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_seg.inspection.edge_tpu_rules import EdgeTpuPrediction


@click.command(epilog="Example: edge-seg inspect lungs")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print manifest and facts as JSON.")
@click.option("--operators", is_flag=True, help="Also say of each operator whether an Edge TPU would run it.")
@click.option("--card", is_flag=True, help="Print the model card (Markdown) instead.")
def inspect(model: str, as_json: bool, operators: bool, card: bool) -> None:
    """Show what MODEL (a shipped name or a file) is, costs, and whether it is int8 all through."""
    from edge_seg.inspection import inspect_model
    from edge_seg.model_file import ModelFile

    file = ModelFile.read(model)
    if card:
        click.echo(file.card or "this model has no card")
        return
    facts, manifest = inspect_model(file), file.manifest
    if as_json:
        click.echo(json.dumps({"manifest": json.loads(manifest.to_json()), "facts": asdict(facts)}, indent=2))
        return
    shape = f"{manifest.input_height} x {manifest.input_width} x {manifest.input_channels}"
    lines = [
        ("model", f"{manifest.name} {manifest.version}, {manifest.quantisation}"),
        ("file", f"{file.path}, {facts.file_bytes:,} bytes"),
        ("checksum", f"holds ({manifest.flatbuffer_sha256})"),
        ("input", f"{shape}, (grey / 255 - {manifest.mean:g}) / {manifest.std:g}, letterboxed"),
        ("output", f"{manifest.output}, one logit per structure"),
        ("parameters", f"{facts.parameters:,} ({facts.weight_bytes:,} bytes)"),
        ("cost", f"{_millions(facts.macs)} multiply-accumulates (MACs) per film"),
        ("int8", "all through" if not facts.violations else f"no: {'; '.join(facts.violations)}"),
        *_edge_tpu(facts.edge_tpu),
        *_compiled(manifest.edge_tpu),
        ("code", str(manifest.training.get("code_version", "unknown"))),
    ]
    for name, text in lines:
        click.echo(f"{name:12}{text}")
    click.echo("structures")
    for structure, threshold in zip(manifest.structures, manifest.thresholds, strict=False):
        code = f", SNOMED CT {structure.snomed}" if structure.snomed else ""
        click.echo(f"  {structure.title} (above {threshold:g}{code}): {structure.definition}")
    if operators:
        click.echo("on an Edge TPU, operator by operator (predicted)")
        for number, one in enumerate(facts.edge_tpu.operators):
            where = "mapped" if one.mapped else "CPU"
            shape = " x ".join(map(str, one.shape))
            click.echo(f"  {number:4} {one.name:26} {shape:22} {where:8}{one.reason}".rstrip())
    click.echo("operators")
    for kind in facts.operators:
        cost = f"{_millions(kind.macs)} MACs" if kind.macs else ""
        click.echo(f"  {kind.count:4} {f'{kind.name} (version {kind.version})':36} {cost}".rstrip())
    if manifest.scores:
        click.echo("scores (mean, 95 % interval)")
    for score in manifest.scores:
        click.echo(
            f"  {score['dataset']} {score['split']}, {score['region'].replace('_', ' ')}: {score['metric']} "
            f"{score['mean']:.4f} ({score['low']:.4f} to {score['high']:.4f}), {score['n']} films"
        )
    click.echo("Research use only, not for diagnosis")


def _edge_tpu(predicted: EdgeTpuPrediction) -> list[tuple[str, str]]:
    kept = f"{_megabytes(predicted.parameter_bytes)} of parameters in 8 MiB on the chip ({predicted.sram_share:.0%})"
    streamed = predicted.streamed_bytes
    room = f"up to {_megabytes(streamed)} streamed for each film" if streamed else "all cached"
    verdict = "obeys its rules" if predicted.mapped else f"breaks its rules: {'; '.join(predicted.reasons)}"
    return [
        ("Edge TPU", f"{verdict} (predicted, the compiler was not run)"),
        ("", f"{kept}, {room}; largest activation {_megabytes(predicted.largest_activation_bytes)}"),
        *(("", f"not certain: {doubt}") for doubt in predicted.doubts),
    ]


def _compiled(facts: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What the compiler said, where it was run."""
    if facts is None:
        return []
    lines = [
        f"compiled by {facts.get('compiler', 'an unknown version')}: {facts['operators_mapped']} operators on it, "
        f"{facts.get('operators_on_cpu', 0)} on the CPU, {_megabytes(facts.get('cached_bytes', 0))} cached, "
        f"{_megabytes(facts.get('streamed_bytes', 0))} streamed"
    ]
    lines += [f"on the CPU: {one['count']} {name}: {one['reason']}" for name, one in facts.get("on_cpu", {}).items()]
    return [("", line) for line in lines]


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"


def _millions(macs: int) -> str:
    return f"{macs / 1e6:,.{1 if macs >= 1e7 else 3}f} million"
