"""DICOM objects of a result, in the study of its film: segmentation (SEG), overlay (SC) and measurement report (SR).

Needs `pip install '.[clinic]'`. All carry the patient and study of the film, so they may go only where the film
may.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_seg.errors import DeviceError
from edge_seg.install import install_command
from edge_seg.outputs.dicom.correction import CorrectedOutlines, correction_object
from edge_seg.outputs.dicom.header import study_header
from edge_seg.outputs.dicom.report import report_object
from edge_seg.outputs.dicom.secondary_capture import capture_object
from edge_seg.outputs.dicom.segmentation import segmentation_object
from edge_seg.outputs.dicom.stream import to_bytes
from edge_seg.quiet import warnings_ignored
from edge_seg.segmenter import Segmentation

__all__ = [
    "CorrectedOutlines",
    "DicomResults",
    "capture_object",
    "correction_object",
    "make_objects",
    "report_object",
    "require_highdicom",
    "segmentation_object",
]


@dataclass(frozen=True)
class DicomResults:
    """The DICOM objects of a film.

    Attributes:
        files: complete files by the part of their name between the film's name and `.dcm`: `seg`, `overlay`, `report`.
        notes: what the film's header lacked, and which objects could not be made and why.
    """

    files: dict[str, bytes]
    notes: tuple[str, ...]


def require_highdicom() -> None:
    """Check, before films arrive, that DICOM results can be made.

    Raises:
        DeviceError: highdicom is not installed.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise DeviceError(f"DICOM results need highdicom: {install_command('clinic')}")


def make_objects(segmentation: Segmentation, overlay: np.ndarray) -> DicomResults:
    """All objects of a film; one that cannot be made does not affect the others.

    Args:
        segmentation: of a film with a DICOM header.
        overlay: `(height, width, 3)` uint8 in OpenCV's channel order.

    Raises:
        InputError: the film came without a DICOM header.
    """
    header = study_header(segmentation.film)
    makers: dict[str, Callable[[], Any]] = {
        "seg": lambda: segmentation_object(segmentation, header),
        "overlay": lambda: capture_object(segmentation, overlay, header),
        "report": lambda: report_object(segmentation, header),
    }
    files, notes = {}, list(header.notes)
    for name, make in makers.items():
        try:
            with warnings_ignored():
                # highdicom warns about names without a caret and the like.
                files[name] = to_bytes(make())
        # highdicom can raise anything, and pictures and numbers are complete without its objects.
        except Exception as error:
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            notes.append(f"no DICOM {name}: {reason}: report this film's header")
    return DicomResults(files, tuple(notes))
