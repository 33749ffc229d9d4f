"""Decodes JPEG pictures and says when one is damaged: libjpeg fills in what it cannot decode, and only warns."""

from __future__ import annotations

import re

import cv2
import numpy as np

_LOST = re.compile(r"Corrupt JPEG data: [^\r\n]*|Premature end of JPEG file")
_SURPLUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_MOST_SURPLUS = 16
"""Most bytes behind the data, before the end marker, that are taken for padding, as cameras add them."""

_ORDERS = {"gray": "GRAY", "cmyk": "CMYK", "ycck": "CMYK"}


class DamagedJpegError(ValueError):
    """Parts of a JPEG cannot be decoded; the message is libjpeg's."""


def decode_jpeg(data: bytes) -> np.ndarray | None:
    """The picture of a JPEG as it is stored: its EXIF orientation is not applied.

    Where `simplejpeg` is not installed, damage is not found: OpenCV does not report warnings.

    Returns:
        Grey `(height, width)` or BGR `(height, width, 3)`, uint8; `None` if no codec here decodes it.

    Raises:
        DamagedJpegError: parts of it cannot be decoded.
    """
    try:
        import simplejpeg
    except ImportError:
        return _decode_with_opencv(data)
    try:
        order = _ORDERS.get(simplejpeg.decode_jpeg_header(data)[2].lower(), "BGR")
        picture = simplejpeg.decode_jpeg(data, order, strict=True)
    except ValueError as error:
        lost = damage_in(str(error))
        if lost:
            raise DamagedJpegError(lost) from error
        return _decode_with_opencv(data)
    if order == "CMYK":
        return _decode_with_opencv(data)
    return np.asarray(picture[:, :, 0] if order == "GRAY" else picture)


def damage_in(words: str) -> str:
    """The first message of libjpeg in a text that says parts of a picture are lost; empty if there is none."""
    for found in _LOST.finditer(words):
        surplus = _SURPLUS.match(found[0])
        if surplus is None or int(surplus[1]) > _MOST_SURPLUS:
            return found[0]
    return ""


def _decode_with_opencv(data: bytes) -> np.ndarray | None:
    try:
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
