"""The masks of a film as a DICOM segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.dicom import origin
from edge_seg.outputs.dicom.header import StudyHeader, study_header
from edge_seg.segmenter import Segmentation
from edge_seg.version import __version__

_PROJECTION_DEPTH = 1.0
"""Slice thickness of a projection, which has none; readers of segmentations insist on one."""


def segmentation_object(segmentation: Segmentation, header: StudyHeader | None = None) -> Any:
    """A binary segmentation, a segment for each structure (PS3.3 A.51).

    A bit for each pixel, not compressed: for binary segmentations PS3.5 has no compression that viewers read. On the
    way to an archive that takes it the data set is deflated.

    Args:
        segmentation: of a film with a DICOM header.
        header: of the film, made from it if not given.

    Returns:
        `highdicom.seg.Segmentation`, a pydicom dataset.

    Raises:
        InputError: the film came without a DICOM header.
    """
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian

    header = header or study_header(segmentation.film)
    dataset, manifest = header.dataset, segmentation.manifest
    masks = np.stack([segmentation.masks[s.name] for s in segmentation.structures], axis=-1)[np.newaxis]
    made = highdicom.seg.Segmentation(
        source_images=[dataset],
        pixel_array=masks.view(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(segmentation),
        series_instance_uid=origin.result_uid(segmentation, header, "segmentation series"),
        series_number=origin.SEGMENTATION_SERIES,
        sop_instance_uid=segmentation_uid(segmentation, header),
        instance_number=1,
        manufacturer=origin.MANUFACTURER,
        manufacturer_model_name=manifest.name[:64],
        software_versions=__version__,
        device_serial_number=manifest.flatbuffer_sha256[:16],
        content_label="LUNGS",
        content_description=RESEARCH_USE,
        series_description=f"edge-seg segmentation: {RESEARCH_USE}",
        pixel_measures=pixel_measures(dataset),
        omit_empty_frames=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    made.PatientOrientation = dataset.PatientOrientation
    return made


def segmentation_uid(segmentation: Segmentation, header: StudyHeader) -> str:
    """SOP Instance UID of the segmentation, for what refers to it."""
    return origin.result_uid(segmentation, header, "segmentation")


def _descriptions(segmentation: Segmentation) -> list[Any]:
    import highdicom
    from pydicom.sr.coding import Code

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"edge-seg {segmentation.manifest.name}"[:64],
        family=Code(*origin.ARTIFICIAL_INTELLIGENCE),
        version=origin.algorithm_version(segmentation)[:64],
        source=origin.SOURCE,
        parameters=origin.parameters(segmentation),
    )
    descriptions = []
    for number, structure in enumerate(segmentation.structures, 1):
        description = highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=structure.title[:64],
            segmented_property_category=Code(*origin.ANATOMICAL_STRUCTURE),
            segmented_property_type=origin.structure_code(structure),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=highdicom.color.CIELabColor.from_rgb(*rgb(structure.colour)),
        )
        # Two definitions of lung are in use; a code does not tell them apart.
        description.SegmentDescription = structure.definition
        descriptions.append(description)
    return descriptions


def pixel_measures(dataset: Any) -> Any:
    """Spacing of the pixels of a film, by its header; `None` where it is not known."""
    import highdicom

    if "PixelSpacing" not in dataset:
        return None
    return highdicom.PixelMeasuresSequence(dataset.PixelSpacing, _PROJECTION_DEPTH)


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
