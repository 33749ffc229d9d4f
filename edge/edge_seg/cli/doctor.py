"""`edge-seg doctor`: a thin layer over `edge_seg.doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from edge_seg.errors import DeviceError

_MARKS = {"ok": "ok     ", "missing": "MISSING", "absent": "-      "}


@click.command(epilog="Example: edge-seg doctor")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also look at what this configuration of edge-seg run leaves open.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(file: Path | None, as_json: bool) -> int:
    """Say what this machine has and what is missing, with the exact fix."""
    from edge_seg.doctor import examine
    from edge_seg.station.config import StationConfig

    findings = examine(None if file is None else StationConfig.load(file))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            fix = f"  ->  {finding.fix}" if finding.fix else ""
            click.echo(f"{_MARKS[finding.state]} {finding.subject:24} {finding.detail}{fix}")
    return DeviceError.exit_code if any(finding.state == "missing" for finding in findings) else 0
