"""`python -m edge_seg_lab.device_week`."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge_seg_lab.device_week.board import what_is_missing
from edge_seg_lab.device_week.outcome import Load
from edge_seg_lab.device_week.week import measure


@click.command()
@click.option("--films", default=Load.films, show_default=True, help="Of the week.")
@click.option("--side", default=Load.side, show_default=True, help="Of the square films, in pixels.")
@click.option("--disk-mb", default=Load.disk_mb, show_default=True, help="MiB of the data partition.")
@click.option("--free-gb", type=float, help="Kept free by retention; as the image has it unless given.")
@click.option("--model", help="Shipped name or file; as the image has it unless given.")
@click.option("--save", help="Products; as the image has them unless given. DICOM is most of the time.")
def main(**values: Any) -> None:
    """Print the days as a table and the rest as JSON; exit code 1 where something grew, was lost or doubled."""
    if (missing := what_is_missing()) is not None:
        raise click.ClickException(missing)
    with tempfile.TemporaryDirectory(prefix="device-week-") as work:
        found = measure(Load(**values), Path(work))
    click.echo(found.table())
    facts = asdict(found)
    del facts["samples"]
    click.echo(json.dumps(facts, indent=2))
    raise SystemExit(bool(found.faults))


if __name__ == "__main__":
    main()
