"""`edge-seg benchmark`: thin over `edge_seg_benchmarks.benchmark`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(epilog="Example: edge-seg benchmark lungs --data phantom --out report")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--data", "datasets", multiple=True, metavar="DATASET", help="Folder of a data set, or `phantom`; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the report.")
@click.option("--split", type=click.Choice(("train", "val", "test", "all")), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="At most so many films of each data set.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="For inference.")
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
@click.option("--write-scores", is_flag=True, help="Put the scores and a model card into each model file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def benchmark(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    out: Path,
    split: str,
    limit: int | None,
    threads: int,
    repeats: int,
    robustness: int,
    should_reject: tuple[str, ...],
    pictures: str,
    write_scores: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Report latency against Dice for MODEL... side by side (shipped names or files).

    The first model is the reference of the speed-ups; a float32 model of the same name is what Dice is compared
    with. Needs `pip install 'edge-seg[report]'`, no TensorFlow.
    """
    from edge_seg import Segmenter
    from edge_seg.model_file import ModelFile

    from edge_seg_benchmarks.benchmark import run_benchmark
    from edge_seg_benchmarks.card import with_scores
    from edge_seg_benchmarks.card import write_scores as put
    from edge_seg_benchmarks.data import open_benchmark_data
    from edge_seg_benchmarks.report import write_report

    files = [ModelFile.read(model) for model in models]
    opened = [open_benchmark_data(name) for name in datasets]
    report = run_benchmark(
        files,
        opened,
        split=split,
        limit=limit,
        threads=threads,
        repeats=repeats,
        robustness=robustness,
        should_reject=should_reject,
        command=_command(models, datasets, split, limit, threads, robustness, should_reject),
        say=(lambda text: None) if quiet or as_json else click.echo,
    )
    segmenters = [Segmenter(file, gate=False) for file in files]
    page = write_report(report, out, segmenters, opened, pictures)
    if write_scores:
        for file, segmenter, entry in zip(files, segmenters, report["models"], strict=True):
            if file.path is not None and entry["scores"]:
                put(with_scores(file, segmenter, opened, entry, report), file.path)
    click.echo(json.dumps(report) if as_json else f"report: {page}")


def _command(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    split: str,
    limit: int | None,
    threads: int,
    robustness: int,
    should_reject: tuple[str, ...],
) -> str:
    """The command without this machine's folders."""
    data = " ".join(f"--data {Path(name).name}" for name in datasets)
    few = f" --limit {limit}" if limit else ""
    few += f" --robustness {robustness}" if robustness else ""
    few += "".join(f" --should-reject {Path(where).name}" for where in should_reject)
    names = " ".join(Path(model).name for model in models)
    return f"edge-seg benchmark {names} {data} --split {split}{few} --threads {threads} --out report"
