"""What the machine reports about itself: name, boot, usable cores, temperature, and throttling."""

from __future__ import annotations

import os
import time
from pathlib import Path

HOT_C = 80.0
"""A Raspberry Pi slows down from this temperature on."""

LITTLE_SPACE_BYTES = 200_000_000
"""Bytes; with less free disk space the page and `edge-seg doctor` warn."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UPTIME = Path("/proc/uptime")
_SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
_BATTERY_CLOCK = Path("/sys/class/rtc/rtc0/since_epoch")
_MODEL = Path("/proc/device-tree/model")
_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")
_THERMAL = Path("/sys/class/thermal")
_PCI = Path("/sys/bus/pci/devices")
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")

_NVIDIA = "0x10de"  # vendor on the PCI bus
_DISPLAY = "0x03"  # class: VGA and 3D controllers

# Raspberry Pi firmware, `vcgencmd get_throttled`: bits for the present state; 16 higher, for the time since boot.
_REASONS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "temperature limit"}


def board_name() -> str:
    """The board's name for itself (`Raspberry Pi 5 Model B Rev 1.0`), empty if it has none."""
    try:
        return _MODEL.read_text(errors="replace").strip("\0\n")
    except OSError:
        return ""


def boot_id() -> str:
    """Identifier of the machine's current boot (random(4)); empty where the system provides none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def uptime_s() -> float:
    """Seconds since boot, suspend included (proc(5)); since an arbitrary start where the system provides none."""
    try:
        return float(_UPTIME.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return time.monotonic()


def clock_is_synchronised() -> bool:
    """Whether systemd-timesyncd has set the clock since boot; other time services are not detected."""
    return _SYNCHRONISED.exists()


def clock_is_doubtful() -> bool:
    """Whether nothing has confirmed the clock since boot: no time server, no plausible battery clock."""
    if clock_is_synchronised() or not _SYNCHRONISED.parent.is_dir():
        return False
    try:
        # Without a battery it counts from 1970, or from its year of manufacture.
        return int(_BATTERY_CLOCK.read_text()) < Path(__file__).stat().st_mtime
    except (OSError, ValueError):
        return True


def usable_cores() -> int:
    """CPU cores that this process may use: fewer than the machine has in a container or under `taskset`."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_nvidia_card() -> bool:
    """Whether an NVIDIA GPU is on the PCI bus, with a driver or without."""
    for device in _PCI.glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text()
        except OSError:
            continue
        if vendor == _NVIDIA and kind.startswith(_DISPLAY):
            return True
    return False


def memory_can_be_limited() -> bool | None:
    """Whether the kernel has the memory controller of cgroup v2; Raspberry Pi OS needs a boot parameter for it.

    `None` where the system has no cgroup v2.
    """
    try:
        return "memory" in _CONTROLLERS.read_text().split()
    except OSError:
        return None


def temperature_c() -> float | None:
    """The hottest thermal zone in degrees Celsius, `None` if there is none."""
    found = []
    for zone in _THERMAL.glob("thermal_zone*/temp"):
        try:
            found.append(int(zone.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(found) if found else None


def throttling() -> dict[str, list[str]] | None:
    """Why the board slows down, `now` and since its `start`; `None` on boards that do not report it."""
    try:
        bits = int(_THROTTLED.read_text().strip(), 16)
    except (OSError, ValueError):
        return None
    return {
        "now": [reason for bit, reason in _REASONS.items() if bits >> bit & 1],
        "start": [reason for bit, reason in _REASONS.items() if bits >> (bit + 16) & 1],
    }
