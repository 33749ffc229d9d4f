"""`edge-seg run`: thin over `edge_seg.session.run_session`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from edge_seg.errors import UsageError

_NO_SOURCE = """\
edge-seg run needs films:

  edge-seg run chest.png                     a picture (PNG, JPEG, TIFF) or DICOM file
  edge-seg run films/ '2024-*/*.dcm'         folders and globs
  edge-seg run --camera demo --frames 10     a synthetic chest, to see it work
  edge-seg run --camera 0                    a camera; also a URL (http, rtsp)

Results go to --out (edge-seg-results): masks, overlays, records.jsonl. More: edge-seg run --help"""


@click.command(epilog="Example: edge-seg run films/ --out results")
@click.argument("inputs", metavar="[FILE|FOLDER|GLOB]...", nargs=-1)
@click.option("--camera", metavar="demo|INDEX|URL", help="Take films from a camera.")
@click.option("--model", default="lungs", show_default=True, help="Shipped model or model file.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="edge-seg-results",
    show_default=True,
    help="Folder for results.",
)
@click.option("--save", default="mask,overlay,record", show_default=True, help="What to write, separated by commas.")
@click.option("--frames", type=click.IntRange(1), help="Of a camera or video, at most so many.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: one per core]")
@click.option(
    "--engine",
    type=click.Choice(("litert", "tflite")),
    help="Inference engine.  [default: the one installed]",
)
@click.option("--again", is_flag=True, help="Also films that are done already.")
@click.option("--json", "as_json", is_flag=True, help="Print each record as a JSON line.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each film.")
def run(
    inputs: tuple[str, ...],
    camera: str | None,
    model: str,
    out: Path,
    save: str,
    frames: int | None,
    threads: int | None,
    engine: str | None,
    again: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Segment films; research use only, not for diagnosis.

    For each film `name.ext`, --out receives name.STRUCTURE.png (masks of the film's own size), name.overlay.png and a line
    in records.jsonl. Films that are done already are passed over.
    """
    if not inputs and camera is None:
        click.echo(_NO_SOURCE, err=True)
        return UsageError.exit_code
    from edge_seg.outputs.folder import OutputFolder
    from edge_seg.segmenter import Segmenter
    from edge_seg.session import run_session
    from edge_seg.sources import open_source

    segmenter = Segmenter.load(model, threads=threads, engine=engine)
    output = OutputFolder(out, [word.strip() for word in save.split(",") if word.strip()])
    source = open_source(inputs, camera, frames)
    progress = _Progress(source.total, source.live, quiet, verbose, as_json)
    summary = run_session(source, segmenter, output, progress, again=again)
    progress.finish()
    for failure in summary.failures:
        click.echo(f"edge-seg: {' '.join(str(failure.error).split())}", err=True)
    if not quiet:
        parts = [f"{summary.done} done", f"{len(summary.failures)} failed"]
        parts += [f"{summary.skipped} done before (--again repeats them)"] if summary.skipped else []
        parts += ["stopped by Ctrl-C"] if summary.interrupted else []
        click.echo(f"{', '.join(parts)}; results in {out}", err=True)
    return summary.exit_code


class _Progress:
    """One line that is written over on a terminal; nothing but the verbose lines elsewhere."""

    def __init__(self, total: int | None, live: bool, quiet: bool, verbose: bool, as_json: bool) -> None:
        self._total, self._live, self._verbose, self._json = total, live, verbose, as_json
        self._shown = not quiet and sys.stderr.isatty()
        self._start = time.monotonic()

    def __call__(self, summary: Any, outcome: Any) -> None:
        count = summary.done + summary.skipped + len(summary.failures)
        if isinstance(outcome, dict):
            if self._json:
                click.echo(json.dumps(outcome))
            elif self._verbose:
                click.echo(f"{outcome['name']}: {_numbers(outcome)}", err=True)
        if self._shown:
            text = self._live_line(count, outcome) if self._live else self._batch_line(count)
            click.echo(f"\r\x1b[2K{text}", nl=False, err=True)

    def finish(self) -> None:
        """Leave the line as it stands."""
        if self._shown:
            click.echo(err=True)

    def _batch_line(self, count: int) -> str:
        elapsed = time.monotonic() - self._start
        if self._total is None:
            return f"{count} films, {count / elapsed:.1f} a second"
        left = elapsed / count * (self._total - count)
        return f"{count} of {self._total} films, {int(left) // 60}:{int(left) % 60:02d} left"

    def _live_line(self, count: int, outcome: Any) -> str:
        rate = count / (time.monotonic() - self._start)
        detail = _numbers(outcome) if isinstance(outcome, dict) else ""
        return f"frame {count}, {rate:.1f} a second, {detail}"[:150]


def _numbers(record: dict[str, Any]) -> str:
    areas = record["areas"]
    shown = [
        f"{name.replace('_', ' ')} {area['cm2']:.0f} cm2"
        if area["cm2"] is not None
        else f"{name.replace('_', ' ')} {area['pixels']} px"
        for name, area in areas.items()
        if name not in ("whole_lung", "visible_lung")
    ]
    age = record["film"]["age_s"]
    aged = f"age {age:.2f} s, " if age is not None else ""
    return f"{aged}{record['timings_ms']['inference']:.0f} ms, {', '.join(shown)}"
