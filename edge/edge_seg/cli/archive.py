"""`edge-seg archive`: a thin layer over `edge_seg.archive`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_seg.cli.main import complain, say
from edge_seg.cli.options import given_values, some_station_options
from edge_seg.errors import DeviceError
from edge_seg.notice import RESEARCH_USE

if TYPE_CHECKING:
    from edge_seg.archive import Status
    from edge_seg.archive.shards import Counts

_MODEL = some_station_options("model.name", "model.lung", "model.gate")

_LONG_AGO_S = 60.0


class _Shard(click.ParamType):
    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        index, _, of = str(value).partition("/")
        if not (index.isdecimal() and of.isdecimal()):
            self.fail("give it as 3/200", param, ctx)
        return int(index), int(of)


@click.group(epilog="Example: edge-seg archive plan films/ --out archive && edge-seg archive run archive")
def archive() -> None:
    """Segment archives of millions of films; research use only, not for diagnosis.

    `plan` freezes which films, `run` segments them on one machine or many and goes on where it was stopped, `status`
    says how far it is, `export` takes films out again.
    """


@archive.command(epilog="Example: edge-seg archive plan films/ s3://bucket/films list.csv --out archive")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--out", "address", metavar="DEST", required=True, help="Folder of the archive: a path, or a URL (s3://)."
)
@click.option(
    "--films-per-shard",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="Films of a part; what is lost when a machine is lost.",
)
@_MODEL
def plan(sources: tuple[str, ...], address: str, films_per_shard: int, **parameters: Any) -> None:
    """Note which films there are, with size and time, and what will segment them.

    SOURCE is a folder, a file, a glob, a URL of an object store, the address of a DICOMweb service, or a list of
    films: CSV or Parquet with a column `source`.
    """
    from edge_seg.archive.planning import plan

    made = plan(sources, address, films_per_shard=films_per_shard, **_model(parameters))
    settings = made.settings
    others = f", {made.passed_over} other files passed over" if made.passed_over else ""
    bad = f", {made.problems} of them cannot be had" if made.problems else ""
    say(f"{settings.films} films{bad} in {settings.shards} shards{others}; next: edge-seg archive run {address}")


@archive.command(epilog="Example: edge-seg archive run archive --shard 3/200")
@click.argument("address", metavar="DEST")
@click.option("--workers", type=click.IntRange(1), help="Processes that segment. [default: one per core]")
@click.option("--shard", type=_Shard(), metavar="I/N", help="This is run I of N, the first is 0; each does its share.")
@click.option(
    "--dask",
    metavar="local|tcp://HOST:PORT",
    help="Let the workers of a Dask scheduler segment, or of a cluster on this machine.",
)
@click.option(
    "--film-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=120.0,
    show_default=True,
    help="Give up a film that takes longer, twice.",
)
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Requests to a DICOMweb service at once, of all workers of this run.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@_MODEL
def run(
    address: str,
    workers: int | None,
    shard: tuple[int, int] | None,
    dask: str | None,
    film_timeout: float,
    requests: int,
    quiet: bool,
    **parameters: Any,
) -> int:
    """Segment the films whose part is not there yet.

    --model, --lung and --gate need not be given: the archive knows its own, and anything else is refused.
    """
    from edge_seg.archive.engines import run
    from edge_seg.cli.stop import Stop

    began, told = time.monotonic(), _Progress(quiet)
    with Stop():
        total = run(
            address,
            workers=workers,
            shard=shard,
            dask=dask,
            timeout_s=film_timeout,
            requests=requests,
            told=told.part,
            **_model(parameters),
        )
    for problem in total.problems:
        complain(problem)
    if (more := total.failed + total.rejected - len(total.problems)) > 0:
        complain(f"and {more} more: edge-seg archive export {address} --where \"status == 'failed'\"")
    rate = f"; {total.films / max(time.monotonic() - began, 1e-3):.1f} films a second" if total.films else ""
    say(f"{_became(total)}{rate}; how far it is: edge-seg archive status {address}. {RESEARCH_USE}.")
    return total.exit_code


@archive.command(epilog="Example: edge-seg archive status archive")
@click.argument("address", metavar="DEST")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(address: str, as_json: bool) -> int:
    """Say how far an archive is; asked of its parts alone, from anywhere."""
    from edge_seg.archive.state import status

    found = status(address)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        for line in _lines(found):
            click.echo(line)
    for part in found.damaged:
        complain(f"{part}: cannot be read: remove it and run again")
    return DeviceError.exit_code if found.damaged else 0


@archive.command(epilog="Example: edge-seg archive export archive --masks png --where 'estimated_dice < 0.9' --out low")
@click.argument("address", metavar="DEST")
@click.option("--where", default="", metavar="CONDITION", help="Which films, by columns of the records.")
@click.option("--masks", type=click.Choice(["png"]), help="Also write each structure's mask.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("edge-seg-export"),
    show_default=True,
    help="Folder for what is exported; it must be empty.",
)
def export(address: str, where: str, masks: str | None, out: Path) -> None:
    """Take films out of an archive: records.jsonl, and masks.

    CONDITION compares columns with values: areas.right_lung.cm2 > 300, status == 'failed', film.view in ('PA', 'AP'),
    estimated_dice is None, joined by and, or, not.
    """
    from edge_seg.archive.exports import export

    made = export(address, out, where=where, masks=masks)
    say(f"{made.films} films, {made.masks} masks in {out}. {RESEARCH_USE}.")


def _model(parameters: dict[str, Any]) -> dict[str, Any]:
    """Those of --model, --lung and --gate that were given."""
    given = dict(given_values(parameters).get("model", {}))
    return {"model" if name == "name" else name: value for name, value in given.items()}


class _Progress:
    """Reports progress every few seconds."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._shards, self._films = quiet, 0, 0
        self._began = self._shown = time.monotonic()

    def part(self, shard: int, counts: Counts) -> None:
        """Count a finished shard."""
        self._shards, self._films = self._shards + 1, self._films + counts.films
        now = time.monotonic()
        if not self._quiet and now - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown = now
            rate = self._films / (now - self._began)
            say(f"{self._shards} shards, {self._films} films here, {rate:.1f} films a second")


_SECONDS_BETWEEN_LINES = 10.0


def _became(total: Counts) -> str:
    done = total.films - total.failed - total.rejected
    parts = [f"{done} done", f"{total.failed} failed"]
    return ", ".join([*parts, f"{total.rejected} rejected"] if total.rejected else parts)


def _lines(found: Status) -> list[str]:
    settings = found.settings
    lung, gate = f", lung {settings.lung}" if settings.lung else "", "" if settings.gate else ", no gate"
    lines = [
        f"model     {settings.model.name} {settings.model.version}{lung}{gate}, edge-seg {settings.edge_seg}",
        f"films     {found.films_done} of {settings.films}, {found.rejected} rejected, {found.failed} failed",
        f"shards    {found.shards_done} of {settings.shards}",
    ]
    if found.films_per_second is not None:
        lines.append(f"speed     {found.films_per_second:.1f} films a second")
    if found.seconds_left and found.films_done < settings.films:
        lines.append(f"left      {_duration(found.seconds_left)} at this speed")
    if found.newest_part_s is not None and found.films_done < settings.films and found.newest_part_s > _LONG_AGO_S:
        lines.append(f"last      part written {_duration(found.newest_part_s)} ago")
    return [*lines, f"{RESEARCH_USE}."]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if days else f"{hours}:{minutes:02d}:{rest:02d}"
