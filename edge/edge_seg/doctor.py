"""What this machine has, what is missing, and the exact fix."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import EdgeSegError

_CODECS = {"pylibjpeg-libjpeg": "JPEG", "pylibjpeg-openjpeg": "JPEG 2000", "pylibjpeg-rle": "RLE"}
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
    for name in ("numpy", "opencv-python-headless", "click", "pydicom", "flatbuffers"):
        found = _version(name)
        if found is None and name.startswith("opencv") and importlib.util.find_spec("cv2"):
            found = "installed under another name"
        yield Finding(
            name,
            "ok" if found else "missing",
            found or "not installed",
            "" if found else f"pip install {name}",
        )


def _engines() -> Iterator[Finding]:
    litert, tflite, numpy = _version("ai-edge-litert"), _version("tflite-runtime"), _version("numpy") or "0"
    if litert:
        yield Finding("inference engine", "ok", f"LiteRT {litert}")
    elif tflite and int(numpy.split(".")[0]) < 2:
        yield Finding("inference engine", "ok", f"tflite-runtime {tflite}")
    elif tflite:
        detail = f"tflite-runtime {tflite} does not work with numpy {numpy}"
        yield Finding("inference engine", "missing", detail, "pip install 'numpy<2'")
    else:
        fix = "pip install tflite-runtime 'numpy<2'" if platform.machine() == "armv7l" else "pip install ai-edge-litert"
        yield Finding("inference engine", "missing", "none installed", fix)


def _models() -> Iterator[Finding]:
    from edge_seg.model_file import ModelFile, shipped_models

    models = shipped_models()
    if not models:
        yield Finding("models", "missing", "none shipped", "pip install --force-reinstall edge-seg")
    for name, path in models.items():
        try:
            manifest = ModelFile.read(path).manifest
            yield Finding(f"model {name}", "ok", f"{manifest.version} {manifest.quantisation}, checksum holds")
        except EdgeSegError as error:
            yield Finding(f"model {name}", "missing", str(error), "pip install --force-reinstall edge-seg")


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
    if devices:
        yield Finding("cameras", "ok", ", ".join(devices))
    else:
        yield Finding(
            "cameras",
            "absent",
            "no /dev/video*",
            "plug in a USB camera; on a Pi: sudo apt install python3-picamera2",
        )
    if importlib.util.find_spec("picamera2"):
        yield Finding("picamera2", "ok", "installed")


def _accelerator() -> Iterator[Finding]:
    if find_library("edgetpu"):
        yield Finding("Edge TPU library", "ok", "libedgetpu")
    else:
        yield Finding("Edge TPU library", "absent", "libedgetpu.so.1 not found", "sudo apt install libedgetpu1-std")


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
    board = Path("/proc/device-tree/model")
    if board.exists():
        detail += f", {board.read_text().strip(chr(0))}"
    yield Finding("machine", "ok", detail)
    free = shutil.disk_usage(Path.cwd()).free
    yield Finding(
        "disk",
        "ok" if free > _LEAST_FREE_BYTES else "missing",
        f"{free / 1e9:.1f} GB free here",
        "" if free > _LEAST_FREE_BYTES else "free some space",
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
