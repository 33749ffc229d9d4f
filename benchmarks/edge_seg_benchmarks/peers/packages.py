"""Optional packages."""

from __future__ import annotations

import importlib
from typing import Any

from edge_seg.errors import DeviceError
from edge_seg.install import install_command, pip_install


def load_package(module: str, distribution: str = "") -> Any:
    """Import a module that may not be installed.

    Args:
        module: what to import.
        distribution: the one that provides it, if it does not come with `[peers]`.

    Raises:
        DeviceError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        fix = pip_install(distribution) if distribution else install_command("peers")
        raise DeviceError(f"{module} cannot be imported ({error}): {fix}") from error
