"""edge-seg: segmentation of X-ray films on small devices. Research use only, not for diagnosis.

>>> from edge_seg import Segmenter
>>> result = Segmenter.load("lungs")(image)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edge_seg.errors import DeviceError, EdgeSegError, InputError, ModelError, OutputError, UsageError
from edge_seg.notice import RESEARCH_USE
from edge_seg.version import __version__

if TYPE_CHECKING:
    from edge_seg.film import Film
    from edge_seg.segmenter import Segmentation, Segmenter
    from edge_seg.station.config import StationConfig
    from edge_seg.station.station import Station

# Loaded when first asked for: the command's help needs neither numpy nor OpenCV.
_HOMES = {
    "Film": "edge_seg.film",
    "Segmentation": "edge_seg.segmenter",
    "Segmenter": "edge_seg.segmenter",
    "Station": "edge_seg.station.station",
    "StationConfig": "edge_seg.station.config",
}

__all__ = [
    "RESEARCH_USE",
    "DeviceError",
    "EdgeSegError",
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
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edge_seg' has no attribute {name!r}")
