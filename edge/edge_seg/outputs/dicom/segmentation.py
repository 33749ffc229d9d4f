"""The masks of a film as a DICOM segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """A binary segmentation, one segment per structure (PS3.3 A.51).

    One bit per pixel, uncompressed: PS3.5 has no compression for binary segmentations that viewers read. The data set
    is deflated on the way to an archive that takes it.

    Args:
        segmentation: of a film with a DICOM header.
        header: of the film, built from it if not given.

    Returns:
        `highdicom.seg.Segmentation`, a pydicom dataset.

    Raises:
        InputError: the film came without a DICOM header.
    """
    header = header or study_header(segmentation.film)
    manifest = segmentation.manifest
    return binary_segmentation(
        header.dataset,
        [segmentation.masks[one.name] for one in segmentation.structures],
        _descriptions(segmentation),
        SegmentationFacts(
            series_uid=origin.result_uid(segmentation, header, "segmentation series"),
            series_number=origin.SEGMENTATION_SERIES,
            series=f"edge-seg segmentation: {RESEARCH_USE}",
            uid=segmentation_uid(segmentation, header),
            label="LUNGS",
            model=manifest.name,
            model_sha256=manifest.flatbuffer_sha256,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class SegmentationFacts:
    """What a segmentation says about itself.

    Attributes:
        series_uid, series_number, series: of its series; `series` is the description.
        uid: SOP Instance UID.
        label: content label.
        model, model_sha256: the model whose outlines they are, or were before correction.
        creator: the person who made the content.
    """

    series_uid: str
    series_number: int
    series: str
    uid: str
    label: str
    model: str
    model_sha256: str
    creator: str | None = None


def binary_segmentation(
    dataset: Any, masks: Sequence[np.ndarray], descriptions: list[Any], facts: SegmentationFacts
) -> Any:
    """A binary segmentation of a film, one segment per mask.

    Args:
        dataset: header of the film.
        masks: bool arrays of the film's size.
        descriptions: of each segment.
        facts: what else the segmentation says.
    """
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian

    made = highdicom.seg.Segmentation(
        source_images=[dataset],
        pixel_array=np.stack(masks, axis=-1)[np.newaxis].view(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=facts.series_uid,
        series_number=facts.series_number,
        sop_instance_uid=facts.uid,
        instance_number=1,
        manufacturer=origin.MANUFACTURER,
        manufacturer_model_name=facts.model[:64],
        software_versions=__version__,
        device_serial_number=facts.model_sha256[:16],
        content_label=facts.label,
        content_description=RESEARCH_USE,
        content_creator_name=facts.creator,
        series_description=facts.series[:64],
        pixel_measures=_pixel_measures(dataset),
        omit_empty_frames=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    made.PatientOrientation = dataset.PatientOrientation
    return made


def segmentation_uid(segmentation: Segmentation, header: StudyHeader) -> str:
    """SOP Instance UID of the segmentation, for objects that refer to it."""
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
        # Two definitions of lung are in use; the code does not tell them apart.
        description.SegmentDescription = structure.definition
        descriptions.append(description)
    return descriptions


def _pixel_measures(dataset: Any) -> Any:
    """Pixel spacing from a film's header; `None` if unknown."""
    import highdicom

    if "PixelSpacing" not in dataset:
        return None
    return highdicom.PixelMeasuresSequence(dataset.PixelSpacing, _PROJECTION_DEPTH)


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
