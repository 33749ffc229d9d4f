"""Disks that a test can fill, turn read-only or pull."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_EXT4_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32) in the kernel's include/uapi/linux/ext4.h."""

_WITHOUT_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: as if the disk were pulled now."""


@contextlib.contextmanager
def disk(image: Path, place: Path, megabytes: int) -> Iterator[Path]:
    """A separate file system in a file."""
    if os.geteuid() != 0:
        pytest.skip("a disk can be mounted by root alone")
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        make = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if make is None:
            pytest.skip("mkfs.ext4 is not installed")
        subprocess.run([make, "-q", "-F", str(image)], check=True)
    place.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, how: str, deadline: float) -> None:
    """Remount, trying again while the kernel refuses because a file is open for writing."""
    while subprocess.run(["mount", "-o", f"remount,{how}", str(place)], capture_output=True).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pull(place: Path) -> None:
    """Leave an ext4 file system in the state that it has when its disk is pulled."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
    finally:
        os.close(descriptor)
