"""A simulated board as a station sees it: boot, uptime, clock, and a partition for its results."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAY_S = 86_400.0

# The board's own boot ID, uptime and /run, and a clock set from outside.
AS_A_BOARD = """
mount --bind "$1/boot_id" /proc/sys/kernel/random/boot_id && mount --bind "$1/uptime" /proc/uptime &&
mount --bind "$1/system" /run || exit 75
WRONG_CLOCK=$1/offset LD_PRELOAD=$1/wrong_clock.so; export WRONG_CLOCK LD_PRELOAD; shift; exec "$@"
"""


def what_is_missing() -> str | None:
    """Why a week cannot run here; `None` if it can."""
    if sys.version_info < (3, 11):
        return "the device's programs need Python 3.11"
    if os.geteuid() != 0:
        return "a partition and a clock of its own can be given by root alone"
    for tool in ("unshare", "losetup", "mkfs.ext4", "cc"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"{tool} is not installed"
    return None


class Board:
    """A board as a station sees it: boot, uptime, clock and whether a time server has set it.

    Args:
        folder: for the files that simulate these.
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
        """Days since the start of the week."""
        return self._passed_s / DAY_S

    def boot(self) -> None:
        """Reboot, ten minutes later."""
        self._boots += 1
        self._up_since = self._passed_s
        (self.folder / "boot_id").write_text(f"00000000-0000-4000-8000-{self._boots:012d}\n")
        self.go_on(self._passed_s + 600)

    def go_on(self, passed_s: float, wrong_days: float = 0.0) -> None:
        """Move the time to `passed_s` seconds into the week, with the clock wrong by `wrong_days`."""
        self._passed_s, self._wrong_s = passed_s, wrong_days * DAY_S
        offset = self._started + passed_s + self._wrong_s - time.time()
        # In place, since the file is mounted, and at a fixed length, since it may be read meanwhile.
        _overwrite(self.folder / "uptime", f"{passed_s - self._up_since + 60:020.2f} 0.00\n".encode())
        _overwrite(self.folder / "offset", round(offset * 1e9).to_bytes(8, sys.byteorder, signed=True))

    def synchronise(self) -> None:
        """Mark the clock as set by a time server."""
        (self.folder / "system" / "systemd" / "timesync" / "synchronized").touch()


def _overwrite(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(descriptor, data, 0)
    finally:
        os.close(descriptor)


@contextmanager
def partition(folder: Path, megabytes: int) -> Iterator[Path]:
    """A separate file system, made and mounted as on a device.

    Raises:
        OSError: it cannot be made or mounted here.
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
