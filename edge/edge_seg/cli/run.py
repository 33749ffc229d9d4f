"""`edge-seg run`: thin over `edge_seg.station.session.run_session`."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import click

from edge_seg.cli.main import complain
from edge_seg.errors import UsageError
from edge_seg.notice import RESEARCH_USE

_NO_SOURCE = """\
edge-seg run needs films:

  edge-seg run chest.png                     a picture (PNG, JPEG, TIFF) or DICOM file
  edge-seg run films/ '2024-*/*.dcm'         folders and globs
  edge-seg run --camera demo --frames 10     a synthetic chest, to see it work
  edge-seg run --camera 0                    a camera; also a URL (http, rtsp)
  edge-seg run --watch inbox/                films as they appear in a folder
  edge-seg run --listen 11112                films that a scanner sends by DICOM

Results go to --out (edge-seg-results): masks, overlays, records.jsonl. More: edge-seg run --help"""


@click.command(epilog="Example: edge-seg run films/ --out results")
@click.argument("inputs", metavar="[FILE|FOLDER|GLOB]...", nargs=-1)
@click.option(
    "--camera",
    "cameras",
    metavar="demo|auto|picamera|INDEX|URL|VIDEO",
    multiple=True,
    help="Take films from a camera; repeatable.",
)
@click.option("--light-box", is_flag=True, help="The camera looks at a film on a light box: find it, undo keystone.")
@click.option(
    "--watch",
    "watched",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Take films as they appear in a folder; repeatable.",
)
@click.option(
    "--listen",
    metavar="[HOST:]PORT",
    help="Receive films by DICOM (C-STORE); from this machine alone unless HOST says otherwise.",
)
@click.option("--ae-title", default="EDGESEG", show_default=True, help="What DICOM senders call this device.")
@click.option("--sender", "senders", metavar="AE", multiple=True, help="Receive from this AE title alone; repeatable.")
@click.option("--model", default="lungs", show_default=True, help="Shipped model or model file.")
@click.option(
    "--lung",
    type=click.Choice(("whole", "visible")),
    help="What a lung is: with the part behind the heart, or without.  [default: whole]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="edge-seg-results",
    show_default=True,
    help="Folder for results.",
)
@click.option(
    "--save",
    default="mask,overlay,record",
    show_default=True,
    help="What to write, separated by commas: mask, overlay, record, dicom (SEG, overlay and measurement report).",
)
@click.option("--names", is_flag=True, help="Name patients in records and on the page, not by UIDs alone.")
@click.option("--keep-days", type=click.FloatRange(0, min_open=True), help="Remove results older than so many days.")
@click.option(
    "--keep-free",
    type=click.FloatRange(0, min_open=True),
    metavar="GB",
    help="Remove the oldest results while less of the disk is free.",
)
@click.option(
    "--view",
    metavar="[HOST:]PORT",
    help="Show results and health in a browser; on this machine alone unless HOST says otherwise.",
)
@click.option(
    "--view-token",
    envvar="EDGE_SEG_VIEW_TOKEN",
    help="What a browser elsewhere must know; also EDGE_SEG_VIEW_TOKEN.  [default: made up]",
)
@click.option("--send", metavar="AE@HOST:PORT", help="Send DICOM results on to an archive; adds dicom to --save.")
@click.option(
    "--frames", type=click.IntRange(1), help="Of each camera, video, watched folder or listener, at most so many."
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: one per core]")
@click.option(
    "--engine",
    type=click.Choice(("litert", "tflite")),
    help="Inference engine.  [default: the one installed]",
)
@click.option(
    "--delegate",
    type=click.Choice(("auto", "cpu", "edgetpu")),
    default="auto",
    show_default=True,
    help="What runs the network; the CPU stands in for an Edge TPU that fails.",
)
@click.option(
    "--gate/--no-gate", default=True, show_default=True, help="Reject what is no film of the kind the model expects."
)
@click.option("--again", is_flag=True, help="Also films that are done already.")
@click.option("--json", "as_json", is_flag=True, help="Print each record as a JSON line.")
@click.option("-q", "--quiet", is_flag=True, help="No progress; errors only.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each film.")
def run(
    inputs: tuple[str, ...],
    cameras: tuple[str, ...],
    light_box: bool,
    watched: tuple[Path, ...],
    listen: str | None,
    ae_title: str,
    senders: tuple[str, ...],
    model: str,
    lung: str | None,
    out: Path,
    save: str,
    send: str | None,
    names: bool,
    keep_days: float | None,
    keep_free: float | None,
    view: str | None,
    view_token: str | None,
    frames: int | None,
    threads: int | None,
    engine: str | None,
    delegate: str,
    gate: bool,
    again: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Segment films; research use only, not for diagnosis.

    For each film `name.ext`, --out receives name.STRUCTURE.png (masks of the film's own size), name.overlay.png and a
    line in records.jsonl. Films that are done already are passed over.
    """
    if not (inputs or cameras or watched or listen):
        click.echo(_NO_SOURCE, err=True)
        return UsageError.exit_code
    from edge_seg.cli.progress import Progress
    from edge_seg.cli.quiet import native_libraries_quiet
    from edge_seg.cli.stop import Stop
    from edge_seg.outputs.folder import OutputFolder
    from edge_seg.outputs.outbox import Archive, Outbox
    from edge_seg.segmenter import Segmenter
    from edge_seg.sources import forget_received, open_source
    from edge_seg.station.retention import Retention
    from edge_seg.station.service import Service
    from edge_seg.station.session import Observer, run_session

    stop = Stop()
    archive = Archive.parse(send) if send is not None else None
    products = [word.strip() for word in save.split(",") if word.strip()] + (["dicom"] if archive else [])
    with closing(OutputFolder(out, products, names=names)) as output:
        with native_libraries_quiet():
            segmenter = Segmenter.load(model, threads=threads, engine=engine, lung=lung, gate=gate, delegate=delegate)
        source = open_source(
            inputs,
            cameras,
            watched,
            listen,
            state=out,
            frames=frames,
            light_box=light_box,
            ae_title=ae_title,
            senders=senders,
        )
        if archive is not None:
            output.outbox = Outbox(out / "outbox", archive, ae_title)
        progress = Progress(source.total, source.live, quiet, verbose, as_json)
        try:
            with ExitStack() as stack:
                service = stack.enter_context(closing(Service()))
                observers: list[Observer] = [progress, service, stop]
                if keep_days is not None or keep_free is not None:
                    free_bytes = None if keep_free is None else int(keep_free * 1e9)
                    observers.append(Retention(output, keep_days, free_bytes, partial(forget_received, out)))
                if view is not None:
                    from edge_seg.station.health import Health
                    from edge_seg.station.page import PageServer

                    health = Health(segmenter, source, output)
                    page = stack.enter_context(closing(PageServer(view, health, view_token)))
                    observers.append(health)
                    if not quiet:
                        click.echo(f"page: {page.url}", err=True)
                service.started()
                summary = run_session(source, segmenter, output, observers, again=again)
        finally:
            progress.finish()
    for problem in summary.problems:
        complain(problem)
    problems = summary.failed + summary.rejected
    if problems > len(summary.problems):
        complain(f"and {problems - len(summary.problems)} more: see {out / 'records.jsonl'}")
    if output.outbox is not None and (waiting := len(output.outbox)):
        complain(f"{waiting} results wait for {archive} ({output.outbox.trouble}): sent when run again with --send")
    if not quiet:
        parts = [f"{summary.done} done", f"{summary.failed} failed"]
        parts += [f"{summary.rejected} rejected (--no-gate segments them all the same)"] if summary.rejected else []
        parts += [f"{summary.skipped} done before (--again repeats them)"] if summary.skipped else []
        parts += ["stopped"] if summary.interrupted else []
        click.echo(f"{', '.join(parts)}; results in {out}. {RESEARCH_USE}.", err=True)
    return summary.exit_code
