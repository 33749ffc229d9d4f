"""How the process keeps its memory while it trains."""

from __future__ import annotations

import ctypes
import platform

# malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed blocks for the next step instead of giving them back to the system.

    TensorFlow frees and asks for the same large arrays in every step on a CPU; given back and taken anew, they cost a
    page fault for every 4 KiB.

    Returns:
        Whether the C library is one that can be told (GNU); elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    return all([
        mallopt(_M_MMAP_THRESHOLD, 1 << 30),
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(_M_TOP_PAD, 1 << 28),
    ])  # fmt: skip
