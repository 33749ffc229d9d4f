"""Films from DICOM files: CR and DX, in every encoding that the installed codecs decode."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from edge_seg.errors import InputError
from edge_seg.film import Film, check_size

FILM_MODALITIES = frozenset({"CR", "DX"})
"""Computed and digital radiography; everything else is refused."""

CAPTURE_MODALITIES = FILM_MODALITIES | {"RG", "OT"}
"""What a secondary capture, by a film digitiser say, may be called as well."""

_BAND = 256
_PIXEL_DATA = 0x7FE00010
_CHEST = ("CHEST", "THORAX", "LUNG", "RIB", "HEART", "")


def is_dicom(data: bytes) -> bool:
    """Whether the bytes carry the DICOM mark (PS3.10 section 7.1)."""
    return data[128:132] == b"DICM"


def decode_dicom(data: bytes, path: Path) -> Film:
    """The film in a DICOM file: modality values, polarity resolved, VOI window as `Film.window`.

    Raises:
        InputError: not a film (other modality, no pixels, several frames), damaged, or in an encoding
            that no installed codec decodes.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=not is_dicom(data))
            refuse_other_than_films(dataset, str(path))
        except (
            InvalidDicomError,
            EOFError,
            ValueError,
            KeyError,
            AttributeError,
            NotImplementedError,
        ) as error:
            raise InputError(f"{path}: not a readable DICOM file ({_line(error)}): send it again") from error
        pixels = _decode(dataset, path)
        film = _film(dataset, pixels, path)
    return _with(film, hashlib.sha256(data).hexdigest(), round((time.perf_counter() - start) * 1000, 3))


def _with(film: dict[str, Any], checksum: str, decode_ms: float) -> Film:
    return Film(checksum=checksum, decode_ms=decode_ms, **film)


def refuse_other_than_films(dataset: Any, path: str) -> None:
    """Refuse DICOM objects that are no film of one frame, by their header.

    Args:
        dataset: pydicom's.
        path: what to call it.

    Raises:
        InputError: another modality, no pixels, several frames, colour, or of an unusable size.
    """
    from pydicom.uid import SecondaryCaptureImageStorage

    modality = str(dataset.get("Modality", "") or "")
    captured = dataset.get("SOPClassUID") == SecondaryCaptureImageStorage
    if modality not in (CAPTURE_MODALITIES if captured else FILM_MODALITIES):
        raise InputError(f"{path}: modality is {modality or 'not given'}, not an X-ray film: give CR or DX")
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise InputError(f"{path}: the DICOM file holds no picture, or is cut off: send it again")
    if int(dataset.get("NumberOfFrames", 1) or 1) != 1:
        raise InputError(f"{path}: {dataset.NumberOfFrames} frames: give films of one frame")
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise InputError(f"{path}: a colour picture: give a grey film")
    check_size(path, int(dataset.Rows), int(dataset.Columns))


def _decode(dataset: Any, path: Path) -> np.ndarray:
    try:
        return np.asarray(dataset.pixel_array)
    # The codecs are many and raise what they like; every one means that this film cannot be had.
    except (
        RuntimeError,
        ValueError,
        AttributeError,
        TypeError,
        KeyError,
        NotImplementedError,
        EOFError,
        IndexError,
    ) as error:
        syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
        encoding = getattr(syntax, "name", "unknown")
        raise InputError(
            f"{path}: the pixels ({encoding}) cannot be decoded: damaged, or no codec for it: send it otherwise encoded"
        ) from error


def _shown(dataset: Any, pixels: np.ndarray, path: Path) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Grey values as uint16 after the modality transform and the VOI table; the VOI window where there is no table.

    uint16 holds every film: values are shifted to start at 0, and scaled only where they span more.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        for item in dataset.get("ModalityLUTSequence") or ():
            # Any depth from 10 to 16 bits is stored in 16 (PS3.3 C.11.1.1.1); pydicom knows 8 and 16 alone.
            item.LUTDescriptor[2] = 8 if item.LUTDescriptor[2] == 8 else 16
        slope, intercept = 1.0, 0.0
        if dataset.get("ModalityLUTSequence"):
            pixels = np.asarray(apply_modality_lut(pixels, dataset))
        elif "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
            slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        if dataset.get("VOILUTSequence"):
            values = (pixels * slope + intercept).astype(np.int64)
            return _stored(np.asarray(apply_voi_lut(values, dataset, prefer_lut=True)), 1.0, 0.0, None)
        window = None
        if dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
            window = _window(dataset)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError, struct.error) as error:
        raise InputError(
            f"{path}: its grey-value table or window is damaged ({_line(error)}): send it again"
        ) from error
    return _stored(pixels, slope, intercept, window)


def _stored(
    pixels: np.ndarray, slope: float, intercept: float, window: tuple[float, float] | None
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """`pixels * slope + intercept` from 0 on as uint16, and the window on that scale."""
    ends = sorted((float(pixels.min()) * slope + intercept, float(pixels.max()) * slope + intercept))
    low, high = ends
    scale = min(1.0, 65535 / (high - low)) if high > low else 1.0
    stored = np.empty(pixels.shape, np.uint16)
    # In bands: real values of a whole film would take ten times its own memory.
    for top in range(0, len(pixels), _BAND):
        band = pixels[top : top + _BAND].astype(np.float64)
        stored[top : top + _BAND] = np.rint((band * slope + intercept - low) * scale)
    if window is not None:
        window = ((window[0] - low) * scale, (window[1] - low) * scale)
    return stored, window


def _film(dataset: Any, pixels: np.ndarray, path: Path) -> dict[str, Any]:
    stored, window = _shown(dataset, pixels, path)
    if str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        top = int(stored.max())
        stored = (top - stored).astype(np.uint16)
        window = (top - window[1], top - window[0]) if window else None
    spacing, notes = _spacing(dataset)
    part = str(dataset.get("BodyPartExamined", "") or "").upper()
    if not any(word and word in part for word in _CHEST) and part:
        notes.append(f"body part examined is {part}, not the chest")
    return {
        "pixels": stored,
        "name": path.name,
        "source": str(path),
        "window": window,
        "spacing_mm": spacing,
        "view": str(dataset.get("ViewPosition", "") or "") or None,
        "taken_at": _taken_at(dataset),
        "warnings": tuple(notes),
        "polarity_known": True,
        "header": _header(dataset),
    }


def _header(dataset: Any) -> Any:
    """The dataset without its pixels, and without what pydicom keeps of them."""
    import pydicom

    tags = list(dataset.keys())
    header = pydicom.Dataset({tag: dataset.get_item(tag) for tag in tags if tag != _PIXEL_DATA})
    if hasattr(dataset, "file_meta"):
        header.file_meta = dataset.file_meta
    return header


def _window(dataset: Any) -> tuple[float, float] | None:
    """First VOI window as (low, high): PS3.3 C.11.2.1.2, linear."""

    def first(value: Any) -> float:
        return float(value[0] if isinstance(value, (list, tuple)) or hasattr(value, "__getitem__") else value)

    centre, width = first(dataset.WindowCenter), first(dataset.WindowWidth)
    if width < 1:
        return None
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _spacing(dataset: Any) -> tuple[tuple[float, float] | None, list[str]]:
    for tag, note in (
        ("PixelSpacing", None),
        ("ImagerPixelSpacing", "spacing is that of the detector, not corrected for magnification"),
    ):
        value = dataset.get(tag)
        if value is not None and len(value) == 2 and min(float(v) for v in value) > 0:
            return (float(value[0]), float(value[1])), [note] if note else []
    return None, []


def _taken_at(dataset: Any) -> str | None:
    date = str(dataset.get("AcquisitionDate") or dataset.get("ContentDate") or dataset.get("StudyDate") or "")
    clock = str(dataset.get("AcquisitionTime") or dataset.get("ContentTime") or "")
    if len(date) != 8 or not date.isdigit():
        return None
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    return f"{day}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}" if len(clock) >= 6 else day


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
