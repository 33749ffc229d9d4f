"""What the measurements were made on, and how it was meanwhile; no host names, no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
from edge_seg.hardware import board_name, temperature_c, throttling, usable_cores

from edge_seg_benchmarks.processor import Processor

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")


def machine_facts() -> dict[str, Any]:
    """Processor, memory, system and versions, with the date (UTC)."""
    processor = Processor.of_this_machine()
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "board": board_name() or None,
        "processor": processor.name,
        "extensions": list(processor.extensions),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {
            name: _version(name)
            for name in (
                "edge-seg", "numpy", "opencv-python-headless", "ai-edge-litert", "tflite-runtime", "onnxruntime",
                "openvino",
            )
            if _version(name)
        },
    }  # fmt: skip


def machine_state() -> dict[str, Any]:
    """How the machine is at this moment.

    Returns:
        `load_average` (1 minute), `clock_mhz`, `governor`, `temperature_c`, and `throttled`, the reasons a Raspberry Pi
        gives for being slowed down just now; `None` where it does not say.
    """
    frequency, slow = _text(_CLOCK), throttling()
    return {
        "load_average": round(os.getloadavg()[0], 2),
        "clock_mhz": round(int(frequency) / 1000) if frequency else None,
        "governor": _text(_GOVERNOR),
        "temperature_c": temperature_c(),
        "throttled": slow["now"] if slow is not None else None,
    }


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
