"""`edge-seg benchmark compare`: thin over `edge_seg_benchmarks.compare.reports`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

WORSE = 1
"""Exit code where a --fail-if is broken."""


@click.command(epilog="Example: edge-seg benchmark compare old/report.json new/report.json --fail-if 'dice_drop>0.002'")
@click.argument("reports", metavar="BASE.json OTHER.json...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--fail-if",
    "limits",
    multiple=True,
    metavar="FIGURE>LIMIT",
    help="Exit with 1 where a later report passes this: dice_drop>0.002, p95>1.1x (also least, p50, cold_start, "
    "peak_rss, file_bytes); repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the tables to this Markdown file.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(reports: tuple[Path, ...], limits: tuple[str, ...], out: Path | None, as_json: bool) -> int:
    """Lay reports of devices or versions beside each other; the first is what the others are compared with.

    What is called slower or worse is significantly so: see docs/benchmark.md.
    """
    from edge_seg.errors import UsageError
    from edge_seg.storage import write_atomically

    from edge_seg_benchmarks.benchmark import SCHEMA
    from edge_seg_benchmarks.compare.limits import Condition
    from edge_seg_benchmarks.compare.reports import compare_reports
    from edge_seg_benchmarks.report.folder import render

    conditions = [Condition.parse(text) for text in limits]
    if len(reports) < 2:
        raise UsageError("give two reports or more: edge-seg benchmark compare old/report.json new/report.json")
    read = [_read(path, SCHEMA) for path in reports]
    comparisons = [
        {"name": str(path), **compare_reports(read[0], r)} for path, r in zip(reports[1:], read[1:], strict=True)
    ]
    facts = {"base": str(reports[0]), "reports": read, "comparisons": comparisons}
    text = render("compare.md.j2", **facts)
    if out is not None:
        write_atomically(out, text.encode())
    click.echo(json.dumps(comparisons) if as_json else text)
    broken = [f"{found['name']}: {line}" for found in comparisons for c in conditions for line in c.broken(found)]
    for line in broken:
        click.echo(f"edge-seg: {line}", err=True)
    return WORSE if broken else 0


def _read(path: Path, schema: int) -> dict[str, Any]:
    from edge_seg.errors import InputError

    try:
        report = json.loads(path.read_text())
        if report["schema"] != schema:
            raise InputError(f"{path}: a report of schema {report['schema']}, not {schema}: make it again")
        return dict(report)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give a report.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no report of `edge-seg benchmark` ({error}): give a report.json") from error
