"""Python for 64-bit ARM on other machines: QEMU's user-mode emulator, Debian's Python, wheels from PyPI.

Needs Debian or Ubuntu (apt); no root, no container, no chroot.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import DeviceError, UsageError

from edge_seg_lab.instructions import probe
from edge_seg_lab.instructions.cores import Core
from edge_seg_lab.instructions.debian import run_tool, unpack

_EMULATOR = "qemu-aarch64"
_PYTHON = "python3.11"
_PYTHON_PACKAGES = (
    "python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgomp1", "libatomic1", "zlib1g",
)  # fmt: skip
_GLIBC_TAGS = ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_31", "_2_34", "_2_35", "_2_36")
"""Tags of the manylinux wheels that run on Debian bookworm, whose glibc is 2.36."""


@dataclass(frozen=True)
class Arm64Python:
    """Python for 64-bit ARM; made by `prepare`.

    Attributes:
        folder: holds everything below.
        emulator: QEMU's command, without options.
        site: folder of the wheels.
    """

    folder: Path
    emulator: tuple[str, ...]
    site: Path

    @property
    def version(self) -> str:
        """The emulator's version, as it prints it."""
        return run_tool([*self.emulator, "-version"]).splitlines()[0]

    def core(self, name: str) -> Core:
        """The emulated core with this name, as its registers describe it.

        Raises:
            UsageError: the emulator has no such core.
        """
        # QEMU exits with 1 after printing the list.
        listed = subprocess.run([*self.emulator, "-cpu", "help"], capture_output=True, text=True).stdout
        known = listed.split()[2:]
        if name.partition(",")[0] not in known:
            raise UsageError(f"core {name!r} cannot be emulated: choose from {', '.join(known)}")
        try:
            registers = json.loads(run_tool(self._command(name, self.folder / "root", [str(probe.__file__)])))
        except DeviceError as error:
            raise UsageError(f"core {name!r} cannot be emulated: {error}") from error
        return Core.from_registers(name, **registers)

    def command(self, core: str, words: Sequence[str], plugin: str | None = None) -> list[str]:
        """The command that runs Python with these arguments.

        Args:
            core: name of the emulated core, with features switched on or off (`max,sme=off`).
            words: arguments of Python.
            plugin: emulator plugin with its options.

        Raises:
            UsageError: the emulator has no such core.
        """
        root = self.folder / "cores" / core

        def make(draft: Path) -> None:
            draft.mkdir(parents=True)
            for entry in (self.folder / "root").iterdir():
                (draft / entry.name).symlink_to(entry)
            self.core(core).write_stand_ins(draft)

        _make_once(self.folder, root, make)
        return self._command(core, root, words, plugin)

    def environment(self, packages: Sequence[Path], base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment for `command`.

        Args:
            packages: folders in which Python looks for packages, before the wheels.
            base: other variables; by default none, so that no setting of this machine changes a count.
        """
        path = os.pathsep.join(map(str, (*packages, self.site)))
        return {**(base or {}), "PYTHONPATH": path, "PYTHONNOUSERSITE": "1"}

    def _command(self, core: str, root: Path, words: Sequence[str], plugin: str | None = None) -> list[str]:
        plugged = ["-plugin", plugin] if plugin else []
        python = str(self.folder / "root" / "usr" / "bin" / _PYTHON)
        return [*self.emulator, *plugged, "-cpu", core, "-L", str(root), python, *words]


def device_requirements() -> list[str]:
    """Requirements of the device part, in the versions installed here."""
    wanted = ["numpy>=2,<3", "click", "flatbuffers"]
    for name in ("ai-edge-litert", "opencv-python-headless"):
        try:
            wanted.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            wanted.append(name)
    return wanted


def prepare(folder: Path, requirements: Sequence[str]) -> Arm64Python:
    """Install what is missing.

    Args:
        folder: for everything; several sets of requirements share the emulator and Python.
        requirements: pip requirements with wheels for 64-bit ARM and Python 3.11.

    Raises:
        DeviceError: this machine has no apt or no pip, or a download fails.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    host, root = folder / "host", folder / "root"
    digest = hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:12]
    site = folder / f"site-{digest}"
    _make_once(folder, host, _unpack_emulator)
    _make_once(folder, root, lambda draft: unpack(_PYTHON_PACKAGES, "arm64", draft))
    _make_once(folder, site, lambda draft: _install(requirements, draft))
    # QEMU gets the libraries of its own Debian release, so it runs on machines with others.
    loader = next(host.glob("lib*/ld-linux-*.so.*"))
    libraries = {str(path.parent) for path in host.glob("**/lib/*-linux-gnu/*.so.*")}
    emulator = (str(loader), "--library-path", ":".join(sorted(libraries)), str(host / "usr" / "bin" / _EMULATOR))
    return Arm64Python(folder, emulator, site)


def _unpack_emulator(draft: Path) -> None:
    if shutil.which("dpkg") is None:
        raise DeviceError("dpkg is not here: packages for the emulation come from Debian, use Debian or Ubuntu")
    # The dynamically linked one: a statically linked QEMU cannot load plugins.
    unpack(["qemu-user"], run_tool(["dpkg", "--print-architecture"]).strip(), draft)
    for other in (draft / "usr" / "bin").glob("qemu-*"):
        if other.name != _EMULATOR:
            other.unlink()


def _install(requirements: Sequence[str], site: Path) -> None:
    platforms = [word for tag in _GLIBC_TAGS for word in ("--platform", f"manylinux{tag}_aarch64")]
    kind = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    options = ["--quiet", "--only-binary=:all:", "--no-compile", *kind, *platforms]
    run_tool([sys.executable, "-m", "pip", "install", "--target", str(site), *options, *requirements])


def _make_once(folder: Path, path: Path, make: Callable[[Path], None]) -> None:
    """Make a folder atomically, even if two processes want it at the same time."""
    if path.exists():
        return
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            draft = path.with_name(f"{path.name}.draft")
            shutil.rmtree(draft, ignore_errors=True)
            make(draft)
            draft.rename(path)
