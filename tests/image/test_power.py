"""The replay of a log of writes, against a log with a known result."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from .power import read_log, replay, sure_after

_FLUSH, _DISCARD = 1, 4


def a_log(path: Path, *requests: tuple[int, bytes, int], cut: int = 0) -> Path:
    """A log as QEMU writes it: start sector, data and flags of each request, without the last `cut` bytes."""
    text = struct.pack("<QQQI", 0x6A736677736872, 1, len(requests), 512).ljust(512, b"\0")
    for start, data, flags in requests:
        text += (
            struct.pack("<QQQQ", start, len(data) // 512 or int(flags == _DISCARD), flags, 0).ljust(512, b"\0") + data
        )
    path.write_bytes(text[: len(text) - cut])
    return path


def sector(letter: str, count: int = 1) -> bytes:
    return letter.encode() * 512 * count


def test_what_a_flush_followed_is_there_and_of_the_rest_any_part(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log", (0, sector("a", 2), 0), (0, b"", _FLUSH), (1, sector("b", 2), 0), (3, sector("c"), 0))
    writes = read_log(log)
    assert [(write.start, write.length, write.flushes) for write in writes] == [
        (0, 1024, False),
        (0, 0, True),
        (512, 1024, False),
        (1536, 512, False),
    ]
    assert [sure_after(writes, point) for point in range(5)] == [0, 0, 2, 2, 2]
    seen = set()
    for seed in range(100):
        disk = tmp_path / "disk"
        disk.write_bytes(sector(".", 4))
        replay(log, writes, disk, 4, random.Random(seed))
        seen.add("".join(chr(disk.read_bytes()[place * 512]) for place in range(4)))
    # The second sector is old or new, never anything else; requests are lost, whole, torn and out of order.
    assert seen == {f"a{second}{third}{fourth}" for second in "ab" for third in ".b" for fourth in ".c"}


def test_a_disk_that_holds_some_requests_gets_only_the_later_ones(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log", (0, sector("a"), 0), (0, b"", _FLUSH), (1, sector("b"), 0), (0, b"", _FLUSH))
    disk = tmp_path / "disk"
    disk.write_bytes(sector("x", 2))
    replay(log, read_log(log), disk, 4, random.Random(0), since=2)
    assert disk.read_bytes() == sector("x") + sector("b")


def test_the_log_of_the_emulator_itself(tmp_path: Path) -> None:
    if shutil.which("qemu-io") is None:
        pytest.skip("qemu-io is not installed")
    disk, log = tmp_path / "disk", tmp_path / "log"
    for path in (disk, log):
        path.write_bytes(bytes(65536 if path == disk else 0))
    words = ["qemu-io", "--image-opts", f"driver=blklogwrites,file.driver=file,file.filename={disk}"]
    words[-1] += f",log.driver=file,log.filename={log},log-sector-size=512"
    for said in (
        "write -P 0x61 0 1024",
        "flush",
        "write -P 0x62 512 1024",
        "write -f -P 0x63 2048 512",
        "discard 8192 512",
    ):
        words += ["-c", said]
    subprocess.run(words, check=True, capture_output=True)
    copy = tmp_path / "copy"
    copy.write_bytes(bytes(65536))
    writes = read_log(log)
    # Closing flushes the disk.
    assert writes[-1].flushes
    replay(log, writes, copy, len(writes), random.Random(0))
    assert copy.read_bytes() == disk.read_bytes()


def test_a_log_that_is_cut_off_and_requests_that_forget(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log", (5, b"", _DISCARD), (0, sector("a"), 0), (1, sector("b"), 0), cut=100)
    assert [(write.start, write.discards) for write in read_log(log)] == [(2560, True), (0, False)]
    (tmp_path / "log").write_bytes(bytes(1024))
    with pytest.raises(ValueError, match="no log of writes"):
        read_log(tmp_path / "log")
