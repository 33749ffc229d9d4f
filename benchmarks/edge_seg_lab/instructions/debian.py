"""Unpacks Debian packages of any architecture into a folder, without root and without changing this system."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_seg.errors import DeviceError

RELEASE = "bookworm"
"""Its QEMU accepts version 1 plugins, and its Python has wheels for everything that a device needs."""

_SOURCE = f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {RELEASE} main"


def unpack(packages: Sequence[str], architecture: str, into: Path) -> None:
    """Download packages with their dependencies, and unpack them without running their scripts.

    Args:
        packages: names.
        architecture: Debian's name for it (`amd64`, `arm64`).
        into: folder, made if absent.

    Raises:
        DeviceError: this machine has no apt, or the download fails.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DeviceError(f"{tool} is not here: packages for the emulation come from Debian, use Debian or Ubuntu")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".apt-") as name:
        state = Path(name)
        # A separate, empty apt state, so that apt downloads every dependency.
        for folder in ("lists/partial", "archives/partial"):
            (state / folder).mkdir(parents=True)
        (state / "status").touch()
        (state / "sources.list").write_text(_SOURCE + "\n")
        options = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "1",
            "Dir::Cache": f"{state}",
            "Dir::Cache::Archives": f"{state}/archives",
            "Dir::Etc::SourceList": f"{state}/sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::Etc::PreferencesParts": "-",
            "Dir::State": f"{state}",
            "Dir::State::Lists": f"{state}/lists",
            "Dir::State::Status": f"{state}/status",
        }
        words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
        run_tool(["apt-get", "-q", *words, "update"])
        run_tool(["apt-get", "-qy", *words, "--no-install-recommends", "--download-only", "install", *packages])
        for package in sorted((state / "archives").glob("*.deb")):
            run_tool(["dpkg-deb", "-x", str(package), str(into)])


def run_tool(words: Sequence[str]) -> str:
    """Standard output of a command.

    Raises:
        DeviceError: it failed; the message quotes its last line of output.
    """
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no reason given"]
        raise DeviceError(f"{Path(words[0]).name} failed ({said[0].strip()}): see to that, then try again")
    return done.stdout
