"""The processor that measurements were made on, with its generation: one name covers several.

Read from Linux's `/proc/cpuinfo`; on other systems, as reported by Python.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

MULTIPLY_ADD = (
    "ssse3", "avx2", "fma", "f16c", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "amx_tile",
    "neon", "asimd", "asimdhp", "asimddp", "i8mm", "sve", "sve2",
)  # fmt: skip
"""Extensions that decide how fast a processor multiplies and adds, by Linux's names (`asimddp`: ARM's dot product)."""

# Linux, arch/arm64/include/asm/cputype.h: cores of ARM's own (implementer 0x41) in small boards and servers.
_ARM_PARTS = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78", "0xd49": "Neoverse-N2", "0xd4f": "Neoverse-V2",
}  # fmt: skip


@dataclass(frozen=True)
class Processor:
    """A processor.

    Attributes:
        name: with its generation: `AMD EPYC, family 26 model 2`, `Cortex-A76 r4p1`.
        extensions: those of `MULTIPLY_ADD` that it has.
    """

    name: str
    extensions: tuple[str, ...] = ()

    @classmethod
    def of_this_machine(cls) -> Processor:
        """The processor of this machine; its first core if it has several kinds."""
        try:
            return cls.parse(_CPUINFO.read_text())
        except OSError:
            return cls(platform.processor() or "unknown")

    @classmethod
    def parse(cls, cpuinfo: str) -> Processor:
        """The first core in the text of Linux's `/proc/cpuinfo`.

        >>> Processor.parse("model name: AMD EPYC\\ncpu family: 26\\nmodel: 2\\nflags: fpu avx2 fma")
        Processor(name='AMD EPYC, family 26 model 2', extensions=('avx2', 'fma'))
        """
        found: dict[str, str] = {}
        for line in cpuinfo.splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
        has = f"{found.get('flags', '')} {found.get('Features', '')}".split()
        return cls(_name(found), tuple(name for name in MULTIPLY_ADD if name in has))


def _name(found: dict[str, str]) -> str:
    if "CPU part" in found:
        maker, part = found.get("CPU implementer", "an unknown maker"), found["CPU part"]
        known = _ARM_PARTS.get(part) if maker == "0x41" else None
        # ARM's notation for a core's revision: r<variant>p<revision>.
        revision = f"r{found.get('CPU variant', '0x0').removeprefix('0x')}p{found.get('CPU revision', '0')}"
        return f"{known or found.get('model name') or f'part {part} of {maker}'} {revision}"
    generation = ", family {cpu family} model {model}".format_map(found) if {"cpu family", "model"} <= {*found} else ""
    return found.get("model name", platform.processor() or "unknown") + generation
