"""Which DICOM objects are films, by class, modality, frames and colour; others are refused with the actual reason."""

from __future__ import annotations

from typing import Any

from edge_seg.errors import InputError
from edge_seg.film import check_size
from edge_seg.sources.dicom.attributes import number, numbers, photometric, text, texts
from edge_seg.sources.dicom.orientation import orientation_of
from edge_seg.sources.dicom.view import refuse_other_views

FILM_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography",
    "1.2.840.10008.5.1.4.1.1.1.1": "Digital X-Ray for presentation",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "Digital X-Ray for processing",
}
"""Storage classes of films (PS3.4 annex B.5)."""

SECONDARY_CAPTURES = frozenset(f"1.2.840.10008.5.1.4.1.1.7{kind}" for kind in ("", ".2", ".3"))
"""Secondary captures in grey: of one frame, and of several of bytes or words, which may hold one (PS3.4 annex B.5)."""

DIRECTORY = "1.2.840.10008.1.3.10"

FILM_MODALITIES = frozenset({"CR", "DX"})
"""Computed and digital radiography (PS3.3 C.7.3.1.1.1)."""

CALLED_SO_TOO = FILM_MODALITIES | {"DR", "RG", ""}
"""Modalities given to objects of a film's own class by senders that ignore the defined terms."""

CAPTURE_MODALITIES = FILM_MODALITIES | {"DR", "RG", "OT"}
"""Modalities that a secondary capture, from a film digitiser, say, may have."""

_LARGEST_BYTES = 120_000_000  # of decoded pixels, which are in memory twice: as stored and as a film
_LARGEST_ENCODED = 24_000_000  # encoded pixels: codecs need five times their memory; detectors have 19 million
_UNDEFINED_LENGTH = 0xFFFFFFFF


def refuse_other_than_films(dataset: Any, path: str) -> None:
    """Refuse, by their header, DICOM objects that are not a frontal film of one frame.

    Args:
        dataset: pydicom's.
        path: what to call it.

    Raises:
        InputError: another modality, no pixels, several frames, colour, not a frontal view, or an unusable size.
    """
    _refuse_other_objects(dataset, path)
    frames = numbers(dataset, "NumberOfFrames") or (1.0,)
    # Some senders write 0 for a film.
    if max(frames) > 1:
        raise InputError(f"{path}: {max(frames):.0f} frames: give films of one frame")
    colours = photometric(dataset)
    if colours.startswith("PALETTE"):
        raise InputError(f"{path}: palette colour, its pixels are numbers of colours: give a grey film")
    if number(dataset, "SamplesPerPixel", 1) != 1 or colours.startswith(("RGB", "YBR", "HSV", "ARGB", "CMYK")):
        raise InputError(f"{path}: a colour picture: give a grey film")
    if colours not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise InputError(f"{path}: photometric interpretation is {colours}: give MONOCHROME1 or MONOCHROME2")
    rows, columns = int(number(dataset, "Rows", 0)), int(number(dataset, "Columns", 0))
    check_size(path, rows, columns)
    encoded = _is_encapsulated(dataset)
    # The film takes two bytes a pixel, however few the stored ones take.
    size = rows * columns * max(2.0, number(dataset, "BitsAllocated", 16) / 8)
    if size > _LARGEST_BYTES or (encoded and rows * columns > _LARGEST_ENCODED):
        plain, coded = _LARGEST_BYTES // 2_000_000, _LARGEST_ENCODED // 1_000_000
        most = f"{plain} million pixels of 16 bits, or {coded} million encoded"
        raise InputError(f"{path}: {columns} x {rows} pixels are too large for a film: reduce it to at most {most}")
    refuse_other_views(dataset, path)
    orientation_of(dataset, path)


def _is_encapsulated(dataset: Any) -> bool:
    """Whether the pixels are encapsulated (PS3.5 A.4); a listener has not read them yet."""
    element = dataset.get_item("PixelData")
    return bool(getattr(element, "is_undefined_length", False)) or getattr(element, "length", 0) == _UNDEFINED_LENGTH


def _refuse_other_objects(dataset: Any, path: str) -> None:
    storage = next(iter(texts(dataset, "SOPClassUID")), "")
    meta = getattr(dataset, "file_meta", None)
    if DIRECTORY in (storage, *(texts(meta, "MediaStorageSOPClassUID") if meta is not None else ())):
        raise InputError(f"{path}: a DICOMDIR, which lists films and is none: give the films")
    modality = text(dataset, "Modality")
    if storage in FILM_CLASSES:
        allowed = CALLED_SO_TOO
    else:
        allowed = CAPTURE_MODALITIES if storage in SECONDARY_CAPTURES else FILM_MODALITIES
    if modality not in allowed:
        raise InputError(f"{path}: modality is {modality or 'not given'}, not an X-ray film: give CR or DX")
    if "PixelData" not in dataset or number(dataset, "Rows", 0) < 1 or number(dataset, "Columns", 0) < 1:
        raise InputError(f"{path}: the DICOM file holds no picture, or is cut off: send it again")
