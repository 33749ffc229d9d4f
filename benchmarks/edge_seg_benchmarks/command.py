"""`edge-seg benchmark`: thin over `edge_seg_benchmarks.benchmark`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge_seg_benchmarks.compare.command import compare


class _Benchmark(click.Command):
    """`compare` as its first word is a command of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["compare"]:
            return compare.make_context(f"{info_name} compare", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(
    cls=_Benchmark,
    epilog="""Example: edge-seg benchmark lungs --data phantom --out report

    Reports beside each other: edge-seg benchmark compare --help""",
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--data", "datasets", multiple=True, metavar="DATASET", help="Folder of a data set, or `phantom`; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the report.")
@click.option("--split", type=click.Choice(("train", "val", "test", "all")), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="At most so many films of each data set.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=(1,),
    show_default="1",
    multiple=True,
    help="For inference; repeatable: the first times whole films, the others inference.",
)
@click.option(
    "--engine",
    "engines",
    type=click.Choice(("litert", "tflite", "onnxruntime", "openvino", "edgetpu")),
    default=("litert",),
    show_default="litert",
    multiple=True,
    help="What runs the networks; repeatable: the first also scores, the others are timed beside it.",
)
@click.option("--time-only", multiple=True, metavar="NAME", help="Only time the model of this name; repeatable.")
@click.option(
    "--sustained", type=click.FloatRange(0), default=0, metavar="MINUTES", help="Also films one after another."
)
@click.option(
    "--repeats", type=click.IntRange(1), default=30, show_default=True, help="Rounds of the latency measurement."
)
@click.option(
    "--robustness",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Corrupt so many films of each data set, and score the last model on them.",
)
@click.option(
    "--should-reject",
    multiple=True,
    metavar="FILE|FOLDER|GLOB",
    help="Pictures or DICOM files that the last model's gate should reject; repeatable.",
)
@click.option(
    "--pictures",
    type=click.Choice(("films", "phantom", "none")),
    default="films",
    show_default=True,
    help="Which films the page shows.",
)
@click.option(
    "--instructions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show what `python -m edge_seg_lab.instructions` counted.",
)
@click.option("--peak/--no-peak", default=True, show_default=True, help="Measure this machine's own peak beside it.")
@click.option("--write-scores", is_flag=True, help="Put the scores and a model card into each model file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def benchmark(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    out: Path,
    split: str,
    limit: int | None,
    threads: tuple[int, ...],
    engines: tuple[str, ...],
    time_only: tuple[str, ...],
    sustained: float,
    repeats: int,
    robustness: int,
    should_reject: tuple[str, ...],
    pictures: str,
    instructions: Path | None,
    peak: bool,
    write_scores: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Report latency against Dice for MODEL... side by side (shipped names or files).

    The first model is the reference of the speed-ups; a float32 model of the same name is what Dice is compared
    with. A run that was stopped goes on with the films that are not scored. Needs `pip install 'edge-seg[report]'`, no
    TensorFlow.
    """
    from edge_seg import Segmenter
    from edge_seg.model_file import ModelFile

    from edge_seg_benchmarks.accuracy.films import open_benchmark_data
    from edge_seg_benchmarks.accuracy.score_cache import Journal
    from edge_seg_benchmarks.benchmark import Settings, run_benchmark
    from edge_seg_benchmarks.report.card import with_scores
    from edge_seg_benchmarks.report.card import write_scores as put
    from edge_seg_benchmarks.report.folder import write_report

    files = [ModelFile.read(model) for model in models]
    opened = [open_benchmark_data(name) for name in datasets]
    journal = Journal(out / "scores.part.jsonl")
    say = (lambda text: None) if quiet or as_json else click.echo
    if len(journal):
        say(f"going on: {len(journal)} scores are there")
    settings = Settings(
        split=split,
        limit=limit,
        engines=tuple(dict.fromkeys(engines)),
        threads=tuple(dict.fromkeys(threads)),
        repeats=repeats,
        robustness=robustness,
        should_reject=should_reject,
        time_only=time_only,
        peak=peak,
        sustained=sustained,
        command=_words_of(click.get_current_context()),
    )
    report = run_benchmark(files, opened, settings, journal=journal, say=say)
    if instructions:
        report["instructions"] = json.loads(instructions.read_text())
    segmenters = [Segmenter(file, gate=False) for file in files]
    page = write_report(report, out, segmenters, opened, pictures)
    if write_scores:
        for file, segmenter, entry in zip(files, segmenters, report["models"], strict=True):
            if file.path is not None and entry["scores"]:
                put(with_scores(file, segmenter, opened, entry, report), file.path)
    journal.done()
    click.echo(json.dumps(report) if as_json else f"report: {page}")


_SAYS_NOTHING_OF_FIGURES = ("models", "out", "write_scores", "as_json", "quiet")


def _words_of(context: click.Context) -> str:
    """The command as it was given, without this machine's folders."""
    words = ["edge-seg benchmark", *(Path(model).name for model in context.params["models"])]
    for option in context.command.params:
        name = option.name or ""
        if name in _SAYS_NOTHING_OF_FIGURES or context.get_parameter_source(name) == ParameterSource.DEFAULT:
            continue
        value = context.params[name]
        if isinstance(value, bool):
            words.append((option.opts if value else option.secondary_opts)[0])
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [option.opts[0], Path(str(one)).name]
    return " ".join([*words, "--out report"])
