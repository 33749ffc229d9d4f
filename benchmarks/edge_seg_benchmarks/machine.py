"""The machine that measurements were made on, and its state during them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import psutil
from edge_seg.hardware import board_name, temperature_c, throttling, usable_cores

from edge_seg_benchmarks.processor import Processor

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")


_DISTRIBUTIONS = (
    "edge-seg", "numpy", "opencv-python-headless", "ai-edge-litert", "tflite-runtime", "onnxruntime", "openvino",
)  # fmt: skip


@dataclass(frozen=True)
class MachineFacts:
    """The machine that was measured, and the date (UTC); no host names and no paths.

    Attributes:
        date: ISO 8601, UTC.
        board: model of a single-board computer, or `None`.
        processor, extensions: see `Processor`.
        architecture: as `uname -m` prints it.
        cores: number that this process may use.
        memory_gib: total.
        system: operating system and kernel.
        python, versions: of Python, and of the installed packages that matter.
    """

    date: str
    board: str | None
    processor: str
    extensions: tuple[str, ...]
    architecture: str
    cores: int
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]


@dataclass(frozen=True)
class MachineState:
    """State of the machine at one moment; `None` if the system does not report it.

    Attributes:
        load_average: of the last minute.
        clock_mhz, governor: of the first core.
        temperature_c: of the processor.
        throttled: reasons why a Raspberry Pi is slowed down now.
    """

    load_average: float
    clock_mhz: int | None
    governor: str | None
    temperature_c: float | None
    throttled: tuple[str, ...] | None


def machine_facts() -> MachineFacts:
    """Facts of this machine, now."""
    processor = Processor.of_this_machine()
    return MachineFacts(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        board=board_name() or None,
        processor=processor.name,
        extensions=processor.extensions,
        architecture=platform.machine(),
        cores=usable_cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={name: version for name in _DISTRIBUTIONS if (version := _version(name))},
    )


def machine_state() -> MachineState:
    """State of this machine, now."""
    frequency, slow = _text(_CLOCK), throttling()
    return MachineState(
        load_average=round(os.getloadavg()[0], 2),
        clock_mhz=round(int(frequency) / 1000) if frequency else None,
        governor=_text(_GOVERNOR),
        temperature_c=temperature_c(),
        throttled=tuple(slow["now"]) if slow is not None else None,
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
