"""What the measurements were made on; no host names, no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil


def machine_facts() -> dict[str, Any]:
    """Processor, memory, system and versions, with the date (UTC)."""
    board = Path("/proc/device-tree/model")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "board": board.read_text().strip("\0\n") if board.exists() else None,
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {
            name: _version(name)
            for name in ("edge-seg", "numpy", "opencv-python-headless", "ai-edge-litert", "tflite-runtime")
            if _version(name)
        },
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
