"""A synthetic film as a DICOM file, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_seg.phantom.film import Phantom


def write_dicom(
    made: Phantom,
    path: Path,
    *,
    monochrome1: bool = False,
    spacing_mm: tuple[float, float] | None = (0.4, 0.4),
    modality: str = "DX",
) -> None:
    """Write a phantom as an uncompressed DICOM film of a clearly synthetic patient.

    Args:
        made: the phantom.
        path: file to write.
        monochrome1: store it inverted, with zero as white.
        spacing_mm: pixel spacing of the detector, or `None` to omit it.
        modality: value of the Modality attribute.
    """
    import pydicom
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    pixels = made.film.pixels
    stored_bits = 8 if pixels.dtype == np.uint8 else 12
    top = 2**stored_bits - 1
    uid = generate_uid(entropy_srcs=[made.film.name, str(pixels.shape), str(monochrome1), modality])
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        generate_uid(entropy_srcs=[uid, "study"]),
        generate_uid(entropy_srcs=[uid, "series"]),
    )
    dataset.PatientName, dataset.PatientID = "Synthetic^Phantom", "PHANTOM"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = modality, "CHEST", "PA"
    dataset.ContentDate, dataset.ContentTime = "20260101", "120000"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = pixels.dtype.itemsize * 8, stored_bits, stored_bits - 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.WindowCenter, dataset.WindowWidth = str((top + 1) / 2), str(top + 1)
    if spacing_mm is not None:
        dataset.ImagerPixelSpacing = list(spacing_mm)
    dataset.PixelData = (top - pixels if monochrome1 else pixels).astype(pixels.dtype).tobytes()
    dataset["PixelData"].VR = "OB" if stored_bits == 8 else "OW"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
