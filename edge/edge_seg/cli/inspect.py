"""`edge-seg inspect`: a thin layer over `edge_seg.inspection`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_seg.inspection.edge_tpu_rules import EdgeTpuPrediction
    from edge_seg.inspection.flatbuffer import Tensor
    from edge_seg.inspection.tensors import Network
    from edge_seg.model_file import Manifest, ModelFile


@click.command(epilog="Example: edge-seg inspect lungs")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print manifest and facts as JSON.")
@click.option("--operators", is_flag=True, help="Also say of each operator whether an Edge TPU would run it.")
@click.option("--card", is_flag=True, help="Print the model card (Markdown) instead.")
@click.option(
    "--write-manifest",
    is_flag=True,
    help="Write a draft of the manifest that another program's network needs, to be completed, beside it.",
)
def inspect(model: str, as_json: bool, operators: bool, card: bool, write_manifest: bool) -> None:
    """Show what MODEL (a shipped name or a .tflite of any program) is, costs, and whether it is int8 all through."""
    from edge_seg.inspection import inspect_network
    from edge_seg.inspection.tensors import find_network

    network = find_network(model)
    manifest = network.manifest
    if card:
        click.echo((network.file and network.file.card) or "this model has no card")
        return
    if write_manifest:
        click.echo(f"complete the names of the structures and the range of the input in {network.write_draft()}")
        return
    facts = inspect_network(network.flatbuffer, network.file_bytes)
    if as_json:
        told = json.loads(manifest.to_json()) if manifest else None
        click.echo(json.dumps({"manifest": told, "facts": asdict(facts)}, indent=2))
        return
    lines = [
        *(_identity(network.file) if network.file else _unknown(network)),
        ("parameters", f"{facts.parameters:,} ({facts.weight_bytes:,} bytes)"),
        ("cost", f"{_millions(facts.macs)} multiply-accumulates (MACs) per film"),
        ("int8", "all through" if not facts.violations else f"no: {'; '.join(facts.violations)}"),
        *_edge_tpu(facts.edge_tpu),
        *(_compiled(manifest.edge_tpu) if manifest else []),
        *([("code", str(manifest.training.get("code_version", "unknown")))] if manifest else []),
    ]
    for name, text in lines:
        click.echo(f"{name:12}{text}")
    if manifest:
        _show_structures(manifest)
    if operators:
        _show_placement(facts.edge_tpu)
    click.echo("operators")
    for kind in facts.operators:
        cost = f"{_millions(kind.macs)} MACs" if kind.macs else ""
        click.echo(f"  {kind.count:4} {f'{kind.name} (version {kind.version})':36} {cost}".rstrip())
    if manifest:
        _show_scores(manifest)
    click.echo("Research use only, not for diagnosis")


def _identity(file: ModelFile) -> list[tuple[str, str]]:
    manifest = file.manifest
    shape = f"{manifest.input_height} x {manifest.input_width} x {manifest.input_channels}"
    gives = "the number of the class" if manifest.output == "argmax" else "one logit per structure"
    return [
        ("model", f"{manifest.name} {manifest.version}, {manifest.quantisation}"),
        ("file", f"{file.path}, {file.size:,} bytes"),
        ("checksum", f"holds ({manifest.flatbuffer_sha256})"),
        ("input", f"{shape}, (grey / 255 - {manifest.mean:g}) / {manifest.std:g}, letterboxed"),
        ("output", f"{manifest.output}, {gives}"),
    ]


def _unknown(network: Network) -> list[tuple[str, str]]:
    """What is known of a network without a manifest."""
    return [
        ("model", network.why_none),
        ("file", f"{network.path}, {network.file_bytes:,} bytes"),
        *(("input", f"{t.name}: {_tensor(t)}") for t in network.graph.inputs),
        *(("output", f"{t.name}: {_tensor(t)}") for t in network.graph.outputs),
    ]


def _tensor(tensor: Tensor) -> str:
    scale = f", {tensor.scale:g} x (stored - {tensor.zero_point})" if tensor.scale else ""
    return f"{' x '.join(map(str, tensor.shape))} {tensor.dtype}{scale}"


def _show_structures(manifest: Manifest) -> None:
    click.echo("structures")
    for structure, threshold in zip(manifest.structures, manifest.thresholds, strict=False):
        code = f", SNOMED CT {structure.snomed}" if structure.snomed else ""
        click.echo(f"  {structure.title} (above {threshold:g}{code}): {structure.definition}")


def _show_placement(predicted: EdgeTpuPrediction) -> None:
    click.echo("on an Edge TPU, operator by operator (predicted)")
    for number, one in enumerate(predicted.operators):
        where = "mapped" if one.mapped else "CPU"
        shape = " x ".join(map(str, one.shape))
        click.echo(f"  {number:4} {one.name:26} {shape:22} {where:8}{one.reason}".rstrip())


def _show_scores(manifest: Manifest) -> None:
    if manifest.scores:
        click.echo("scores (mean, 95 % interval)")
    for score in manifest.scores:
        click.echo(
            f"  {score['dataset']} {score['split']}, {score['region'].replace('_', ' ')}: {score['metric']} "
            f"{score['mean']:.4f} ({score['low']:.4f} to {score['high']:.4f}), {score['n']} films"
        )


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
    """What the compiler reported, if it was run."""
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
