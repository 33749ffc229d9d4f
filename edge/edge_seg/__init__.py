"""edge-seg: segmentation of X-ray films on small devices. Research use only, not for diagnosis.

>>> from edge_seg import Segmenter
>>> result = Segmenter.load()("chest.png")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edge_seg.errors import DeviceError, EdgeSegError, InputError, ModelError, OutputError, UsageError
from edge_seg.notice import RESEARCH_USE
from edge_seg.version import __version__

if TYPE_CHECKING:
    from edge_seg.film import Failure, Film
    from edge_seg.interface import Segmentation, Segmenter
    from edge_seg.sources.files import read_film
    from edge_seg.station.config import StationConfig
    from edge_seg.station.station import Station

# Loaded on first access: the command's help needs neither numpy nor OpenCV.
_HOMES = {
    "Failure": "edge_seg.film",
    "Film": "edge_seg.film",
    "Segmentation": "edge_seg.interface",
    "Segmenter": "edge_seg.interface",
    "Station": "edge_seg.station.station",
    "StationConfig": "edge_seg.station.config",
    "read_film": "edge_seg.sources.files",
}

__all__ = [
    "RESEARCH_USE",
    "DeviceError",
    "EdgeSegError",
    "Failure",
    "Film",
    "InputError",
    "ModelError",
    "OutputError",
    "Segmentation",
    "Segmenter",
    "Station",
    "StationConfig",
    "UsageError",
    "__version__",
    "read_film",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edge_seg' has no attribute {name!r}")
