"""Loads the image's programs, which are outside the packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_DEVICE = Path(__file__).parents[2] / "image" / "device"


def load_program(name: str) -> ModuleType:
    """Load a program of `image/device` as a module; it needs Python 3.11, since the device has 3.13."""
    spec = importlib.util.spec_from_file_location(f"image_{name}", _DEVICE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
