"""The overlay of a film as a secondary capture image, which every viewer shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.dicom import origin
from edge_seg.outputs.dicom.header import StudyHeader, study_header
from edge_seg.outputs.jpeg import encode_jpeg
from edge_seg.segmenter import Segmentation
from edge_seg.version import __version__


def capture_object(segmentation: Segmentation, overlay: np.ndarray, header: StudyHeader | None = None) -> Any:
    """The overlay as a secondary capture (PS3.3 A.8.1) in JPEG baseline, marked as lossy.

    Args:
        segmentation: of a film with a DICOM header.
        overlay: `(height, width, 3)` uint8 in OpenCV's channel order.
        header: of the film, built from it if not given.

    Returns:
        `highdicom.sc.SCImage`, a pydicom dataset.

    Raises:
        InputError: the film came without a DICOM header.
    """
    import highdicom

    header = header or study_header(segmentation.film)
    made = highdicom.sc.SCImage.from_ref_dataset(
        ref_dataset=header.dataset,
        pixel_array=overlay,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=origin.result_uid(segmentation, header, "capture series"),
        series_number=origin.CAPTURE_SERIES,
        sop_instance_uid=origin.result_uid(segmentation, header, "capture"),
        instance_number=1,
        manufacturer=origin.MANUFACTURER,
        patient_orientation=("L", "F"),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    # highdicom insists on an orientation without oblique sides; the film's own may have them or be unknown.
    made.PatientOrientation = header.dataset.PatientOrientation
    made.SeriesDescription = f"edge-seg overlay: {RESEARCH_USE}"
    made.ImageComments = RESEARCH_USE
    made.BurnedInAnnotation = "YES"
    made.Laterality = ""
    made.SoftwareVersions = __version__
    made.ImageType = ["DERIVED", "SECONDARY"]
    how = ", ".join(f"{key}: {value}" for key, value in origin.parameters(segmentation).items())
    made.DerivationDescription = how[:1024]
    _put_jpeg(made, overlay)
    return made


def _put_jpeg(made: Any, overlay: np.ndarray) -> None:
    """Replace the pixels with baseline JPEG, chrominance halved horizontally (PS3.5 section 8.2.1)."""
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    data = encode_jpeg(overlay, halved=True)
    made.PhotometricInterpretation = "YBR_FULL_422"
    made.LossyImageCompression = "01"
    made.LossyImageCompressionRatio = f"{overlay.nbytes / len(data):.2f}"
    made.LossyImageCompressionMethod = "ISO_10918_1"
    made.PixelData = encapsulate([data])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
