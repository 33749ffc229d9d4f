"""edge-seg: segmentation of X-ray films on small devices. Research use only, not for diagnosis.

>>> from edge_seg import Segmenter
>>> result = Segmenter.load("lungs")(image)  # doctest: +SKIP
"""

from edge_seg.errors import (
    DeviceError,
    EdgeSegError,
    InputError,
    ModelError,
    OutputError,
    UsageError,
)
from edge_seg.film import Film
from edge_seg.segmenter import Segmentation, Segmenter
from edge_seg.version import __version__

RESEARCH_USE = "Research use only, not for diagnosis"
"""Stands wherever a result leaves the program."""

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
    "UsageError",
    "__version__",
]
