"""A station with years of records: how fast it starts, in how much memory, and how it removes old results.

`python -m edge_seg_lab.long_records` fills an output folder, starts a station without its index and again with it,
requests the page, and has half of the results removed while it kills the station a few times.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.journal import RECORDS_NAME, REMOVED_NAME
from edge_seg.phantom import phantom
from edge_seg.segmenter import Segmenter

from edge_seg_lab.ports import free_port
from edge_seg_lab.station_process import StationProcess

_SIDE = 256
_OLD_DAYS, _KEPT_DAYS = 40, 30
_REQUESTS = 200


@dataclass(frozen=True)
class Start:
    """A station's start, up to the record of its first film.

    Attributes:
        seconds, processor_s: wall-clock time, and processor time, which other programs do not lengthen.
        resident_mb: peak memory until then, in MiB.
    """

    seconds: float
    processor_s: float
    resident_mb: float


@dataclass(frozen=True)
class Outcome:
    """What was measured.

    Attributes:
        records: in the folder, half of them old.
        journal_mb: size of their file in MB.
        first: start without an index; later: start with it.
        page_ms: 99th percentile of the page's response time.
        kills: times the station was killed while removing old results.
        retention_s: seconds until all old results were removed, starts after kills included.
        retention_mb: peak memory in that time, in MiB.
        wrong: old results that stayed, new ones that were removed, and films that did not stay done.
    """

    records: int
    journal_mb: float
    first: Start
    later: Start
    page_ms: float
    kills: int
    retention_s: float
    retention_mb: float
    wrong: int


def measure(records: int, kills: int, work: Path, model: str = "lungs-nano") -> Outcome:
    """Run the measurement.

    Args:
        records: films in the folder.
        kills: times to kill the station while it removes half of their results.
        work: folder for films and results.
        model: shipped name or file.

    Raises:
        RuntimeError: the station ended by itself, or took too long.
    """
    out, watched = work / "out", work / "watched"
    watched.mkdir(parents=True)
    fill(out, records, model)
    size = (out / RECORDS_NAME).stat().st_size / 1e6
    port = free_port()
    words = ["--watch", str(watched), "--model", model, "--view", str(port), "--no-gate"]
    starts = []
    for number in range(2):
        # Given by name, since a film in a watched folder must settle first.
        station = StationProcess(out, [str(_film(work, number)), *words])
        starts.append(_first_film(station))
        page_ms = _page_ms(port)
        station.stop()
    begun = time.monotonic()
    words = [*words, "--keep-days", str(_KEPT_DAYS)]
    for number in range(1, kills + 1):
        station, left = StationProcess(out, words), records // 2 * (kills + 1 - number) // (kills + 1)
        station.wait_for(partial(_at_most, left, out, records), "old results are removed")
        station.kill()
    station, whole = StationProcess(out, words), (out / RECORDS_NAME).stat().st_size
    station.wait_for(lambda: (out / RECORDS_NAME).stat().st_size < whole * 3 / 4, "the journal is cut")
    seconds, reached = time.monotonic() - begun, station.resident_mb
    station.stop()
    wrong = _wrong(out, records)
    return Outcome(
        records, round(size, 1), starts[0], starts[1], page_ms, kills, round(seconds, 1), round(reached, 1), wrong
    )


def fill(out: Path, count: int, model: str) -> None:
    """Write an output folder of `count` films, the first half old, each with an overlay."""
    output = OutputFolder(out)
    plain = output.write(Segmenter.load(model)(phantom(_SIDE, _SIDE, seed=0).film)).to_json()
    output.close()
    for path in out.glob("*.png"):
        path.unlink()
    now = datetime.now(timezone.utc)
    with (out / RECORDS_NAME).open("w") as file:
        for number in range(count):
            stamp = now - timedelta(days=_OLD_DAYS) if number < count // 2 else now
            file.write(json.dumps(_record(plain, number, stamp)) + "\n")
            (out / f"f{number}.overlay.png").write_bytes(b"png")


def _record(plain: dict[str, Any], number: int, stamp: datetime) -> dict[str, Any]:
    stem = f"f{number}"
    files = [{"name": f"{stem}.overlay.png", "bytes": 3, "sha256": f"{number:064x}"}]
    own = {"name": f"{stem}.png", "source": f"films/{stem}.png", "stem": stem, "files": files}
    return {**plain, **own, "film": {**plain["film"], "sha256": f"{number:064x}"}, "recorded_at": stamp.isoformat()}


def _film(folder: Path, number: int) -> Path:
    path = folder / f"new-{number}.png"
    path.write_bytes(cv2.imencode(".png", phantom(_SIDE, _SIDE, seed=number).film.pixels)[1].tobytes())
    return path


def _first_film(station: StationProcess) -> Start:
    size = (station.out / RECORDS_NAME).stat().st_size
    station.wait_for(lambda: (station.out / RECORDS_NAME).stat().st_size > size, "the first film is done")
    seconds = time.monotonic() - station.started
    return Start(round(seconds, 2), round(station.processor_s, 2), round(station.resident_mb, 1))


def _page_ms(port: int) -> float:
    taken = []
    for _ in range(_REQUESTS):
        start = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/state", timeout=30) as answer:
            answer.read()
        taken.append((time.perf_counter() - start) * 1000)
    return float(np.percentile(taken, 99).round(1))


def _at_most(left: int, out: Path, records: int) -> bool:
    """Whether at most `left` old results remain; they are removed in order, so bisection counts them."""
    low, high = 0, records // 2
    while low < high:
        middle = (low + high) // 2
        if (out / f"f{middle}.overlay.png").exists():
            high = middle
        else:
            low = middle + 1
    return records // 2 - low <= left


def _wrong(out: Path, records: int) -> int:
    half = records // 2
    there = {path.name for path in out.glob("f*.overlay.png")}
    stayed = sum(f"f{number}.overlay.png" in there for number in range(half))
    gone = sum(f"f{number}.overlay.png" not in there for number in range(half, records))
    with (out / REMOVED_NAME).open() as file:
        done = {json.loads(line)["source"] for line in file}
    return stayed + gone + sum(f"films/f{number}.png" not in done for number in range(half))


@click.command()
@click.option("--records", default=200_000, show_default=True, help="Films in the folder.")
@click.option("--kills", default=3, show_default=True, help="Of the station while it removes half of the results.")
@click.option("--model", default="lungs-nano", show_default=True, help="Shipped name or file.")
def main(records: int, kills: int, model: str) -> None:
    """Print what was measured as JSON; exit code 1 where retention went wrong."""
    with tempfile.TemporaryDirectory(prefix="long-records-") as work:
        found = measure(records, kills, Path(work), model)
    click.echo(json.dumps(asdict(found), indent=2))
    raise SystemExit(bool(found.wrong))


if __name__ == "__main__":
    main()
