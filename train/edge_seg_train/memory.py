"""Memory allocator settings for training."""

from __future__ import annotations

import ctypes
import os
import platform

# malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def keep_freed_memory() -> bool:
    """Keep freed blocks for the next step instead of returning them to the system.

    On a CPU, TensorFlow frees and allocates the same large arrays in every step; returned to the system, they cost a
    page fault for every 4 KiB. TensorFlow's own allocator, which it uses for GPUs, keeps them; numpy's arrays come from
    the C library. Call this before TensorFlow runs its first operation.

    Returns:
        Whether the C library can be configured (GNU); elsewhere only TensorFlow is.
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    return all([
        mallopt(_M_MMAP_THRESHOLD, 1 << 30),
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(_M_TOP_PAD, 1 << 28),
        # A per-thread arena returns whatever does not fit into 64 MiB.
        mallopt(_M_ARENA_MAX, 1),
    ])  # fmt: skip
