"""What this machine has, what is missing, and the exact fix."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_seg.board import board_name
from edge_seg.errors import DeviceError, EdgeSegError

_CODECS = {"pylibjpeg-libjpeg": "JPEG", "pylibjpeg-openjpeg": "JPEG 2000", "pylibjpeg-rle": "RLE"}
_REQUIRED = {
    "numpy": ("numpy", "numpy"),
    "cv2": ("opencv-python-headless", "OpenCV"),
    "click": ("click", "click"),
    "flatbuffers": ("flatbuffers", "flatbuffers"),
    "pydicom": ("pydicom", "pydicom"),
}
_REINSTALL = "pip install --force-reinstall edge-seg"
_LEAST_FREE_BYTES = 200_000_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        subject: what.
        state: `ok`, `missing` (needed), or `absent` (optional).
        detail: what was found.
        fix: the exact command or step, where there is something to mend.
    """

    subject: str
    state: str
    detail: str
    fix: str = ""


def examine() -> list[Finding]:
    """Look at everything a run depends on, needed things first."""
    return [
        *_python(),
        *_engines(),
        *_models(),
        *_codecs(),
        *_cameras(),
        *_accelerator(),
        *_extras(),
        *_machine(),
    ]


def _python() -> Iterator[Finding]:
    yield Finding("Python", "ok", f"{platform.python_version()}, {platform.machine()}")
    for module, (distribution, subject) in _REQUIRED.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(subject, "missing", "not installed", f"pip install {distribution}")
            continue
        try:
            version = getattr(importlib.import_module(module), "__version__", None) or _version(distribution)
        except ImportError as error:
            # Installed and yet of no use: a system library is absent, or it was built for another numpy.
            fix = f"pip install --force-reinstall {distribution}"
            yield Finding(subject, "missing", f"does not load ({_first_line(error)})", fix)
        else:
            yield Finding(subject, "ok", version or "version unknown")


def _engines() -> Iterator[Finding]:
    try:
        from edge_seg.runtime import load_engine

        yield Finding("inference engine", "ok", load_engine()[1])
    except DeviceError as error:
        tflite = _version("tflite-runtime")
        if tflite and (_version("numpy") or "1").split(".")[0] != "1":
            yield Finding(
                "inference engine", "missing", f"tflite-runtime {tflite} needs numpy 1", "pip install 'numpy<2'"
            )
        else:
            armv7 = platform.machine() == "armv7l"
            fix = "pip install tflite-runtime 'numpy<2'" if armv7 else "pip install ai-edge-litert"
            yield Finding("inference engine", "missing", _first_line(error), fix)
    except ImportError as error:
        yield Finding("inference engine", "missing", f"unknown ({_first_line(error)})", "mend the lines above first")


def _models() -> Iterator[Finding]:
    try:
        from edge_seg.model_file import ModelFile, shipped_models
    except ImportError as error:
        yield Finding("models", "missing", f"unknown ({_first_line(error)})", "mend the lines above first")
        return
    models = shipped_models()
    if not models:
        yield Finding("models", "missing", "none shipped", _REINSTALL)
    for name, path in models.items():
        try:
            manifest = ModelFile.read(path).manifest
            yield Finding(f"model {name}", "ok", f"{manifest.version} {manifest.quantisation}, checksum holds")
        except EdgeSegError as error:
            yield Finding(f"model {name}", "missing", str(error), _REINSTALL)


def _codecs() -> Iterator[Finding]:
    for name, what in _CODECS.items():
        found = _version(name)
        yield Finding(
            f"DICOM {what}",
            "ok" if found else "absent",
            found or "not installed",
            "" if found else f"pip install {name}",
        )


def _cameras() -> Iterator[Finding]:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if closed:
        yield Finding(
            "cameras", "absent", f"{closed[0]} may not be opened", "sudo usermod -aG video $USER, log in again"
        )
    elif devices:
        yield Finding("cameras", "ok", ", ".join(devices))
    else:
        yield Finding("cameras", "absent", "no /dev/video*", "plug in a USB camera, or give --camera a URL")
    if importlib.util.find_spec("picamera2"):
        yield Finding("picamera2", "ok", "installed")
    elif "Raspberry Pi" in board_name():
        yield Finding("picamera2", "absent", "not installed", "sudo apt install python3-picamera2")


def _accelerator() -> Iterator[Finding]:
    try:
        ctypes.CDLL("libedgetpu.so.1")
    except OSError as error:
        yield Finding("Edge TPU library", "absent", _first_line(error), "sudo apt install libedgetpu1-std")
    else:
        yield Finding("Edge TPU library", "ok", "libedgetpu.so.1")


def _extras() -> Iterator[Finding]:
    for extra, modules in {
        "report": ("matplotlib", "jinja2", "psutil"),
        "train": ("tensorflow", "tf_keras", "tensorflow_model_optimization"),
    }.items():
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        if absent:
            yield Finding(f"[{extra}]", "absent", f"without {', '.join(absent)}", f"pip install 'edge-seg[{extra}]'")
        else:
            yield Finding(f"[{extra}]", "ok", "installed")


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    detail = f"{cores} cores"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        page = os.sysconf("SC_PAGE_SIZE")
        detail += f", {os.sysconf('SC_PHYS_PAGES') * page / 2**30:.1f} GiB memory, {page // 1024} KiB pages"
    if board_name():
        detail += f", {board_name()}"
    yield Finding("machine", "ok", detail)
    free = shutil.disk_usage(Path.cwd()).free
    yield Finding(
        "disk",
        "ok" if free > _LEAST_FREE_BYTES else "missing",
        f"{free / 1e9:.1f} GB free here",
        "" if free > _LEAST_FREE_BYTES else "free some space",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
