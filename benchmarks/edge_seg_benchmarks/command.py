"""`edge-seg benchmark`: a thin layer over `edge_seg_benchmarks.benchmark`."""

from __future__ import annotations

import json
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge_seg_benchmarks.compare.command import compare


class _Benchmark(click.Command):
    """A command whose first word `compare` selects another command."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["compare"]:
            return compare.make_context(f"{info_name} compare", args[1:], parent, **extra)
        if args and get_close_matches(args[0], ["compare"]) and not Path(args[0]).exists():
            raise click.UsageError(f"there is no model `{args[0]}`: did you mean `edge-seg benchmark compare`?", parent)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


def _distinct(context: click.Context, option: click.Parameter, values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


@click.command(
    cls=_Benchmark,
    epilog="""Example: edge-seg benchmark lungs --data phantom --out report

    To compare reports: edge-seg benchmark compare --help""",
)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--data", "datasets", multiple=True, metavar="DATASET", help="Folder of a data set, or `phantom`; repeatable."
)
@click.option(
    "--masks",
    multiple=True,
    metavar="[STRUCTURE=]FOLDER",
    help="Also score the masks in a folder, from any program, against the films of --data; repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the report.")
@click.option("--split", type=click.Choice(("train", "val", "test", "all")), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="At most this many films of each data set.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=(1,),
    show_default="1",
    multiple=True,
    callback=_distinct,
    help="Threads for inference; repeatable: the first number times whole films, the others inference alone.",
)
@click.option(
    "--engine",
    "engines",
    type=click.Choice(("litert", "tflite", "onnxruntime", "openvino", "edgetpu")),
    default=("litert",),
    show_default="litert",
    multiple=True,
    callback=_distinct,
    help="Runs the networks; repeatable: the first engine also scores, the others are timed beside it.",
)
@click.option(
    "--time-only", multiple=True, metavar="NAME", help="Time the model of this name without scoring it; repeatable."
)
@click.option(
    "--sustained",
    type=click.FloatRange(0),
    default=0,
    metavar="MINUTES",
    help="Also segment films one after another for this long.",
)
@click.option(
    "--repeats", type=click.IntRange(1), default=30, show_default=True, help="Rounds of the latency measurement."
)
@click.option(
    "--robustness",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Films of each data set to corrupt and score with the last model.",
)
@click.option(
    "--should-reject",
    multiple=True,
    metavar="FILE|FOLDER|GLOB",
    help="Pictures or DICOM files that the last model's film gate should reject; repeatable.",
)
@click.option(
    "--pictures",
    type=click.Choice(("films", "phantom", "none")),
    default="films",
    show_default=True,
    help="Which films the report shows.",
)
@click.option(
    "--instructions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Add the counts of `python -m edge_seg_lab.instructions`.",
)
@click.option("--peak/--no-peak", default=True, show_default=True, help="Also measure this machine's peak.")
@click.option("--write-scores", is_flag=True, help="Write the scores and a model card into each model file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def benchmark(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    out: Path,
    pictures: str,
    instructions: Path | None,
    write_scores: bool,
    as_json: bool,
    quiet: bool,
    **measured: Any,
) -> None:
    """Report latency against Dice for MODEL... side by side (shipped names or files, .tflite of any program).

    The first model is the reference of the speed-ups. Dice is compared with the float32 model of the same name. A
    network without a manifest is timed and not scored. A stopped run resumes where it was. Needs
    `pip install '.[report]'`, but no TensorFlow.
    """
    from edge_seg import Segmenter
    from edge_seg.inspection.tensors import find_network
    from edge_seg_data.report import counted

    from edge_seg_benchmarks.accuracy.films import open_benchmark_data
    from edge_seg_benchmarks.accuracy.score_cache import ScoreCache
    from edge_seg_benchmarks.benchmark import Settings, run_benchmark
    from edge_seg_benchmarks.instruction_counts import InstructionCounts
    from edge_seg_benchmarks.report.card import save_scores
    from edge_seg_benchmarks.report.folder import write_report
    from edge_seg_benchmarks.report.warnings import warnings_of

    networks = [find_network(model) for model in models]
    files = [network.drafted() for network in networks]
    unknown = [file.manifest.name for file, network in zip(files, networks, strict=True) if network.file is None]
    for name in unknown:
        click.echo(f"{name}: has no manifest, so it is timed and not scored", err=True)
    measured["time_only"] = (*measured["time_only"], *unknown)
    opened = [open_benchmark_data(name) for name in datasets]
    counts = InstructionCounts.read(instructions) if instructions else None
    cache = ScoreCache(out / "scores.part.jsonl")
    say = (lambda text: None) if quiet or as_json else click.echo
    if cache.damaged:
        lines = counted(cache.damaged, "damaged line")
        click.echo(f"edge-seg: {lines} of {cache.path} passed over: these films are scored again", err=True)
    if len(cache):
        say(f"resuming with {len(cache)} scores")
    settings = Settings(**measured, command=_words_of(click.get_current_context()))
    report = replace(run_benchmark(files, opened, settings, cache=cache, say=say), instructions=counts)
    segmenters = [Segmenter(file, gate=False) for file in files]
    page = write_report(report, out, segmenters, opened, pictures)
    if write_scores:
        for file, segmenter, entry in zip(files, segmenters, report.models, strict=True):
            save_scores(file, segmenter, opened, entry, report)
    cache.remove()
    for line in warnings_of(report):
        click.echo(f"edge-seg: {line}", err=True)
    click.echo(json.dumps(report.to_json()) if as_json else f"report: {page}")


_WITHOUT_EFFECT_ON_FIGURES = ("models", "out", "write_scores", "as_json", "quiet")


def _words_of(context: click.Context) -> str:
    """The command as given, without the folders of this machine."""
    words = ["edge-seg benchmark", *(Path(model).name for model in context.params["models"])]
    for option in context.command.params:
        name = option.name or ""
        if name in _WITHOUT_EFFECT_ON_FIGURES or context.get_parameter_source(name) == ParameterSource.DEFAULT:
            continue
        value = context.params[name]
        if isinstance(value, bool):
            words.append((option.opts if value else option.secondary_opts)[0])
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [option.opts[0], _without_folders(str(one))]
    return " ".join([*words, "--out report"])


def _without_folders(value: str) -> str:
    """A value without the folders of this machine; the prefix of `LAYOUT=PATH` or `STRUCTURE=PATH` stays."""
    name, equals, path = value.partition("=")
    if equals and name == Path(name).name and not Path(value).exists():
        return f"{name}={Path(path).name}"
    return Path(value).name
