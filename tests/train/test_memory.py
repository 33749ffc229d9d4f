"""Memory between steps."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.training

# Takes and gives back 16 blocks of 8 MB, twice, and prints the page faults of the second time.
SCRIPT = """
import ctypes, resource, sys
from edge_seg_train.memory import keep_freed_memory
told = keep_freed_memory() if sys.argv[1] == "told" else None
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(ctypes.c_size_t(8 << 20)) for _ in range(16)]
    for block in blocks:
        ctypes.memset(block, 1, 8 << 20)
    for block in blocks:
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
# The C library learns from the first large blocks it is given back; the third step is like all that follow.
step(), step()
print(told, step())
"""


def faults(how: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    told, count = done.stdout.split()
    return told, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told")
def test_memory_that_a_step_gave_back_is_there_for_the_next() -> None:
    told, kept = faults("told")
    assert told == "True"
    assert kept < faults("untold")[1] / 10
