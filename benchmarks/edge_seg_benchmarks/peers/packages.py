"""Optional packages."""

from __future__ import annotations

import importlib
from typing import Any

from edge_seg.errors import DeviceError


def load_package(module: str, install: str = "'edge-seg[peers]'") -> Any:
    """Import a module that may not be installed.

    Args:
        module: what to import.
        install: pip's argument that installs it.

    Raises:
        DeviceError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DeviceError(f"{module} cannot be imported ({error}): pip install {install}") from error
