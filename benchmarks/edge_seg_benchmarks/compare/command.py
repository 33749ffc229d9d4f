"""`edge-seg benchmark compare`: a thin layer over `edge_seg_benchmarks.compare.reports`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

BROKEN = 1
"""Exit code if a report exceeds a --fail-if limit."""


@click.command(epilog="Example: edge-seg benchmark compare old/report.json new/report.json --fail-if 'dice_drop>0.002'")
@click.argument("reports", metavar="BASE.json OTHER.json...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--fail-if",
    "limits",
    multiple=True,
    metavar="FIGURE>LIMIT",
    help="Exit with 1 where a later report exceeds this, or cannot be compared: dice_drop>0.002, "
    "p95>1.1x (also least, p50, cold_start, peak_rss, file_bytes); repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the tables to this Markdown file.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(reports: tuple[Path, ...], limits: tuple[str, ...], out: Path | None, as_json: bool) -> int:
    """Compare reports of devices or versions with the first of them.

    Only significant differences are called slower or worse: see docs/reference/benchmark.md.
    """
    from edge_seg.errors import UsageError
    from edge_seg.storage import write_atomically

    from edge_seg_benchmarks.compare.limits import Limit
    from edge_seg_benchmarks.compare.reports import compare_reports
    from edge_seg_benchmarks.report.folder import render
    from edge_seg_benchmarks.schema import Report

    parsed = [Limit.parse(text) for text in limits]
    if len(reports) < 2:
        raise UsageError("give two reports or more: edge-seg benchmark compare old/report.json new/report.json")
    base, *others = (Report.read(path) for path in reports)
    comparisons = [compare_reports(base, other, str(path)) for path, other in zip(reports[1:], others, strict=True)]
    pairs = list(zip(comparisons, others, strict=True))
    text = render("compare.md.j2", {"name": str(reports[0]), "base": base, "pairs": pairs})
    if out is not None:
        write_atomically(out, text.encode())
    click.echo(json.dumps([asdict(comparison) for comparison in comparisons]) if as_json else text)
    broken = [f"{found.name}: {line}" for found in comparisons for limit in parsed for line in limit.broken(found)]
    for line in broken:
        click.echo(f"edge-seg: {line}", err=True)
    return BROKEN if broken else 0
