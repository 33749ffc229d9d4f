"""Finds the actual encoding of the pixels of a DICOM file, even if its meta information is wrong or missing."""

from __future__ import annotations

import struct
from typing import Any

_ITEM = b"\xfe\xff\x00\xe0"  # PS3.5 section A.4
_SEARCHED = 1 << 16

_BASELINE, _EXTENDED, _LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70"
_JPEG_LS, _JPEG_2000, _HIGH_THROUGHPUT = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"
_RLE = "1.2.840.10008.1.2.5"
# Frame markers, ITU-T T.81 table B.1 and T.87; anything before them is skipped.
_FRAMES = {0xC0: _BASELINE, 0xC1: _EXTENDED, 0xC2: _EXTENDED, 0xC3: _LOSSLESS, 0xF7: _JPEG_LS}

# Syntaxes that share a decoder: within a family, what the file says is kept.
_FAMILIES = (
    {_BASELINE, _EXTENDED},
    {_LOSSLESS, "1.2.840.10008.1.2.4.57"},
    {_JPEG_LS, "1.2.840.10008.1.2.4.81"},
    {_JPEG_2000, "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"},
    {_HIGH_THROUGHPUT, "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202"},
    {_RLE},
)
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
# Its pixels are big-endian in a little-endian dataset.
_GE_PRIVATE = "1.2.840.113619.5.2"


def complete_meta(dataset: Any) -> Any:
    """The file's meta information, with the actual transfer syntax of the pixels.

    Args:
        dataset: pydicom's, just read.

    Returns:
        pydicom's `FileMetaDataset`.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    said = meta.get("TransferSyntaxUID")
    found = _found(dataset)
    if found is None or (said is not None and any({found, said} <= family for family in _FAMILIES)):
        found = said
    if found not in (*_UNCOMPRESSED, _GE_PRIVATE) and _is_native(dataset):
        found = None
    meta.TransferSyntaxUID = UID(found or _uncompressed(dataset))
    return meta


def _is_native(dataset: Any) -> bool:
    """Whether the pixels are there and not encapsulated: archives that decompress them may keep the meta information.

    Encapsulated ones begin with an item (PS3.5 section A.4).
    """
    value = getattr(dataset.get_item("PixelData"), "value", None)
    return isinstance(value, bytes) and bool(value) and value[:4] != _ITEM


def _uncompressed(dataset: Any) -> str:
    implicit, little = dataset.original_encoding
    if not little:
        return "1.2.840.10008.1.2.2"
    return "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"


def _found(dataset: Any) -> str | None:
    """The transfer syntax of the pixels by their own first bytes; `None` if those do not show it."""
    if "PixelData" not in dataset:
        return None
    value = dataset["PixelData"].value
    if not isinstance(value, bytes) or value[:4] != _ITEM:
        return None
    # The offset table, then the first fragment.
    position = 8 + struct.unpack("<I", value[4:8])[0]
    if value[position : position + 4] != _ITEM:
        return None
    return _syntax_of_stream(value[position + 8 : position + 8 + _SEARCHED])


def _syntax_of_stream(stream: bytes) -> str | None:
    if stream[:4] == b"\xff\x4f\xff\x51":
        return _HIGH_THROUGHPUT if b"\xff\x50" in stream[:256] else _JPEG_2000
    if stream[:2] == b"\xff\xd8":
        return _syntax_of_jpeg(stream)
    if len(stream) >= 64 and 1 <= stream[0] <= 15 and stream[1:8] == b"\0\0\0\x40\0\0\0":
        return _RLE
    return None


def _syntax_of_jpeg(stream: bytes) -> str | None:
    position = 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _FRAMES:
            # 12 bits are beyond the baseline.
            return _EXTENDED if marker == 0xC0 and stream[position + 4] > 8 else _FRAMES[marker]
        position += 2 + struct.unpack(">H", stream[position + 2 : position + 4])[0]
    return None
