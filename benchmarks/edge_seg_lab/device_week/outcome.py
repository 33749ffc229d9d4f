"""The load of a week, how the week went, and what did not stay flat."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from edge_seg.outputs.journal import REMOVED_NAME

DAYS = 7
MEMORY_MB = 4.0
"""Growth of resident memory in MiB that is put down to the allocator."""
_IN_HAND = 8
"""Open files, and threads that flush them, that may come and go; a leak would be one per film."""
_TOMBSTONE_BYTES = 1000
"""Most bytes kept of a film whose results were removed."""
_LOG_A_DAY = 64_000


@dataclass(frozen=True)
class Load:
    """The load of a week.

    Attributes:
        films: films in the week.
        side: side of the square films, in pixels.
        disk_mb: MiB of the data partition; a device has some gigabytes, which fill before the week's second day.
        free_gb: what retention keeps free; `None` for the image's setting.
        full_days: days in the middle of which another file fills the disk.
        jumps: day, and days by which the clock is wrong from then on; from `synchronised` on a time server has set it.
        synchronised: day from which a time server is available; until then the clock is 40 days behind.
        model: shipped name or file; `None` for the image's setting.
        save: products, separated by commas; `None` for the image's setting; DICOM results are most of the work.
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
        memory_mb: resident memory in MiB.
        threads, descriptors: number of threads and of open descriptors.
        used_mb: MiB of the partition in use, without the file that fills it.
        files: number of files on the partition.
        records, removed: bytes of the journal and of the list of removed results.
        log: bytes logged so far.
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
        seconds: time that it took.
        acknowledged, again: films acknowledged to their sender as stored, and films sent a second time.
        refused: films refused because the disk was full, and sent again.
        lost, doubled, failed: acknowledged films without a record, with more than one, and those set aside.
        removed: films whose results retention removed.
        processor_s: processor time of the station for all films, on one core.
        restart_s: time from the power cut until the page answers.
        group_mb: peak of the control group, page cache included.
        problems: what the page reported in the week, without numbers.
        faults: what went wrong; empty if nothing did.
        samples: in order of time.
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
        """One line per day: median memory, the most of what is used, and the last size of what is written."""
        lines = ["day  films  memory MiB  threads  descriptors  disk MiB  files  records kB  removed kB  log kB"]
        for number in range(DAYS):
            of_day = day_of(self.samples, number)
            if of_day:
                last, most = (
                    of_day[-1],
                    [max(getattr(one, name) for one in of_day) for name in ("threads", "descriptors")],
                )
                lines.append(
                    f"{number + 1:3} {round(self.load.films * (number + 1) / DAYS):6} {memory_of(of_day):11.1f}"
                    f" {most[0]:8} {most[1]:12} {max(one.used_mb for one in of_day):9.0f}"
                    f" {max(one.files for one in of_day):6} {max(one.records for one in of_day) / 1e3:11.0f}"
                    f" {last.removed / 1e3:11.0f} {last.log / 1e3:7.1f}"
                )
        return "\n".join(lines)


def day_of(samples: list[Sample], number: int) -> list[Sample]:
    """The samples of one day."""
    return [one for one in samples if number <= one.day < number + 1]


def memory_of(samples: list[Sample]) -> float:
    """Median memory of the samples, in MiB."""
    return statistics.median(one.memory_mb for one in samples)


def grown(load: Load, samples: list[Sample]) -> list[str]:
    """What does not stay flat: the last two days against the second and third, by when the disk has filled once.

    The list of removed results grows by design, by up to `_TOMBSTONE_BYTES` per film.
    """
    early = day_of(samples, 1) + day_of(samples, 2)
    late = day_of(samples, DAYS - 2) + day_of(samples, DAYS - 1)
    found = []
    if memory_of(late) > memory_of(early) + MEMORY_MB:
        found.append(f"memory: {memory_of(early):.1f} MiB, then {memory_of(late):.1f} MiB")
    limits = {"threads": _IN_HAND, "descriptors": _IN_HAND, "used_mb": 0.0, "files": 0, "records": 0}
    for name, more in limits.items():
        before, after = (max(getattr(one, name) for one in some) for some in (early, late))
        # A margin of a twentieth, since the timing of retention is random.
        if after > before * 1.05 + more:
            found.append(f"{name}: {before:.0f}, then {after:.0f}")
    removed = late[-1].removed
    if removed > load.films * _TOMBSTONE_BYTES:
        found.append(f"{REMOVED_NAME}: {removed} bytes for {load.films} films")
    if late[-1].log > _LOG_A_DAY * DAYS:
        found.append(f"log: {late[-1].log} bytes")
    return found
