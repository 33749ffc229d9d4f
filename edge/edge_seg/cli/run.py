"""`edge-seg run`: a thin layer over `edge_seg.station.station.Station`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_seg.cli.main import complain, say
from edge_seg.cli.options import given_values, station_options
from edge_seg.errors import UsageError
from edge_seg.notice import RESEARCH_USE
from edge_seg.station.config import StationConfig

if TYPE_CHECKING:
    from edge_seg.cli.result import Tally
    from edge_seg.station.session import Summary
    from edge_seg.station.station import Station

_NO_SOURCE = """\
edge-seg run needs films:

  edge-seg run chest.png                     a picture (PNG, JPEG, TIFF) or DICOM file
  edge-seg run films/ '2024-*/*.dcm'         folders and globs
  edge-seg run --camera demo --frames 10     a synthetic chest, to see it work
  edge-seg run --camera 0                    a camera; also a URL (http, rtsp)
  edge-seg run --watch inbox/                films as they appear in a folder
  edge-seg run --listen 11112                films that a scanner sends by DICOM
  edge-seg run --config station.toml         all of it from a file

Results go to --out (edge-seg-results): masks, overlays, records.jsonl. More: edge-seg run --help"""


@click.command(epilog="Example: edge-seg run films/ --out results")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read settings from a TOML file; options on the command line win.",
)
@station_options
def run(file: Path | None, **parameters: Any) -> int:
    """Segment films; research use only, not for diagnosis.

    For each film `name.ext`, --out receives name.STRUCTURE.png (masks of the film's own size), name.overlay.jpg and a
    line in records.jsonl. Films that are done already are skipped.
    """
    config = StationConfig.load(file, given_values(parameters))
    if not config.has_source:
        say(_NO_SOURCE)
        return UsageError.exit_code
    from edge_seg.cli.progress import Progress
    from edge_seg.cli.ready import say_ready
    from edge_seg.cli.result import Tally
    from edge_seg.cli.stop import Stop
    from edge_seg.station.station import Station
    from edge_seg.station.wiring import load_segmenter

    console = config.console
    if console.log_level is not None:
        from edge_seg.log import log_to_standard_error

        log_to_standard_error(console.log_level)
    for line in config.in_clear:
        complain(line)
    with Stop() as stop:
        segmenter = load_segmenter(config.model, config.results.folder)
        for note in segmenter.runtime.notes:
            complain(note)
        with Station(config, segmenter) as station:
            if not console.quiet:
                say_ready(station)
            source, tally = station.source, Tally(station.output)
            progress = Progress(source.total, source.live, console.quiet, console.verbose, console.json)
            try:
                summary = station.run([progress, tally, stop])
            finally:
                progress.finish()
    _tell(station, summary, tally)
    return summary.exit_code


def _tell(station: Station, summary: Summary, tally: Tally) -> None:
    """Report the outcome."""
    from edge_seg.cli.result import checks, describe

    out, output = station.config.results.folder, station.output
    console = station.config.console
    wordy = not (console.quiet or console.json)
    if wordy and tally.last is not None and (station.source.total == 1 or station.source.live):
        for line in describe(tally.last, out):
            click.echo(line)
    for problem in (*station.output.troubles, *summary.problems):
        complain(problem)
    problems = summary.failed + summary.rejected
    if problems > len(summary.problems):
        complain(f"and {problems - len(summary.problems)} more: see {out / 'records.jsonl'}")
    for outbox, what, option in ((output.outbox, "results", "--send"), (output.notices, "records", "--notify")):
        if outbox is not None and (waiting := len(outbox)):
            complain(
                f"{waiting} {what} wait for {outbox.archive} ({outbox.trouble}): sent when run again with {option}"
            )
        if outbox is not None and outbox.last_refusal is not None:
            complain(f"{outbox.refused} {what} were set aside in {outbox.folder / 'refused'} ({outbox.last_refusal})")
    if not console.quiet:
        for line in checks(summary, out / "records.jsonl"):
            complain(line)
        if wordy and (speed := tally.speed(waited=station.source.endless)):
            say(speed)
        parts = [f"{summary.done} done", *([f"{summary.to_check} to check"] if summary.to_check else [])]
        parts += [f"{summary.failed} failed"]
        parts += [f"{summary.rejected} rejected (--no-gate segments them all the same)"] if summary.rejected else []
        parts += [tally.before(summary.skipped)] if summary.skipped else []
        others = station.source.passed_over
        parts += [f"{others} other file{'s' if others > 1 else ''} passed over"] if others else []
        parts += ["stopped"] if summary.interrupted else []
        say(f"{', '.join(parts)}; results in {out}. {RESEARCH_USE}.")
