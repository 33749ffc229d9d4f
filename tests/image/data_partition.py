"""The data partition of a card, read from outside without mounting it."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

_SECTOR = 512
_THIRD_ENTRY = struct.Struct("<8xII")


def extent(card: Path) -> tuple[int, int]:
    """First byte and length of the third partition, from the partition table."""
    with card.open("rb") as file:
        file.seek(446 + 2 * 16)
        start, sectors = _THIRD_ENTRY.unpack(file.read(16))
    return start * _SECTOR, sectors * _SECTOR


def copy_out(card: Path, partition: Path) -> None:
    """Copy the third partition to a file, with holes in place of zeros."""
    start, length = extent(card)
    words = [
        "dd",
        f"if={card}",
        f"of={partition}",
        "bs=1M",
        "conv=sparse",
        "status=none",
        "iflag=skip_bytes,count_bytes",
    ]
    subprocess.run([*words, f"skip={start}", f"count={length}"], check=True)
    os.truncate(partition, length)


def results_of(partition: Path, folder: Path) -> Path:
    """The results folder on a partition as a boot after a power cut finds it: checked, its journal replayed.

    Raises:
        AssertionError: the check finds errors that it cannot repair.
    """
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    checked = subprocess.run(["e2fsck", "-f", "-y", partition], capture_output=True, text=True, env=environment)
    if checked.returncode & 4:
        # As on the device: if the superblock is torn, the first run restores its copy and does no more.
        checked = subprocess.run(["e2fsck", "-f", "-y", partition], capture_output=True, text=True, env=environment)
    # 1: repaired.
    assert checked.returncode in (0, 1), checked.stdout
    folder.mkdir()
    words = ["debugfs", "-R", f"rdump /results {folder}", str(partition)]
    subprocess.run(words, capture_output=True, check=True, env=environment)
    return folder / "results"
