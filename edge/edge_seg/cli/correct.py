"""`edge-seg correct`: the page for a finished folder of results."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from edge_seg.cli.main import complain, say
from edge_seg.cli.options import given_values, some_station_options
from edge_seg.errors import InputError
from edge_seg.notice import RESEARCH_USE
from edge_seg.station.config import StationConfig

_EVERY_S = 0.2


@click.command(epilog="Example: edge-seg correct results --who 'A. Reader'")
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--who", default="", metavar="NAME", help="Name that corrections are kept under; the page asks otherwise."
)
@click.option(
    "--films",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Where the films are now, if they were moved after they were segmented.",
)
@click.option("--dicom", is_flag=True, help="Also write each correction of a DICOM film as DICOM SEG.")
@some_station_options(
    "view.address",
    "view.token",
    "view.tls_cert",
    "view.tls_key",
    "archive.address",
    "archive.tls",
    "archive.tls_ca",
    "archive.tls_cert",
    "archive.tls_key",
    "notify.address",
    "notify.tls_ca",
)
def correct(results: Path, who: str, films: Path | None, dicom: bool, **parameters: Any) -> None:
    """Put the outlines in RESULTS right, in a browser.

    RESULTS is a folder that `edge-seg run --out` wrote. Every correction is kept in RESULTS/corrections, which
    `edge-seg train` reads; the model's own masks stay as they are.
    """
    from edge_seg.cli.stop import Stop
    from edge_seg.station.wiring import open_finished, open_output

    if not results.is_dir():
        raise InputError(f"{results}: there is no such folder: give the folder that edge-seg run wrote (--out)")
    given = {name: dict(group) for name, group in given_values(parameters).items()}
    given["results"] = {"folder": results, **({"save": ("record", "dicom")} if dicom else {})}
    config = StationConfig.load(None, given)
    if config.holds_persons:
        os.umask(os.umask(0o077) | 0o077)
    for line in config.in_clear:
        complain(line)
    with (
        Stop() as stop,
        closing(open_output(config)) as output,
        closing(open_finished(config, output, who, films)) as page,
    ):
        say(f"page: {page.url}  (Ctrl-C ends it). {RESEARCH_USE}.")
        try:
            while True:
                time.sleep(_EVERY_S)
                stop.tick()
        except KeyboardInterrupt:
            say(f"corrections are in {results / 'corrections'}")
