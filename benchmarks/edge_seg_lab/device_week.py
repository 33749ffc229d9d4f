"""A week on a device in fast motion: memory, disk and journal stay flat, and each film is settled exactly once.

`python -m edge_seg_lab.device_week` runs a station with the settings of `image/`, in the memory that its unit has, with
its results on a small partition of its own. Films come by DICOM as if half a minute lay between two of them, the clock
is not set at first and jumps by days later, another file fills the disk every other day, and at the end the power goes.
Only root may do this, where there are a C compiler, util-linux and e2fsprogs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from edge_seg.outputs.journal import RECORDS_NAME, REMOVED_NAME
from edge_seg.phantom import phantom, write_dicom

from edge_seg_lab.station_process import StationProcess, control_group, free_port

_PROJECT = Path(__file__).parents[2]
_DAYS = 7
_DAY_S = 86_400.0
_DISTINCT = 16
"""Films that are painted; the others differ from them in UID and one pixel."""
_WAITING = 40
"""Films that wait for their result at most: a sender that does not wait would only lengthen the queue."""
_ASSOCIATION = 50
_AGAIN_EVERY = 100
"""Films from one that is sent twice to the next."""
_SAMPLES_A_DAY = 24
_PATIENCE_S = 1200.0
_TOKEN = "a long word for a week"

# A board's own boot, uptime and /run, and a clock that is told from outside.
_AS_A_BOARD = """
mount --bind "$1/boot_id" /proc/sys/kernel/random/boot_id && mount --bind "$1/uptime" /proc/uptime &&
mount --bind "$1/system" /run || exit 75
WRONG_CLOCK=$1/offset LD_PRELOAD=$1/wrong_clock.so; export WRONG_CLOCK LD_PRELOAD; shift; exec "$@"
"""

_MEMORY_MB = 4.0
"""Growth of the memory in use that is none: what an allocator does."""
_IN_HAND = 8
"""Files that may be open, and threads that may flush them, at one moment and not at another: a leak is one a film."""
_TOMBSTONE_BYTES = 1000
"""What is kept at most of a film whose results were removed."""
_LOG_A_DAY = 64_000


@dataclass(frozen=True)
class Load:
    """What comes in a week.

    Attributes:
        films: of the week.
        side: of the square films, in pixels.
        disk_mb: MiB of the data partition; a device has some gigabytes, which fill before the week's second day.
        free_gb: what retention keeps free, `None` as the image has it.
        full_days: days in whose middle another file fills the disk.
        jumps: day, and days by which the clock is then wrong; from `synchronised` on a time server has set it.
        synchronised: day from which a time server is there; the clock is 40 days behind before.
        model: shipped name or file, `None` as the image has it.
        save: products, separated by commas, `None` as the image has them; DICOM results are most of the work.
    """

    films: int = 20_000
    side: int = 256
    disk_mb: int = 1600
    free_gb: float | None = None
    full_days: tuple[float, ...] = (1.5, 3.5, 5.5)
    jumps: tuple[tuple[float, float], ...] = (
        (0.0, -40.0),
        (1.2, 0.0),
        (2.3, 9.0),
        (2.8, 0.0),
        (4.2, -12.0),
        (4.7, 0.0),
    )
    synchronised: float = 1.2
    model: str | None = None
    save: str | None = None


@dataclass(frozen=True)
class Sample:
    """The station at one moment.

    Attributes:
        day: of the week, from 0.
        memory_mb: MiB resident.
        threads, descriptors: that it has.
        used_mb: MiB of the partition in use, the file that fills it not counted.
        files: on the partition.
        records, removed: bytes of the journal and of what stays of removed results.
        log: bytes that it has said so far.
    """

    day: float
    memory_mb: float
    threads: int
    descriptors: int
    used_mb: float
    files: int
    records: int
    removed: int
    log: int


@dataclass
class Outcome:
    """How the week went.

    Attributes:
        load: as given.
        seconds: that it took.
        acknowledged, again: films whose sender heard of success, and those sent once more.
        refused: films that a full disk did not take, and that were sent again.
        lost, doubled, failed: acknowledged films without a record, with more than one, and those set aside.
        removed: films whose results retention removed.
        processor_s: that the station took for all films, of one core.
        restart_s: from the power cut to a page that answers.
        group_mb: peak of the control group, with files that the kernel keeps.
        problems: what the page told in the week, without numbers.
        faults: what is not as it should be, empty where all is.
        samples: by time.
    """

    load: Load
    seconds: float = 0.0
    acknowledged: int = 0
    again: int = 0
    refused: int = 0
    lost: int = 0
    doubled: int = 0
    failed: int = 0
    removed: int = 0
    processor_s: float = 0.0
    restart_s: float = 0.0
    group_mb: float | None = None
    problems: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list, repr=False)

    def table(self) -> str:
        """The days, a line each: the middle of memory, the most of what is used, and the last of what is written."""
        lines = ["day  films  memory MiB  threads  descriptors  disk MiB  files  records kB  removed kB  log kB"]
        for number in range(_DAYS):
            of_day = day_of(self.samples, number)
            if of_day:
                last, most = (
                    of_day[-1],
                    [max(getattr(one, name) for one in of_day) for name in ("threads", "descriptors")],
                )
                lines.append(
                    f"{number + 1:3} {round(self.load.films * (number + 1) / _DAYS):6} {memory_of(of_day):11.1f}"
                    f" {most[0]:8} {most[1]:12} {max(one.used_mb for one in of_day):9.0f}"
                    f" {max(one.files for one in of_day):6} {max(one.records for one in of_day) / 1e3:11.0f}"
                    f" {last.removed / 1e3:11.0f} {last.log / 1e3:7.1f}"
                )
        return "\n".join(lines)


def day_of(samples: list[Sample], number: int) -> list[Sample]:
    """Those of a day."""
    return [one for one in samples if number <= one.day < number + 1]


def memory_of(samples: list[Sample]) -> float:
    """The middle of their memory in MiB."""
    return statistics.median(one.memory_mb for one in samples)


def grown(load: Load, samples: list[Sample]) -> list[str]:
    """What is not flat: the last two days against the second and the third, by when the disk has filled once.

    What stays of a removed result grows by design, by so many bytes a film.
    """
    early = day_of(samples, 1) + day_of(samples, 2)
    late = day_of(samples, _DAYS - 2) + day_of(samples, _DAYS - 1)
    found = []
    if memory_of(late) > memory_of(early) + _MEMORY_MB:
        found.append(f"memory: {memory_of(early):.1f} MiB, then {memory_of(late):.1f} MiB")
    limits = {"threads": _IN_HAND, "descriptors": _IN_HAND, "used_mb": 0.0, "files": 0, "records": 0}
    for name, more in limits.items():
        before, after = (max(getattr(one, name) for one in some) for some in (early, late))
        # A twentieth: when retention looks is chance.
        if after > before * 1.05 + more:
            found.append(f"{name}: {before:.0f}, then {after:.0f}")
    removed = late[-1].removed
    if removed > load.films * _TOMBSTONE_BYTES:
        found.append(f"{REMOVED_NAME}: {removed} bytes for {load.films} films")
    if late[-1].log > _LOG_A_DAY * _DAYS:
        found.append(f"log: {late[-1].log} bytes")
    return found


def what_is_missing() -> str | None:
    """Why no week can be had here, `None` where it can."""
    if sys.version_info < (3, 11):
        return "the device's programs need Python 3.11"
    if os.geteuid() != 0:
        return "a partition and a clock of its own can be given by root alone"
    for tool in ("unshare", "losetup", "mkfs.ext4", "cc"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"{tool} is not installed"
    return None


class Board:
    """What a station on a board sees of it: boot, uptime, clock and whether a time server has set it.

    Args:
        folder: for the files that stand for these.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "system" / "systemd" / "timesync").mkdir(parents=True)
        source, made = Path(__file__).with_name("wrong_clock.c"), folder / "wrong_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", made, source, "-ldl"], check=True)
        self._boots, self._up_since, self._passed_s = 0, 0.0, 0.0
        self._started = time.time()
        self._wrong_s = 0.0
        self.boot()

    @property
    def day(self) -> float:
        """Of the week."""
        return self._passed_s / _DAY_S

    def boot(self) -> None:
        """Start anew, ten minutes later."""
        self._boots += 1
        self._up_since = self._passed_s
        (self.folder / "boot_id").write_text(f"00000000-0000-4000-8000-{self._boots:012d}\n")
        self.go_on(self._passed_s + 600)

    def go_on(self, passed_s: float, wrong_days: float = 0.0) -> None:
        """Let it be so many seconds of the week, by a clock that is wrong by so many days."""
        self._passed_s, self._wrong_s = passed_s, wrong_days * _DAY_S
        offset = self._started + passed_s + self._wrong_s - time.time()
        # In place, since a mount holds the file, and of one length, since it may be read meanwhile.
        _overwrite(self.folder / "uptime", f"{passed_s - self._up_since + 60:020.2f} 0.00\n".encode())
        _overwrite(self.folder / "offset", round(offset * 1e9).to_bytes(8, sys.byteorder, signed=True))

    def synchronise(self) -> None:
        """A time server has set the clock."""
        (self.folder / "system" / "systemd" / "timesync" / "synchronized").touch()


def _overwrite(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(descriptor, data, 0)
    finally:
        os.close(descriptor)


@contextmanager
def partition(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, made and mounted as that of a device is.

    Raises:
        OSError: it cannot be had here.
    """
    image, place = folder / "data.ext4", folder / "data"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    for words in (
        ["mkfs.ext4", "-q", "-F", "-L", "edge-seg-data", str(image)],
        ["mount", "-o", "loop,noatime,nosuid,nodev,noexec,errors=remount-ro", str(image), str(place)],
    ):
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise OSError(f"{words[0]}: {done.stderr.strip()}")
    try:
        for name in ("results", "settings", "clock"):
            (place / name).mkdir(mode=0o700)
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class Ledger:
    """Every record that was ever written, though retention removes them: the journal is followed as it grows.

    Args:
        out: folder of results.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / RECORDS_NAME
        self._seen: set[tuple[str, str]] = set()
        self._file_id, self._read = 0, 0
        self.settled: Counter[str] = Counter()
        self.failed: set[str] = set()

    def follow(self) -> int:
        """Read what is new; how many records there were so far."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            if (file_id := os.fstat(file.fileno()).st_ino) != self._file_id:
                # Its beginning was cut off: what was read before is known by its film and time.
                self._file_id, self._read = file_id, 0
            file.seek(self._read)
            lines = file.read().rpartition(b"\n")[0]
            self._read += len(lines) + bool(lines)
            for line in lines.splitlines():
                self._note(json.loads(line))
        return len(self._seen)

    def _note(self, record: dict[str, Any]) -> None:
        source = str(record["source"])
        key = (source, str(record["recorded_at"]))
        if key not in self._seen:
            self._seen.add(key)
            self.settled[source] += 1
            if record["status"] != "done":
                self.failed.add(source)


class Scanner:
    """Sends films over associations of some dozen, and again what was refused, as a modality does.

    Args:
        port: of the station.
        load: what is sent.
        folder: for the films that are painted.
    """

    def __init__(self, port: int, load: Load, folder: Path) -> None:
        import pydicom
        from pynetdicom import AE

        self._port = port
        self._entity = AE("SCANNER")
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = 120
        self._painted = []
        for seed in range(min(_DISTINCT, load.films)):
            write_dicom(phantom(load.side, load.side, seed=seed), folder / "painted.dcm")
            self._painted.append(pydicom.dcmread(folder / "painted.dcm"))
        first = self._painted[0]
        self._entity.add_requested_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
        self._association: Any = None
        self._sent = 0

    def uid(self, number: int) -> Any:
        """Of a film."""
        from pydicom.uid import generate_uid

        return generate_uid(entropy_srcs=[f"device week {number}"])

    def send(self, number: int) -> bool:
        """Whether the station acknowledged a film."""
        dataset, uid = self._painted[number % len(self._painted)], self.uid(number)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.PixelData = number.to_bytes(4, "little") + dataset.PixelData[4:]
        if self._association is None or not self._association.is_established or self._sent >= _ASSOCIATION:
            self.hang_up()
            self._association, self._sent = self._entity.associate("127.0.0.1", self._port, ae_title="EDGESEG"), 0
            if not self._association.is_established:
                return False
        self._sent += 1
        answer = self._association.send_c_store(dataset)
        return "Status" in answer and answer.Status == 0

    def hang_up(self) -> None:
        """End the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None


class Week:
    """A station and what happens to it.

    Args:
        load: of the week.
        work: folder for everything.
        disk: mounted partition.
        group: control group of the station, `None` without one.
    """

    def __init__(self, load: Load, work: Path, disk: Path, group: Any) -> None:
        self.load, self._work, self._disk, self._group = load, work, disk, group
        self.out, self._log = disk / "results", work / "log"
        self._board = Board(work / "board")
        self._dicom, self._page = free_port(), free_port()
        self._words = ["--config", str(self._settings())]
        self._words += ["--model", load.model] if load.model else []
        self._words += ["--save", load.save] if load.save else []
        self._ledger = Ledger(self.out)
        self._scanner = Scanner(self._dicom, load, work)
        self._station = self._start()
        self._filler = disk / "filler"
        self._full_days, self._jumps = list(load.full_days), list(load.jumps)
        self._wrong_days = 0.0
        self._sampled = -1.0
        self.outcome = Outcome(load)

    def _settings(self) -> Path:
        """What the program of the image makes of the card's settings, but for ports, token, and free space if told."""
        card = self._work / "card"
        card.mkdir()
        text = (_PROJECT / "image" / "edge-seg.toml").read_text()
        text = text.replace("[listener]", f'[listener]\naddress = "127.0.0.1:{self._dicom}"')
        text = text.replace("[view]", f'[view]\naddress = "127.0.0.1:{self._page}"\ntoken = "{_TOKEN}"')
        if self.load.free_gb is not None:
            text = re.sub("(?m)^free_gb = .*$", f"free_gb = {self.load.free_gb}", text)
        (card / "edge-seg.toml").write_text(text)
        program = _program_of_the_image()
        places = program.Places(card, self._disk, self._work / "run")
        problems = program.apply(places)
        if problems:
            raise click.ClickException("; ".join(problems))
        path: Path = places.run / "station.toml"
        return path

    def _start(self) -> StationProcess:
        before = ["unshare", "--mount", "sh", "-c", _AS_A_BOARD, "sh", str(self._board.folder)]
        station = StationProcess(self.out, self._words, self._group, self._log, before)
        station.wait_for_port(self._dicom)
        station.wait_for_port(self._page)
        return station

    def pass_by(self) -> None:
        """Send all films, each in its minute, with all that happens between them."""
        begun = time.monotonic()
        for number in range(self.load.films):
            self._board.go_on(number * _DAYS * _DAY_S / self.load.films, self._wrong_days)
            self._happen()
            self._deliver(number)
            if number % _AGAIN_EVERY == 0:
                # A sender that did not hear the answer.
                self.outcome.again += 1
                self._deliver(number)
            self._wait_for_results(number + 1 - _WAITING)
        self._wait_for_results(self.load.films)
        self._scanner.hang_up()
        self._sample()
        self.outcome.processor_s = round(self._station.processor_s, 1)
        self._cut_power()
        self.outcome.seconds = round(time.monotonic() - begun, 1)
        self._judge()

    def _happen(self) -> None:
        day = self._board.day
        if day >= self.load.synchronised:
            self._board.synchronise()
        if self._jumps and day >= self._jumps[0][0]:
            self._wrong_days = self._jumps.pop(0)[1]
        if self._full_days and day >= self._full_days[0]:
            self._full_days.pop(0)
            self._fill()
        if day - self._sampled >= 1 / _SAMPLES_A_DAY:
            self._sampled = day
            self._sample()

    def _fill(self) -> None:
        """Leave no byte to films; the first that is refused frees the disk again, ten attempts later."""
        with self._filler.open("wb") as file:
            size = 1 << 28
            while size >= 1 << 12:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError:
                    size //= 2
        self._refusals_left = 10

    def _deliver(self, number: int) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not self._scanner.send(number):
            self.outcome.refused += 1
            if self._filler.exists():
                self._refusals_left -= 1
                if self._refusals_left <= 0:
                    self._note_problems()
                    self._filler.unlink()
            if time.monotonic() > end or not self._station.is_alive:
                raise RuntimeError(f"film {number} is not taken: {self._log.read_text()[-1000:]}")
            self._ledger.follow()
            time.sleep(0.2)
        self.outcome.acknowledged = number + 1

    def _wait_for_results(self, count: int) -> None:
        end = time.monotonic() + _PATIENCE_S
        while self._ledger.follow() < count:
            if time.monotonic() > end or not self._station.is_alive:
                raise RuntimeError(f"{count} films are not done: {self._log.read_text()[-1000:]}")
            if self._filler.exists():
                # The station waits with a film in hand, and nobody else has to be refused for it.
                self._note_problems()
                self._filler.unlink()
            time.sleep(0.02)

    def _sample(self) -> None:
        space = os.statvfs(self._disk)
        filler = self._filler.stat().st_blocks * 512 if self._filler.exists() else 0
        station = self._station
        records, removed = (
            path.stat().st_size if path.exists() else 0 for path in (self.out / RECORDS_NAME, self.out / REMOVED_NAME)
        )
        self.outcome.samples.append(
            Sample(
                round(self._board.day, 3),
                round(station.now_mb, 2),
                station.threads,
                station.descriptors,
                round(((space.f_blocks - space.f_bfree) * space.f_frsize - filler) / 2**20, 1),
                space.f_files - space.f_ffree,
                records,
                removed,
                self._log.stat().st_size,
            )
        )
        self._note_problems()

    def _note_problems(self) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self._page}/state")
        request.add_header("Authorization", f"Bearer {_TOKEN}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            for line in json.load(answer)["problems"]:
                plain = re.sub(r"[\d.]+", "N", line).replace(str(self._work), "")
                if plain not in self.outcome.problems:
                    self.outcome.problems.append(plain)

    def _cut_power(self) -> None:
        """Kill it with films in hand and start it in another boot: it goes on, and does nothing twice."""
        count = self.load.films
        for number in range(count, count + 5):
            self._deliver(number)
        self._scanner.hang_up()
        self._station.kill()
        self._ledger.follow()
        self._board.boot()
        begun = time.monotonic()
        self._station = self._start()
        self.outcome.restart_s = round(time.monotonic() - begun, 1)
        self._wait_for_results(count + 5)
        if self._station.now_mb > self.outcome.samples[-1].memory_mb + _MEMORY_MB:
            self.outcome.faults.append(f"memory after the restart: {self._station.now_mb:.1f} MiB")
        self._station.stop()
        self._ledger.follow()

    def _judge(self) -> None:
        outcome, settled = self.outcome, self._ledger.settled
        sent = {f"dicom {self._scanner.uid(number)}" for number in range(outcome.acknowledged)}
        with suppress(FileNotFoundError):
            buried = {json.loads(line)["source"] for line in (self.out / REMOVED_NAME).read_text().splitlines()}
            outcome.removed = len(buried)
        outcome.lost = len(sent - settled.keys())
        outcome.doubled = sum(settled.values()) - len(settled.keys() & sent)
        outcome.failed = len(self._ledger.failed)
        outcome.faults += [f"{outcome.lost} films lost"] if outcome.lost else []
        outcome.faults += [f"{outcome.doubled} records too many"] if outcome.doubled else []
        outcome.faults += [f"{outcome.failed} good films failed"] if outcome.failed else []
        left = list((self.out / "inbox" / "received").iterdir())
        outcome.faults += [f"{len(left)} films still wait"] if left else []
        outcome.faults += grown(self.load, outcome.samples)

    def end(self) -> None:
        """Leave nothing running."""
        self._station.kill()


def _program_of_the_image() -> Any:
    """The program that makes the station's settings on a device, which lies outside the packages."""
    spec = importlib.util.spec_from_file_location("image_settings", _PROJECT / "image" / "device" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = program
    spec.loader.exec_module(program)
    return program


def memory_of_unit() -> int:
    """MiB that the service may have, by its unit."""
    found = re.search(r"(?m)^MemoryMax=(\d+)M$", (_PROJECT / "deploy" / "edge-seg.service").read_text())
    assert found is not None
    return int(found[1])


def measure(load: Load, work: Path, *, limited: bool = True) -> Outcome:
    """Have a week.

    Args:
        load: of the week.
        work: folder for everything.
        limited: whether the station gets the memory of its unit and no more.

    Raises:
        OSError: no partition or control group can be had here.
        RuntimeError: the station ended, or films were not done in time.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(partition(work, load.disk_mb))
        group = stack.enter_context(control_group(memory_of_unit()) if limited else nullcontext())
        week = Week(load, work, disk, group)
        stack.callback(week.end)
        week.pass_by()
        week.outcome.group_mb = None if group is None else round(group.peak_mb, 1)
        return week.outcome


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
