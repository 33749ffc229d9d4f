"""Prints the identification registers of a core. Runs on 64-bit ARM with Python's standard library only."""

from __future__ import annotations

import ctypes
import json
import mmap

_HWCAP, _HWCAP2 = 16, 26
"""Entries of the auxiliary vector (Linux, include/uapi/linux/auxvec.h)."""

_READ_MIDR = bytes.fromhex("000038d5 c0035fd6")
"""`mrs x0, midr_el1; ret`: the main identification register, which Linux lets a program read (HWCAP_CPUID).

The code is called as soon as it is written, which an emulator handles; a real core would need a cache flush.
"""


def main() -> None:
    """Print `{"hwcap", "hwcap2", "midr"}`, numbers, as JSON."""
    library = ctypes.CDLL(None)
    library.getauxval.restype, library.getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(_READ_MIDR)
    midr = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    print(json.dumps({"hwcap": library.getauxval(_HWCAP), "hwcap2": library.getauxval(_HWCAP2), "midr": midr}))


if __name__ == "__main__":
    main()
