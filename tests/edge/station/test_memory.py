"""A station returns memory that is no longer used."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest
from edge_seg.station import memory
from edge_seg.station.memory import FreedMemory

# Blocks below the size that the C library requests from the system one by one; every hundredth stays, so that the end
# of the heap is never free.
SCATTERED = """
import ctypes
from pathlib import Path
from edge_seg.station.memory import FreedMemory

def resident_mb():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

blocks = [ctypes.create_string_buffer(60_000) for _ in range(2_000)]
for block in blocks:
    ctypes.memset(block, 1, 60_000)
kept, blocks = blocks[::100], []
del block
before = resident_mb()
FreedMemory().tick()
print(before - resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library has malloc_trim")
def test_free_pages_between_what_is_held_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 60


def test_it_is_done_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    trimmed: list[int] = []

    def trim(kept: int) -> int:
        trimmed.append(kept)
        return 1

    monkeypatch.setattr(memory.time, "monotonic", lambda: now)
    freed = FreedMemory(trim)
    for _ in range(5):
        freed.tick()
    assert trimmed == [0]
    now += memory.EVERY_S
    freed.tick()
    assert trimmed == [0, 0]


def test_another_c_library_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    FreedMemory().tick()
