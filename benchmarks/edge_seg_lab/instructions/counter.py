"""Builds the emulator's plugin that counts instructions, and reads its counter file."""

from __future__ import annotations

import mmap
import os
import shlex
import shutil
import struct
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from edge_seg.errors import DeviceError

from edge_seg_lab.instructions.debian import run_tool

_COUNT = struct.Struct("<Q")


def build_plugin(folder: Path) -> Path:
    """Build the plugin from `count.c` into a folder.

    Raises:
        DeviceError: this machine has no C compiler, or compiling fails.
    """
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        raise DeviceError(f"the C compiler {compiler[0]} is not here: apt-get install gcc libc6-dev, or name one in CC")
    plugin = folder / "count.so"
    source = resources.files("edge_seg_lab.instructions") / "count.c"
    with resources.as_file(source) as path:
        run_tool([*compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", str(plugin), str(path)])
    return plugin


def plugin_with_counter(plugin: Path, counter: Path) -> str:
    """The emulator's option for the plugin, which counts from zero in a new file."""
    counter.write_bytes(bytes(_COUNT.size))
    return f"{plugin},counter={counter}"


def read_counter(counter: Path) -> Callable[[], int]:
    """A function that returns the instructions executed so far, for use in the counted process."""
    with counter.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), _COUNT.size)
    return lambda: int(_COUNT.unpack_from(mapped)[0])
