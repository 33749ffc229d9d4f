"""What this machine has, what is missing, and the exact fix."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.errors import DeviceError, EdgeSegError, first_line
from edge_seg.hardware import (
    HOT_C,
    LITTLE_SPACE_BYTES,
    board_name,
    clock_is_doubtful,
    has_nvidia_card,
    memory_can_be_limited,
    temperature_c,
    throttling,
    usable_cores,
)
from edge_seg.install import install_command, pip_install

if TYPE_CHECKING:
    from edge_seg.station.config import StationConfig

_CODECS = {"python-gdcm": "JPEG", "pylibjpeg-openjpeg": "JPEG 2000", "pylibjpeg-rle": "RLE"}
_REQUIRED = {
    "numpy": ("numpy", "numpy"),
    "cv2": ("opencv-python-headless", "OpenCV"),
    "click": ("click", "click"),
    "flatbuffers": ("flatbuffers", "flatbuffers"),
    "pydicom": ("pydicom", "pydicom"),
}
_DICOM_PORT = 11112  # registered for DICOM with IANA; only root may bind 104


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        subject: what was checked.
        state: `ok`, `missing` (needed), or `absent` (optional).
        detail: what was found.
        fix: the exact command or step, if something needs fixing.
    """

    subject: str
    state: str
    detail: str
    fix: str = ""


def examine(config: StationConfig | None = None) -> list[Check]:
    """Check everything a run depends on, needed things first.

    Args:
        config: of the station that is to run here, if any.
    """
    return [
        *_python(),
        *_engines(),
        *_models(),
        *_codecs(),
        *_cameras(),
        *_port(),
        *_accelerator(),
        *_extras(),
        *_gpu(),
        *_machine(),
        _disk(Path() if config is None else config.results.folder),
        *_clock(),
        *_power(),
        *(_network(config) if config is not None else ()),
    ]


def _python() -> Iterator[Check]:
    yield Check("Python", "ok", f"{platform.python_version()}, {platform.machine()}")
    for module, (distribution, subject) in _REQUIRED.items():
        if importlib.util.find_spec(module) is None:
            yield Check(subject, "missing", "not installed", pip_install(distribution))
            continue
        try:
            # Debian's OpenCV comes without a distribution of that name.
            loaded = importlib.import_module(module)
            version = _version(distribution) or getattr(loaded, "__version__", None)
        except ImportError as error:
            # Installed but unusable: a system library is missing, or it was built for another numpy.
            fix = pip_install("--force-reinstall", distribution)
            yield Check(subject, "missing", f"does not load ({first_line(error)})", fix)
        else:
            yield Check(subject, "ok", version or "version unknown")


def _engines() -> Iterator[Check]:
    try:
        from edge_seg.runtime import load_engine

        yield Check("inference engine", "ok", load_engine()[1])
    except DeviceError as error:
        tflite = _version("tflite-runtime")
        if tflite and (_version("numpy") or "1").split(".")[0] != "1":
            yield Check(
                "inference engine", "missing", f"tflite-runtime {tflite} needs numpy 1", pip_install("'numpy<2'")
            )
        else:
            armv7 = platform.machine() == "armv7l"
            fix = pip_install(*("tflite-runtime", "'numpy<2'") if armv7 else ("ai-edge-litert",))
            yield Check("inference engine", "missing", first_line(error), fix)
    except ImportError as error:
        yield Check("inference engine", "missing", f"unknown ({first_line(error)})", "mend the lines above first")


def _models() -> Iterator[Check]:
    try:
        from edge_seg.model_file import ModelFile, shipped_models
    except ImportError as error:
        yield Check("models", "missing", f"unknown ({first_line(error)})", "mend the lines above first")
        return
    models = shipped_models()
    if not models:
        yield Check("models", "missing", "none shipped", install_command(anew=True))
    for name, path in models.items():
        try:
            manifest = ModelFile.read(path).manifest
            yield Check(f"model {name}", "ok", f"{manifest.version} {manifest.quantisation}, checksum holds")
        except EdgeSegError as error:
            yield Check(f"model {name}", "missing", str(error), install_command(anew=True))


def _codecs() -> Iterator[Check]:
    for name, what in _CODECS.items():
        found = _version(name)
        yield Check(
            f"DICOM {what}",
            "ok" if found else "absent",
            found or "not installed",
            "" if found else pip_install(name),
        )


def _cameras() -> Iterator[Check]:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if closed:
        yield Check("cameras", "absent", f"{closed[0]} may not be opened", "sudo usermod -aG video $USER, log in again")
    elif devices:
        yield Check("cameras", "ok", ", ".join(devices))
    else:
        yield Check("cameras", "absent", "no /dev/video*", "plug in a USB camera, or give --camera a URL")
    if importlib.util.find_spec("picamera2"):
        yield _libcamera()
    elif "Raspberry Pi" in board_name():
        fix = "sudo apt install python3-picamera2, and make the environment with --system-site-packages"
        yield Check("picamera2", "absent", "not installed", fix)


def _libcamera() -> Check:
    """Cameras that libcamera sees; V4L2 does not list a Pi's own camera."""
    try:
        models = [entry["Model"] for entry in importlib.import_module("picamera2").Picamera2.global_camera_info()]
    except (ImportError, OSError, RuntimeError) as error:
        fix = "sudo apt install --reinstall python3-libcamera python3-picamera2"
        return Check("picamera2", "missing", f"does not load ({first_line(error)})", fix)
    if not models:
        return Check("picamera2", "absent", "libcamera sees no camera", "check its cable: rpicam-hello --list-cameras")
    return Check("picamera2", "ok", f"libcamera sees {', '.join(models)}")


def _accelerator() -> Iterator[Check]:
    try:
        ctypes.CDLL("libedgetpu.so.1")
    except OSError as error:
        yield Check("Edge TPU library", "absent", first_line(error), "sudo apt install libedgetpu1-std")
    else:
        yield Check("Edge TPU library", "ok", "libedgetpu.so.1")


def _extras() -> Iterator[Check]:
    for extra, modules in {
        "data": ("h5py",),
        "clinic": ("pynetdicom", "highdicom"),
        "archive": ("pyarrow", "distributed"),
        "report": ("matplotlib", "jinja2", "psutil", "scipy"),
        "train": ("tensorflow", "tf_keras", "tensorflow_model_optimization"),
    }.items():
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        if absent:
            yield Check(f"[{extra}]", "absent", f"without {', '.join(absent)}", install_command(extra))
        else:
            yield Check(f"[{extra}]", "ok", "installed")


def _gpu() -> Iterator[Check]:
    """What training needs to use a GPU; skipped on devices that do not train."""
    if importlib.util.find_spec("tensorflow") is None:
        return
    driver = _loads("libcuda.so.1")
    if not driver and not has_nvidia_card():
        yield Check("[gpu]", "ok", "no NVIDIA GPU here, training uses the CPU")
        return
    if not driver:
        fix = "install NVIDIA's driver (Debian: nvidia-driver, Ubuntu: ubuntu-drivers install), start again"
        yield Check("NVIDIA driver", "absent", "there is a GPU, and no libcuda.so.1", fix)
    absent = [name for name in _gpu_wheels() if not _version(name)]
    if absent and not _loads("libcudnn.so.9"):
        # Without them TensorFlow trains on the CPU, almost silently.
        yield Check("[gpu]", "absent", f"without {', '.join(absent)}", install_command("gpu"))
    else:
        yield Check("[gpu]", "ok", "CUDA is installed")


def _gpu_wheels() -> list[str]:
    """The distributions that `tensorflow[and-cuda]` pulls in."""
    try:
        needed = importlib.metadata.requires("tensorflow") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^\w.-]", line)[0] for line in needed if "and-cuda" in line]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _machine() -> Iterator[Check]:
    cores = usable_cores()
    detail = f"{cores} cores"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        page = os.sysconf("SC_PAGE_SIZE")
        detail += f", {os.sysconf('SC_PHYS_PAGES') * page / 2**30:.1f} GiB memory, {page // 1024} KiB pages"
    if board_name():
        detail += f", {board_name()}"
    yield Check("machine", "ok", detail)
    if memory_can_be_limited() is False:
        fix = "add cgroup_enable=memory to the one line of /boot/firmware/cmdline.txt, and start again"
        yield Check("memory limit", "absent", "the kernel ignores MemoryMax of the service without a word", fix)


def _disk(folder: Path) -> Check:
    """The disk for the results; the run creates the folder."""
    # Not resolved: a service may lack permission to traverse the parents of its working directory.
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    where = f"for {folder}" if folder != Path() else "here"
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Check("disk", "missing", f"{folder}: {error.strerror}", "mount the disk that it lies on")
    if not os.access(place, os.W_OK):
        fix = "mount the disk that it lies on, or choose a folder that this user may write to"
        return Check("disk", "missing", f"{place} cannot be written {where}", fix)
    if free <= LITTLE_SPACE_BYTES:
        return Check("disk", "missing", f"{free / 1e9:.1f} GB free {where}", "free some space")
    return Check("disk", "ok", f"{free / 1e9:.1f} GB free {where}")


def _port() -> Iterator[Check]:
    """Whether the registered DICOM port is free to receive films."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _DICOM_PORT))
        except OSError as error:
            fix = f"systemctl status edge-seg, sudo ss -ltnp 'sport = :{_DICOM_PORT}', or listen at another"
            yield Check("DICOM port", "absent", f"{_DICOM_PORT}: {error.strerror} (a running edge-seg, say)", fix)
        else:
            yield Check("DICOM port", "ok", f"{_DICOM_PORT} is free")


def _clock() -> Iterator[Check]:
    """Whether the clock is right: a Pi without network boots in the past, which would misdate records and retention."""
    now, installed = time.time(), Path(__file__).stat().st_mtime
    today = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    if now < installed:
        yield Check("clock", "missing", f"{today} is before edge-seg was installed", "sudo timedatectl set-time ...")
    elif clock_is_doubtful():
        fix = "sudo timedatectl set-ntp true; without a network add a real-time clock"
        yield Check("clock", "absent", f"{today}, not set since the start", fix)
    else:
        yield Check("clock", "ok", today)


def _network(config: StationConfig) -> Iterator[Check]:
    """What others on the network can read."""
    for line in config.in_clear:
        subject, _, fix = line.partition(": ")
        yield Check("encryption", "absent", subject, fix)
    if not config.in_clear:
        yield Check("encryption", "ok", "everything that leaves this machine is encrypted")


def _power() -> Iterator[Check]:
    slow, degrees = throttling(), temperature_c()
    if degrees is not None:
        hot = degrees >= HOT_C
        fix = "let air in, add a fan" if hot else ""
        yield Check("temperature", "missing" if hot else "ok", f"{degrees:.0f} degrees Celsius", fix)
    if slow is None:
        return
    fixes = {"under-voltage": "use the board's own power supply"}
    for reason in slow["now"]:
        yield Check("power", "missing", f"now: {reason}", fixes.get(reason, "let air in, add a fan"))
    for reason in slow["start"]:
        if reason not in slow["now"]:
            detail = f"since the start: {reason}"
            yield Check("power", "absent", detail, fixes.get(reason, "let air in, add a fan"))
    if not slow["start"] and not slow["now"]:
        yield Check("power", "ok", "no under-voltage, not slowed down")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
