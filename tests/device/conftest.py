"""A fresh Debian system, for tests that install what a clinic installs.

    mmdebstrap --variant=important --include=sudo,systemd,ca-certificates,nano,openssl trixie ROOT
    EDGE_SEG_ROOT=ROOT python -m pytest tests/device -k "installation_page or container"

The folder is not changed. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fresh_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the fresh system with the checkout in `/root/edge-seg`; changes to it are discarded afterwards."""
    fresh = os.environ.get("EDGE_SEG_ROOT")
    if not fresh:
        pytest.skip("EDGE_SEG_ROOT names no fresh root file system")
    with overlay(Path(fresh), tmp_path_factory.mktemp("system")) as root:
        for name in ("resolv.conf", "hosts", "pip.conf", "ssl/certs/ca-certificates.crt"):
            if (Path("/etc") / name).is_file():
                shutil.copy(Path("/etc") / name, root / "etc" / name)
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True)
        for name in filter(None, tracked.stdout.split("\0")):
            if (CHECKOUT / name).is_file():
                target = root / "root" / "edge-seg" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(CHECKOUT / name, target)
        yield root


@contextmanager
def overlay(fresh: Path, folder: Path) -> Iterator[Path]:
    """The fresh system under an overlay that takes every change."""
    upper, work, root = (folder / name for name in ("upper", "work", "root"))
    for made in (upper, work, root):
        made.mkdir()
    # Users of the system must be able to enter it.
    upper.chmod(0o755)
    options = f"lowerdir={fresh},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], check=True)
    try:
        for name in ("proc", "dev", "sys"):
            subprocess.run(["mount", "--rbind", "--make-rslave", f"/{name}", str(root / name)], check=True)
        yield root
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", str(root)], check=True)
