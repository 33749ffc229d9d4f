"""Films from picture files: PNG, JPEG, TIFF, BMP, WebP; 8 and 16 bit; grey, colour, with or without alpha."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import cv2
import numpy as np

from edge_seg.errors import InputError
from edge_seg.film import Film, check_size
from edge_seg.sources.exif import jpeg_orientation, set_upright, webp_orientation
from edge_seg.sources.header import AVIF, read_header
from edge_seg.sources.jpeg import DamagedJpegError, decode_jpeg
from edge_seg.sources.png import essential_png
from edge_seg.sources.tiff import (
    TiffError,
    begins_with_preview,
    count_pages,
    depth,
    has_unspecified_sample,
    separate_planes,
    white_is_zero,
)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})

LARGEST_BYTES = 100_000_000
"""Most memory a picture may take while it is decoded: 50 million 16-bit pixels, or 33 million of three colours."""

_BIG_TIFF = (b"II+\0", b"MM\0+")
_BAND = 256  # rows
_NO_PICTURE = "not a picture that can be decoded: give PNG, JPEG, TIFF or DICOM"


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
    """The film in a picture file's bytes: converted to grey, alpha composited on black, EXIF rotation applied.

    Raises:
        InputError: not a picture, cut off, damaged, of an unusable size, or of an unsupported pixel type.
    """
    start = time.perf_counter()
    header = read_header(data)
    if header is None:
        kind = "a BigTIFF, which is not read: save it as TIFF" if data[:4] in _BIG_TIFF else _NO_PICTURE
        raise InputError(f"{path}: {kind}")
    check_size(str(path), header.height, header.width)
    if header.height * header.width * header.pixel_bytes > LARGEST_BYTES:
        size = f"{header.width} x {header.height} pixels of {header.pixel_bytes} bytes"
        raise InputError(f"{path}: {size} are too large for a film: reduce it to {LARGEST_BYTES // 1_000_000} MB")
    if not header.whole:
        raise InputError(f"{path}: the picture is cut off before its end: copy it again")
    if header.kind == "TIFF" and begins_with_preview(data):
        problem = "begins with a preview, and the film behind it is not read"
        raise InputError(f"{path}: {problem}: save it as PNG or TIFF of one page")
    try:
        picture = _decode(data, header.kind)
    except DamagedJpegError as error:
        raise InputError(f"{path}: the JPEG picture is damaged ({error}): copy it again") from error
    if picture is None:
        problem = f"the {header.kind} picture is damaged, or no codec here decodes it"
        raise InputError(f"{path}: {problem}: give PNG, JPEG, TIFF or DICOM")
    pages = count_pages(data) if header.kind == "TIFF" else 1
    several = [f"{pages} pages: the first one is taken"] if pages > 1 else []
    several += ["an animation: its first picture is taken"] if header.moving else []
    return Film(
        to_grey(picture, str(path)),
        colour=colour_of(picture),
        warnings=tuple(several),
        name=path.name,
        source=str(path),
        checksum=hashlib.sha256(data).hexdigest(),
        decode_ms=round((time.perf_counter() - start) * 1000, 3),
    )


def _decode(data: bytes, kind: str) -> np.ndarray | None:
    """The picture, turned upright by its EXIF orientation; `None` if it is damaged.

    OpenCV always applies the orientation of TIFF, but that of others only without transparency: those are turned here.

    Raises:
        DamagedJpegError: parts of a JPEG cannot be decoded.
    """
    if kind == AVIF:
        # The frames' true size is in their bitstream, which is not parsed here.
        return None
    if kind == "PNG":
        plain, orientation = essential_png(data)
        picture = _open(plain, cv2.IMREAD_UNCHANGED)
        return None if picture is None else set_upright(picture, orientation)
    if kind == "JPEG":
        picture = decode_jpeg(data)
        return None if picture is None else set_upright(picture, jpeg_orientation(data))
    if kind == "TIFF":
        return decode_tiff(data)
    picture = _open(data, cv2.IMREAD_UNCHANGED)
    return picture if picture is None or kind != "WebP" else set_upright(picture, webp_orientation(data))


def decode_tiff(data: bytes) -> np.ndarray | None:
    """The first picture of a TIFF; `None` if it is damaged or of an unknown layout.

    `(height, width)` or `(height, width, channels)` in OpenCV's channel order; uint8, uint16, or another type that the
    file has, such as float32.

    OpenCV mistakes planes for strips, honours WhiteIsZero in 8-bit pixels only, and takes any sample behind the colours
    for transparency. It reduces layouts that it does not know, 16-bit grey with transparency, say, to 8 bits: those are
    refused.
    """
    try:
        opened, inverted = [_open(plane, cv2.IMREAD_UNCHANGED) for plane in separate_planes(data)], white_is_zero(data)
        unspecified = has_unspecified_sample(data)
    except TiffError:
        return None
    if not opened:
        picture = _open(data, cv2.IMREAD_UNCHANGED)
        if picture is not None and picture.dtype == np.uint8 and depth(data) > 8:
            return None
        inverted = inverted and picture is not None and picture.dtype == np.uint16
    else:
        planes = [plane for plane in opened if plane is not None and plane.shape == _shape(opened[0])]
        if len(planes) != len(opened):
            return None
        # OpenCV's channel order; a plane after grey is transparency.
        picture = np.dstack([*planes[2::-1], *planes[3:]] if len(planes) > 2 else planes)
    if inverted and picture is not None:
        grey = picture if picture.ndim == 2 else picture[:, :, :1]
        np.subtract(np.iinfo(picture.dtype).max, grey, out=grey)
    if unspecified and picture is not None and picture.ndim == 3 and picture.shape[2] in (2, 4):
        return picture[:, :, 0] if picture.shape[2] == 2 else picture[:, :, :3]
    return picture


def _shape(plane: np.ndarray | None) -> tuple[int, ...]:
    return () if plane is None else plane.shape


def to_grey(picture: np.ndarray, name: str) -> np.ndarray:
    """Grey film `(height, width)` uint8 or uint16 of a decoded picture in OpenCV's channel order.

    Raises:
        InputError: an unsupported pixel type (floating point, say).
    """
    if picture.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: pixels are {picture.dtype}: save the film with 8 or 16 bits a pixel")
    if picture.ndim == 2:
        return picture
    colour = _on_black(picture) if picture.shape[2] in (2, 4) else picture
    if colour.shape[2] == 1:
        return np.ascontiguousarray(colour[:, :, 0])
    if np.array_equal(colour[:, :, 0], colour[:, :, 1]) and np.array_equal(colour[:, :, 1], colour[:, :, 2]):
        return np.ascontiguousarray(colour[:, :, 0])
    return cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2GRAY)


def _on_black(picture: np.ndarray) -> np.ndarray:
    """The colours of a picture with transparency, a few rows at a time, since this takes four times their memory."""
    colour = np.empty((*picture.shape[:2], picture.shape[2] - 1), picture.dtype)
    full = np.iinfo(picture.dtype).max
    for top in range(0, len(picture), _BAND):
        band = picture[top : top + _BAND]
        colour[top : top + _BAND] = band[:, :, :-1] * band[:, :, -1:].astype(np.uint32) // full
    return colour


def colour_of(picture: np.ndarray) -> float:
    """How coloured a decoded picture is, from evenly spaced pixels; see `Film.colour`."""
    if picture.ndim == 2 or picture.shape[2] < 3:
        return 0.0
    step = max(1, min(picture.shape[:2]) // 256)
    sample = picture[::step, ::step, :3].astype(np.float32)
    return round(float((sample.max(axis=2) - sample.min(axis=2)).mean() / np.iinfo(picture.dtype).max), 4)


def _open(data: bytes, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
