"""A station with little memory under every load at once: senders, a watched folder, browsers and stalled peers.

`python -m edge_seg_lab.busy_clinic` has `storescu` (dcmtk) send films over several associations while films appear in a
folder, clients poll the page, and others drip HTTP requests and hold half a DICOM message open. It prints the response
times of C-STORE and the page and the peak memory, and fails if a film is lost or doubled.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from edge_seg.phantom import phantom, write_dicom

from edge_seg_lab.ports import free_port
from edge_seg_lab.station_process import ControlGroup, StationProcess, control_group, whole_records

_DISTINCT = 8
"""Films that are drawn; the others differ from them in UID and one pixel."""

_PAGES = ("/", "/state", "/metrics", "/healthz")
_READERS = 4
_HALF_PDU = b"\x01\x00\x00"
_DRIP_EVERY_S = 0.5


@dataclass(frozen=True)
class Load:
    """The load on a station.

    Attributes:
        senders: simultaneous associations.
        films: films from each sender.
        watched: films that appear in the folder.
        polls: requests to the page per second.
        drips: connections that send a byte of a request now and then.
        halves: connections that hold half the header of a DICOM message.
        side: side of the square films, in pixels.
        model: shipped name or file.
    """

    senders: int = 8
    films: int = 200
    watched: int = 200
    polls: float = 50
    drips: int = 16
    halves: int = 9
    side: int = 512
    model: str = "lungs"


@dataclass(frozen=True)
class Outcome:
    """How the station did.

    Attributes:
        load: as given.
        seconds: from the first film sent until the last is done.
        store_ms, page_ms: median, 99th percentile and longest response time.
        refused: page requests that failed.
        stored, watched: films done, of those sent and of those in the folder.
        lost, doubled: films without a result, and results beyond the first of a film.
        resident_mb: peak of the process's own memory, MiB.
        group_mb: peak of the control group, page cache included; `None` without a group.
    """

    load: Load
    seconds: float
    store_ms: tuple[float, float, float]
    page_ms: tuple[float, float, float]
    refused: int
    stored: int
    watched: int
    lost: int
    doubled: int
    resident_mb: float
    group_mb: float | None


def measure(load: Load, work: Path, megabytes: int | None = 256) -> Outcome:
    """Run a station under a load.

    Args:
        load: the load.
        work: folder for films and results.
        megabytes: memory limit of the station in MiB; `None` for no limit.

    Raises:
        OSError: this machine allows no control group.
        RuntimeError: the station ended, or films were not done in time.
        click.ClickException: `storescu` is not installed.
    """
    sent = _films_to_send(load, work / "sent")
    dicom, page = free_port(), free_port()
    watched = work / "watched"
    watched.mkdir()
    words = ["--listen", str(dicom), "--watch", str(watched), "--view", str(page), "--model", load.model]
    with control_group(megabytes) if megabytes else nullcontext() as group:
        station = StationProcess(work / "out", [*words, "--save", "mask,record", "--no-gate"], group)
        try:
            station.wait_for_port(dicom)
            station.wait_for_port(page)
            return _under_load(load, station, sent, watched, dicom, page, group)
        finally:
            station.kill()


def _under_load(
    load: Load,
    station: StationProcess,
    sent: list[list[Path]],
    watched: Path,
    dicom: int,
    page: int,
    group: ControlGroup | None,
) -> Outcome:
    readers = Readers(page, load.polls)
    with ExitStack() as peers:
        peers.enter_context(_holding(page, load.drips, b"", drip=b"G"))
        peers.enter_context(_holding(dicom, load.halves, _HALF_PDU))
        peers.enter_context(readers)
        start = time.monotonic()
        senders = [Sender(dicom, files) for files in sent]
        names = _appear(watched, load)
        for sender in senders:
            sender.finish()
        station.wait_for(lambda: len(_done(station.out)) >= load.senders * load.films + load.watched, "every film")
        seconds = time.monotonic() - start
        resident, reached = station.resident_mb, group.peak_mb if group else None
    station.stop()
    results = Counter(str(record["source"]) for record in whole_records(station.out) if record["status"] == "done")
    wanted = {f"dicom {path.stem}" for files in sent for path in files} | {str(watched / name) for name in names}
    return Outcome(
        load,
        round(seconds, 1),
        _times([ms for sender in senders for ms in sender.answers_ms]),
        _times(readers.answers_ms),
        readers.refused,
        sum(source.startswith("dicom ") for source in results),
        sum(not source.startswith("dicom ") for source in results),
        len(wanted - results.keys()),
        sum(results.values()) - len(results.keys() & wanted),
        round(resident, 1),
        None if reached is None else round(reached, 1),
    )


def _done(out: Path) -> set[str]:
    return {str(record["source"]) for record in whole_records(out)}


def _times(milliseconds: list[float]) -> tuple[float, float, float]:
    median, late, longest = np.percentile(milliseconds, (50, 99, 100)).round(1).tolist() if milliseconds else (0, 0, 0)
    return median, late, longest


def _films_to_send(load: Load, folder: Path) -> list[list[Path]]:
    """Films for each sender, in a folder for each; a file's name is its UID."""
    import pydicom
    from pydicom.uid import generate_uid

    folder.mkdir(parents=True)
    painted = []
    for seed in range(min(_DISTINCT, load.senders * load.films)):
        write_dicom(phantom(load.side, load.side, seed=seed), folder / "painted.dcm")
        painted.append(pydicom.dcmread(folder / "painted.dcm"))
    (folder / "painted.dcm").unlink()
    films: list[list[Path]] = []
    for sender in range(load.senders):
        (folder / str(sender)).mkdir()
        films.append([])
        for number in range(load.films):
            dataset = painted[(sender + number) % len(painted)]
            uid = generate_uid(entropy_srcs=[f"sender {sender}, film {number}"])
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
            films[-1].append(folder / str(sender) / f"{uid}.dcm")
            dataset.save_as(films[-1][-1])
    return films


def _appear(folder: Path, load: Load) -> list[str]:
    """Write films to a folder one by one and return their names."""
    names = []
    for number in range(load.watched):
        pixels = phantom(load.side, load.side, seed=number % _DISTINCT).film.pixels if number < _DISTINCT else None
        name = f"{number:05d}.png"
        if pixels is not None:
            data = cv2.imencode(".png", pixels)[1].tobytes()
            (folder / name).write_bytes(data)
        else:
            shutil.copyfile(folder / f"{number % _DISTINCT:05d}.png", folder / name)
        names.append(name)
        time.sleep(0.02)
    return names


class Sender:
    """Sends films over one association with `storescu`, and times the answers by its log."""

    def __init__(self, port: int, films: list[Path]) -> None:
        self.answers_ms: list[float] = []
        # A virtual environment has pynetdicom's `storescu`, which sends one film per association.
        tool = shutil.which("storescu", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
        if tool is None:
            raise click.ClickException("storescu is not installed: install dcmtk")
        command = [tool, "-v", "-aet", "SCANNER", "-aec", "EDGESEG", "127.0.0.1", str(port), *map(str, films)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._films = len(films)
        self._said: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        sent = 0.0
        for line in self._process.stdout:
            self._said.append(line)
            if "Sending Store Request" in line:
                sent = time.perf_counter()
            elif "Received Store Response (Success)" in line:
                self.answers_ms.append((time.perf_counter() - sent) * 1000)

    def finish(self) -> None:
        """Wait for it to end.

        Raises:
            RuntimeError: a film was not accepted.
        """
        self._thread.join()
        if self._process.wait() or len(self.answers_ms) != self._films:
            raise RuntimeError(f"{len(self.answers_ms)} of {self._films} films taken: {''.join(self._said[-5:])}")


class Readers:
    """Poll the page `polls` times per second, each time on a new connection, and time the answers."""

    def __init__(self, port: int, polls: float) -> None:
        self.answers_ms: list[float] = []
        self.refused = 0
        self._port, self._every_s = port, _READERS / polls
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(_READERS)]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        due = time.perf_counter()
        while not self._end.wait(max(0.0, due - time.perf_counter())):
            due += self._every_s
            number += 1
            start = time.perf_counter()
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{self._port}{_PAGES[number % len(_PAGES)]}", timeout=30
                ) as answer:
                    answer.read()
            except OSError:
                self.refused += 1
            self.answers_ms.append((time.perf_counter() - start) * 1000)


@contextmanager
def _holding(port: int, count: int, first: bytes, drip: bytes = b"") -> Iterator[None]:
    """Hold connections open that never complete a message, and reopen those that are closed."""
    end = threading.Event()

    def hold() -> None:
        held: list[socket.socket | None] = [None] * count
        while not end.wait(_DRIP_EVERY_S):
            for number, connection in enumerate(held):
                try:
                    if connection is None:
                        held[number] = connection = socket.create_connection(("127.0.0.1", port), 5)
                        connection.sendall(first)
                        connection.setblocking(False)
                    connection.sendall(drip)
                    with suppress(BlockingIOError):
                        if not connection.recv(64):
                            raise ConnectionResetError
                except OSError:
                    if connection is not None:
                        connection.close()
                    held[number] = None
        for connection in held:
            if connection is not None:
                connection.close()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@click.command()
@click.option("--senders", default=Load.senders, show_default=True, help="Associations at once.")
@click.option("--films", default=Load.films, show_default=True, help="That each sends.")
@click.option("--watched", default=Load.watched, show_default=True, help="Films that appear in a folder.")
@click.option("--polls", default=Load.polls, show_default=True, help="Requests to the page in a second.")
@click.option("--drips", default=Load.drips, show_default=True, help="Connections that drip HTTP.")
@click.option("--halves", default=Load.halves, show_default=True, help="Connections that hold half a DICOM message.")
@click.option("--side", default=Load.side, show_default=True, help="Of the square films, in pixels.")
@click.option("--model", default=Load.model, show_default=True, help="Shipped name or file.")
@click.option("--megabytes", default=256, show_default=True, help="Limit of the station's memory in MiB; 0 is none.")
def main(megabytes: int, **values: float | str) -> None:
    """Print what was measured as JSON; exit code 1 where a film is lost or doubled."""
    with tempfile.TemporaryDirectory(prefix="busy-clinic-") as work:
        found = measure(Load(**values), Path(work), megabytes or None)  # type: ignore[arg-type]
    click.echo(json.dumps(asdict(found), indent=2))
    raise SystemExit(bool(found.lost or found.doubled or found.refused))


if __name__ == "__main__":
    main()
