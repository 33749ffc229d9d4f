"""What comes in a week, how it went, and what of it is not flat."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from edge_seg.outputs.journal import REMOVED_NAME

DAYS = 7
MEMORY_MB = 4.0
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
    late = day_of(samples, DAYS - 2) + day_of(samples, DAYS - 1)
    found = []
    if memory_of(late) > memory_of(early) + MEMORY_MB:
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
    if late[-1].log > _LOG_A_DAY * DAYS:
        found.append(f"log: {late[-1].log} bytes")
    return found
