"""Features of an emulated core, and the Linux files that must agree with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Linux, arch/arm64/kernel/cpuinfo.c, by bit; HWCAP2 follows on.
_FEATURES = [
    "fp",
    "asimd",
    "evtstrm",
    "aes",
    "pmull",
    "sha1",
    "sha2",
    "crc32",
    "atomics",
    "fphp",
    "asimdhp",
    "cpuid",
    "asimdrdm",
    "jscvt",
    "fcma",
    "lrcpc",
    "dcpop",
    "sha3",
    "sm3",
    "sm4",
    "asimddp",
    "sha512",
    "sve",
    "asimdfhm",
    "dit",
    "uscat",
    "ilrcpc",
    "flagm",
    "ssbs",
    "sb",
    "paca",
    "pacg",
]
_FEATURES_2 = [
    "dcpodp",
    "sve2",
    "sveaes",
    "svepmull",
    "svebitperm",
    "svesha3",
    "svesm4",
    "flagm2",
    "frint",
    "svei8mm",
    "svef32mm",
    "svef64mm",
    "svebf16",
    "i8mm",
    "bf16",
    "dgh",
    "rng",
    "bti",
    "mte",
    "ecv",
    "afp",
    "rpres",
    "mte3",
    "sme",
    "smei16i64",
    "smef64f64",
    "smei8i32",
    "smef16f32",
    "smeb16f32",
    "smef32f32",
    "smefa64",
]


@dataclass(frozen=True)
class Core:
    """A processor core.

    Attributes:
        name: the emulator's name for it, with features switched on or off (`max,sme=off`).
        features: by their Linux names.
        midr: the main identification register: maker, part and revision.
    """

    name: str
    features: tuple[str, ...]
    midr: int

    @classmethod
    def from_registers(cls, name: str, hwcap: int, hwcap2: int, midr: int) -> Core:
        """A core from the registers that Linux exposes to programs."""
        found = [feature for bit, feature in enumerate(_FEATURES) if hwcap >> bit & 1]
        found += [feature for bit, feature in enumerate(_FEATURES_2) if hwcap2 >> bit & 1]
        return cls(name, tuple(found), midr)

    @property
    def dot_product(self) -> bool:
        """Whether it has int8 dot-product instructions (SDOT)."""
        return "asimddp" in self.features

    def write_stand_ins(self, root: Path) -> None:
        """Write one core's files that LiteRT's cpuinfo library reads: `/proc/cpuinfo` and the list of cores.

        QEMU 7.2 shows the host's files instead, on which the library crashes. XNNPACK selects its kernels by these
        files and the features.

        Args:
            root: folder that is the emulated program's `/`.
        """
        lines = {
            "processor": "0",
            "Features": " ".join(self.features),
            "CPU implementer": f"{self.midr >> 24 & 0xFF:#04x}",
            "CPU architecture": "8",
            "CPU variant": f"{self.midr >> 20 & 0xF:#x}",
            "CPU part": f"{self.midr >> 4 & 0xFFF:#05x}",
            "CPU revision": f"{self.midr & 0xF}",
        }
        files = {
            "proc/cpuinfo": "".join(f"{name}\t: {value}\n" for name, value in lines.items()) + "\n",
            "sys/devices/system/cpu/possible": "0\n",
            "sys/devices/system/cpu/present": "0\n",
        }
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)


def split_cores(text: str) -> list[str]:
    """Split core names at commas; a word with an equals sign belongs to the core before it.

    >>> split_cores("cortex-a72,max,sme=off")
    ['cortex-a72', 'max,sme=off']
    """
    names: list[str] = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        if names and "=" in word:
            names[-1] += f",{word}"
        else:
            names.append(word)
    return list(dict.fromkeys(names))
