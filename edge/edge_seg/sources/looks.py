"""Recognises films by their first bytes, whatever the name of the file."""

from __future__ import annotations

import struct

from edge_seg.sources.dicom import is_dicom, may_be_dataset
from edge_seg.sources.header import picture_kind

LOOKED_AT = 512
"""Number of first bytes of a file that show what it is."""

_DIRECTORY = b"1.2.840.10008.1.3.10"
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}  # lengths that a bitmap's own header may have


def looks_like_film(head: bytes, *, bare: bool) -> bool:
    """Whether a file begins like a picture or a DICOM object.

    Args:
        head: its first `LOOKED_AT` bytes.
        bare: whether it may be a DICOM dataset without the prefix, which only a few bytes identify.
    """
    if is_dicom(head):
        return _DIRECTORY not in head
    kind = picture_kind(head)
    if kind == "BMP":
        # Two letters alone prove nothing.
        return len(head) >= 18 and struct.unpack("<I", head[14:18])[0] in _BMP_HEADERS
    return kind is not None or (bare and may_be_dataset(head))
