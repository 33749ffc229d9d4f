"""Films from picture files: PNG, JPEG, TIFF, BMP, WebP; 8 and 16 bit; grey, colour, with or without alpha."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import cv2
import numpy as np

from edge_seg.errors import InputError
from edge_seg.film import Film, check_size
from edge_seg.sources.header import is_cut_off, picture_size

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        InputError: it cannot be read, or is empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from error
    if not data:
        raise InputError(f"{path}: the file is empty: copy it again")
    return data


def decode_picture(data: bytes, path: Path) -> Film:
    """The film in a picture file's bytes: as grey, alpha composited on black, EXIF rotation applied.

    Raises:
        InputError: no picture, cut off, of an unusable size, or of a pixel type that is no film's.
    """
    start = time.perf_counter()
    size = picture_size(data)
    if size is not None:
        check_size(str(path), *size)
    if is_cut_off(data):
        raise InputError(f"{path}: the picture is cut off before its end: copy it again")
    # Deep or transparent pictures come unchanged; only 8-bit ones have an orientation that OpenCV applies.
    picture = _decode(data, cv2.IMREAD_UNCHANGED)
    if (picture is not None and picture.ndim == 3 and picture.shape[2] == 3) or data[:2] == b"\xff\xd8":
        picture = _decode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if picture is None:
        raise InputError(f"{path}: not a picture that can be decoded: give PNG, JPEG, TIFF or DICOM")
    return Film(
        to_grey(picture, str(path)),
        colour=colour_of(picture),
        name=path.name,
        source=str(path),
        checksum=hashlib.sha256(data).hexdigest(),
        decode_ms=round((time.perf_counter() - start) * 1000, 3),
    )


def to_grey(picture: np.ndarray, name: str) -> np.ndarray:
    """Grey film `(height, width)` uint8 or uint16 of a decoded picture in OpenCV's channel order.

    Raises:
        InputError: a pixel type that is no film's (floating point, say).
    """
    if picture.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: pixels are {picture.dtype}: save the film with 8 or 16 bits a pixel")
    if picture.ndim == 2:
        return picture
    if picture.shape[2] in (2, 4):
        full = np.iinfo(picture.dtype).max
        alpha = picture[:, :, -1:].astype(np.uint32)
        colour = (picture[:, :, :-1] * alpha // full).astype(picture.dtype)
    else:
        colour = picture
    if colour.shape[2] == 1:
        return np.ascontiguousarray(colour[:, :, 0])
    if np.array_equal(colour[:, :, 0], colour[:, :, 1]) and np.array_equal(colour[:, :, 1], colour[:, :, 2]):
        return np.ascontiguousarray(colour[:, :, 0])
    return cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2GRAY)


def colour_of(picture: np.ndarray) -> float:
    """How coloured a decoded picture is; see `Film.colour`. Evenly spaced pixels tell."""
    if picture.ndim == 2 or picture.shape[2] < 3:
        return 0.0
    step = max(1, min(picture.shape[:2]) // 256)
    sample = picture[::step, ::step, :3].astype(np.float32)
    return round(float((sample.max(axis=2) - sample.min(axis=2)).mean() / np.iinfo(picture.dtype).max), 4)


def _decode(data: bytes, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
