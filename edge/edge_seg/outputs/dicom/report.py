"""The measurements of a film as a DICOM measurement report (TID 1500 of PS3.16)."""

from __future__ import annotations

from typing import Any

from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.dicom import origin
from edge_seg.outputs.dicom.header import StudyHeader, study_header
from edge_seg.outputs.dicom.segmentation import segmentation_uid
from edge_seg.segmenter import Segmentation
from edge_seg.structures import Structure
from edge_seg.version import __version__

_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
_CM2, _MM = ("cm2", "UCUM", "square centimeter"), ("mm", "UCUM", "millimeter")
_PIXELS, _RATIO = ("{pixels}", "UCUM", "pixels"), ("{ratio}", "UCUM", "ratio")
_NO_UNITS = ("1", "UCUM", "no units")
_AREA, _WIDTH = ("42798000", "SCT", "Area"), ("103355008", "SCT", "Width")
_THORAX = ("51185008", "SCT", "Chest")
_RADIOGRAPH = ("399208008", "SCT", "Plain chest X-ray")
_COMMENT = ("121106", "DCM", "Comment")
_RATIOS = {
    "cardiothoracic": ("CTR", origin.PRIVATE_SCHEME, "Cardiothoracic ratio"),
    "left_to_right_area": ("LEFT_TO_RIGHT", origin.PRIVATE_SCHEME, "Area of left lung over right lung"),
}
_DICE = ("ESTIMATED_DICE", origin.PRIVATE_SCHEME, "Estimated Dice coefficient of the lungs")


def report_object(segmentation: Segmentation, header: StudyHeader | None = None) -> Any:
    """Areas, widths, ratios and estimated Dice as a Comprehensive SR document (PS3.3 A.35.3).

    Each structure has a group that refers to its segment of the segmentation; a group for the chest refers to the
    film. Anything not measured, or withheld, is left out. Each warning is a comment, after the notice.

    Args:
        segmentation: of a film with a DICOM header.
        header: of the film, built from it if not given.

    Returns:
        `highdicom.sr.ComprehensiveSR`, a pydicom dataset.

    Raises:
        InputError: the film came without a DICOM header.
    """
    import highdicom
    from pydicom.sr.coding import Code

    header = header or study_header(segmentation.film)
    manifest = segmentation.manifest
    observer = highdicom.sr.ObserverContext(
        observer_type=highdicom.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=highdicom.sr.DeviceObserverIdentifyingAttributes(
            uid=origin.result_uid(segmentation, header, "device"),
            manufacturer_name=origin.MANUFACTURER,
            model_name=manifest.name,
            serial_number=manifest.flatbuffer_sha256,
        ),
    )
    groups = [_structure_group(segmentation, header, n, s) for n, s in enumerate(segmentation.structures, 1)]
    content = highdicom.sr.MeasurementReport(
        observation_context=highdicom.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=Code(*_RADIOGRAPH),
        imaging_measurements=[*groups, *_chest_group(segmentation, header)],
    )
    for text in (RESEARCH_USE, *segmentation.warnings):
        content[0].ContentSequence.append(_text(text))
    made = highdicom.sr.ComprehensiveSR(
        evidence=[header.dataset, _segmentation_reference(segmentation, header)],
        content=content[0],
        series_instance_uid=origin.result_uid(segmentation, header, "report series"),
        series_number=origin.REPORT_SERIES,
        sop_instance_uid=origin.result_uid(segmentation, header, "report"),
        instance_number=1,
        manufacturer=origin.MANUFACTURER,
        manufacturer_model_name=manifest.name[:64],
        software_versions=__version__,
        device_serial_number=manifest.flatbuffer_sha256[:16],
        is_complete=True,
        series_description=f"edge-seg measurements: {RESEARCH_USE}",
    )
    made.CodingSchemeIdentificationSequence = [_private_scheme()]
    return made


def _structure_group(segmentation: Segmentation, header: StudyHeader, number: int, structure: Structure) -> Any:
    """Area and width of a structure, with its segment; only the segment if both are withheld."""
    import highdicom
    from pydicom.sr.coding import Code

    film = header.dataset
    measured = [*_area(segmentation, structure.name), *_width(segmentation, structure.name)]
    segment = highdicom.sr.ReferencedSegmentationFrame(
        sop_class_uid=_SEGMENTATION_STORAGE,
        sop_instance_uid=segmentation_uid(segmentation, header),
        frame_number=number,
        segment_number=number,
        source_image=highdicom.sr.SourceImageForSegmentation(film.SOPClassUID, film.SOPInstanceUID),
    )
    for item in segment[0].ReferencedSOPSequence:
        # PS3.3 section C.18.4 allows only one of the two; highdicom writes both.
        del item.ReferencedSegmentNumber
    return highdicom.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(segmentation, header, structure.title),
        referenced_segment=segment,
        finding_category=Code(*origin.ANATOMICAL_STRUCTURE),
        finding_type=origin.structure_code(structure),
        algorithm_id=_algorithm(segmentation),
        measurements=measured,
    )


def _chest_group(segmentation: Segmentation, header: StudyHeader) -> list[Any]:
    """Width of the thorax, ratios and estimated Dice; empty if there are none."""
    import highdicom
    from pydicom.sr.coding import Code

    film, ratios = header.dataset, segmentation.measurements.ratios
    measured = _width(segmentation, "thorax")
    measured += [
        _measurement(code, value, _RATIO) for name, code in _RATIOS.items() if (value := ratios.get(name)) is not None
    ]
    if segmentation.trust is not None:
        measured.append(_measurement(_DICE, round(segmentation.trust, 3), _NO_UNITS))
    if not measured:
        return []
    return [
        highdicom.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(segmentation, header, "chest"),
            finding_category=Code(*origin.ANATOMICAL_STRUCTURE),
            finding_type=Code(*_THORAX),
            algorithm_id=_algorithm(segmentation),
            measurements=measured,
            source_images=[highdicom.sr.SourceImageForMeasurementGroup(film.SOPClassUID, film.SOPInstanceUID)],
        )
    ]


def _area(segmentation: Segmentation, name: str) -> list[Any]:
    area = segmentation.areas.get(name)
    if area is None:
        return []
    return [_measurement(_AREA, area.pixels, _PIXELS) if area.cm2 is None else _measurement(_AREA, area.cm2, _CM2)]


def _width(segmentation: Segmentation, name: str) -> list[Any]:
    width = segmentation.measurements.widths.get(name)
    if width is None:
        return []
    return [_measurement(_WIDTH, width.pixels, _PIXELS) if width.mm is None else _measurement(_WIDTH, width.mm, _MM)]


def _measurement(name: tuple[str, str, str], value: float, unit: tuple[str, str, str]) -> Any:
    import highdicom
    from pydicom.sr.coding import Code

    return highdicom.sr.Measurement(name=Code(*name), value=value, unit=Code(*unit))


def _tracking(segmentation: Segmentation, header: StudyHeader, title: str) -> Any:
    import highdicom

    uid = origin.result_uid(segmentation, header, f"tracking {title}")
    return highdicom.sr.TrackingIdentifier(identifier=title, uid=uid)


def _algorithm(segmentation: Segmentation) -> Any:
    import highdicom
    from pydicom.sr.coding import Code

    manifest = segmentation.manifest
    stated = {"model SHA-256": manifest.flatbuffer_sha256, **origin.parameters(segmentation)}
    return highdicom.sr.AlgorithmIdentification(
        name=f"edge-seg {manifest.name}",
        version=origin.algorithm_version(segmentation),
        parameters=[f"{key}: {value}" for key, value in stated.items()],
        family=Code(*origin.ARTIFICIAL_INTELLIGENCE),
        manufacturer=origin.MANUFACTURER,
    )


def _text(text: str) -> Any:
    import highdicom
    from pydicom.sr.coding import Code

    return highdicom.sr.TextContentItem(
        name=Code(*_COMMENT), value=text, relationship_type=highdicom.sr.RelationshipTypeValues.CONTAINS
    )


def _segmentation_reference(segmentation: Segmentation, header: StudyHeader) -> Any:
    """What highdicom needs to refer to the segmentation."""
    import pydicom

    made = pydicom.Dataset()
    made.SOPClassUID, made.SOPInstanceUID = _SEGMENTATION_STORAGE, segmentation_uid(segmentation, header)
    made.StudyInstanceUID = header.dataset.StudyInstanceUID
    made.SeriesInstanceUID = origin.result_uid(segmentation, header, "segmentation series")
    return made


def _private_scheme() -> Any:
    import pydicom

    made = pydicom.Dataset()
    made.CodingSchemeDesignator = origin.PRIVATE_SCHEME
    made.CodingSchemeName = "edge-seg"
    made.CodingSchemeResponsibleOrganization = "edge-seg"
    return made
