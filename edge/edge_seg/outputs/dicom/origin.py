"""Origin of DICOM results: the UIDs, series, codes and names of algorithm and device that all objects share."""

from __future__ import annotations

from typing import Any

from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.dicom.header import StudyHeader
from edge_seg.segmenter import Segmentation
from edge_seg.structures import Structure
from edge_seg.version import __version__

MANUFACTURER = "edge-seg"
SOURCE = "https://pypi.org/project/edge-seg"

SEGMENTATION_SERIES, CAPTURE_SERIES, REPORT_SERIES, CORRECTION_SERIES = 9701, 9702, 9703, 9704
"""Series numbers of results, beyond those that scanners use."""

PRIVATE_SCHEME = "99EDGESEG"
"""Coding scheme for what public ones lack; the leading 99 marks it as private (PS3.3 section 8.2)."""

ANATOMICAL_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
ARTIFICIAL_INTELLIGENCE = ("123109", "DCM", "Artificial Intelligence")


def result_uid(segmentation: Segmentation, header: StudyHeader, product: str) -> str:
    """A UID derived from film, model, settings and product, so that a repeated run makes no second object."""
    from pydicom.uid import generate_uid

    film, model = header.dataset.SOPInstanceUID, segmentation.manifest.flatbuffer_sha256
    sources = [film, segmentation.film.checksum or "", model, str(segmentation.lung), __version__, product]
    return str(generate_uid(entropy_srcs=sources))


def algorithm_version(segmentation: Segmentation) -> str:
    """Version of the model with the start of its checksum."""
    manifest = segmentation.manifest
    return f"{manifest.version} {manifest.flatbuffer_sha256[:12]}"


def parameters(segmentation: Segmentation) -> dict[str, str]:
    """How the result was made and how far to trust it."""
    trust = {} if segmentation.trust is None else {"estimated Dice": f"{segmentation.trust:.2f}"}
    return {"runtime": segmentation.runtime, "delegate": segmentation.delegate, **trust, "notice": RESEARCH_USE}


def structure_code(structure: Structure) -> Any:
    """pydicom's `Code` of a structure, a private one if SNOMED CT has none."""
    from pydicom.sr.coding import Code

    if structure.snomed:
        return Code(structure.snomed, "SCT", structure.title[:64])
    return Code(structure.name[:16].upper(), PRIVATE_SCHEME, structure.title[:64])
