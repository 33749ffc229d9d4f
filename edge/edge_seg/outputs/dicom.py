"""DICOM objects of a result, in the study of its film: segmentation (SEG) and secondary capture (SC) of the overlay.

Needs `pip install 'edge-seg[clinic]'`. Both carry the patient and study of the film; so they may go only where the film
may.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import warnings
from typing import Any

import cv2
import numpy as np

from edge_seg.errors import DeviceError, InputError
from edge_seg.notice import RESEARCH_USE
from edge_seg.segmenter import Segmentation
from edge_seg.structures import Structure
from edge_seg.version import __version__

MANUFACTURER = "edge-seg"
# Series of results come after all that a scanner numbers.
_SEGMENTATION_SERIES, _CAPTURE_SERIES = 9701, 9702
_ANATOMICAL_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
_PROJECTION_DEPTH = 1.0
"""Slice thickness of a projection, which has none; readers of segmentations insist on one."""


def require_highdicom() -> None:
    """Make sure, before films come, that DICOM results can be made.

    Raises:
        DeviceError: highdicom is not installed.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise DeviceError("DICOM results need highdicom: pip install 'edge-seg[clinic]'")


def objects(segmentation: Segmentation, overlay: np.ndarray) -> dict[str, bytes]:
    """Files of both objects, by what comes between the film's name and `.dcm`: `seg`, `overlay`.

    Args, Raises: see `segmentation_object` and `capture_object`.
    """
    return {
        "seg": _to_bytes(segmentation_object(segmentation)),
        "overlay": _to_bytes(capture_object(segmentation, overlay)),
    }


def segmentation_object(segmentation: Segmentation) -> Any:
    """A binary DICOM segmentation, a segment for each structure (PS3.3 A.51).

    Its instance UID follows from the film's, the model and its settings, so that a repeated run makes no second object.

    Args:
        segmentation: of a film with a DICOM header.

    Returns:
        `highdicom.seg.Segmentation`, a pydicom dataset.

    Raises:
        InputError: the film has no header, or one that no object can be made from.
    """
    import highdicom
    from pydicom.sr.coding import Code

    manifest = segmentation.manifest
    header = _header(segmentation)
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"edge-seg {manifest.name}",
        family=Code("123109", "DCM", "Artificial Intelligence"),
        version=f"{manifest.version} {manifest.flatbuffer_sha256[:12]}",
        source="https://pypi.org/project/edge-seg",
        parameters=_parameters(segmentation),
    )
    descriptions = []
    for number, structure in enumerate(segmentation.structures, 1):
        description = highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=structure.title,
            segmented_property_category=Code(*_ANATOMICAL_STRUCTURE),
            segmented_property_type=_code(structure),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=highdicom.color.CIELabColor.from_rgb(*_rgb(structure.colour)),
        )
        # Two definitions of lung are in use; a code tells them not apart.
        description.SegmentDescription = structure.definition
        descriptions.append(description)
    masks = np.stack([segmentation.masks[s.name] for s in segmentation.structures], axis=-1)[np.newaxis]
    measures = None
    if "PixelSpacing" in header:
        measures = highdicom.PixelMeasuresSequence(header.PixelSpacing, _PROJECTION_DEPTH)
    made = _make(
        highdicom.seg.Segmentation,
        source_images=[header],
        pixel_array=masks.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=_uid(segmentation, "segmentation series"),
        series_number=_SEGMENTATION_SERIES,
        sop_instance_uid=_uid(segmentation, "segmentation"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=manifest.name,
        software_versions=__version__,
        device_serial_number=manifest.flatbuffer_sha256[:16],
        content_label="LUNGS",
        content_description=RESEARCH_USE,
        series_description=f"edge-seg segmentation: {RESEARCH_USE}",
        pixel_measures=measures,
        omit_empty_frames=False,
    )
    made.PatientOrientation = header.PatientOrientation
    return made


def capture_object(segmentation: Segmentation, overlay: np.ndarray) -> Any:
    """The overlay as a secondary capture image (PS3.3 A.8.1), which every viewer shows.

    Args:
        segmentation: of a film with a DICOM header.
        overlay: `(height, width, 3)` uint8 in OpenCV's channel order.

    Returns:
        `highdicom.sc.SCImage`, a pydicom dataset.

    Raises:
        InputError: the film has no header, or one that no object can be made from.
    """
    import highdicom

    header = _header(segmentation)
    made = _make(
        highdicom.sc.SCImage.from_ref_dataset,
        ref_dataset=header,
        pixel_array=cv2.cvtColor(overlay, cv2.COLOR_BGR2RGB),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=_uid(segmentation, "capture series"),
        series_number=_CAPTURE_SERIES,
        sop_instance_uid=_uid(segmentation, "capture"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        patient_orientation=tuple(header.PatientOrientation),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    made.SeriesDescription = f"edge-seg overlay: {RESEARCH_USE}"
    made.ImageComments = RESEARCH_USE
    made.BurnedInAnnotation = "YES"
    made.Laterality = ""
    made.SoftwareVersions = __version__
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DerivationDescription = ", ".join(f"{key}: {value}" for key, value in _parameters(segmentation).items())
    return made


def _make(make: Any, **options: Any) -> Any:
    try:
        with warnings.catch_warnings():
            # pydicom warns of every oddity that the scanner wrote into the header.
            warnings.simplefilter("ignore")
            return make(**options)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"no DICOM object can be made from the film's header ({error}): correct it") from error


def _header(segmentation: Segmentation) -> Any:
    """The film's header with what the objects need and a scanner may have left out."""
    header = segmentation.film.header
    if header is None:
        raise InputError(f"{segmentation.film.source}: came without a DICOM header: no DICOM object can be made of it")
    header = copy.copy(header)
    # Some scanners write zero where they know nothing. The detector's own spacing is no size in the patient.
    if not all(float(value) > 0 for value in header.get("PixelSpacing") or [0]):
        header.pop("PixelSpacing", None)
    if not header.get("PatientOrientation"):
        # A chest film stands as seen from the front: the patient's left to the right, feet down.
        header.PatientOrientation = ["L", "F"]
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        if name not in header:
            setattr(header, name, "")
    for name in ("StudyDate", "StudyTime", "ReferringPhysicianName"):
        if name not in header:
            setattr(header, name, "")
    return header


def _uid(segmentation: Segmentation, product: str) -> str:
    from pydicom.uid import generate_uid

    manifest = segmentation.manifest
    sources = [segmentation.film.header.SOPInstanceUID, segmentation.film.checksum or "", manifest.flatbuffer_sha256]
    return str(generate_uid(entropy_srcs=[*sources, str(segmentation.lung), __version__, product]))


def _parameters(segmentation: Segmentation) -> dict[str, str]:
    """How the result came about and how far it goes."""
    trust = {} if segmentation.trust is None else {"estimated Dice": f"{segmentation.trust:.2f}"}
    return {"runtime": segmentation.runtime, "delegate": segmentation.delegate, **trust, "notice": RESEARCH_USE}


def _code(structure: Structure) -> Any:
    from pydicom.sr.coding import Code

    if structure.snomed:
        return Code(structure.snomed, "SCT", structure.title)
    return Code(structure.name[:16].upper(), "99EDGESEG", structure.title)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _to_bytes(dataset: Any) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
