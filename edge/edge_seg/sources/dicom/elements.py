"""Counts the elements of a DICOM object before pydicom makes objects of them: each costs hundreds of bytes."""

from __future__ import annotations

import struct

from edge_seg.errors import InputError

MOST_ELEMENTS = 20_000
"""Most elements, items and fragments of an object; films have some hundreds."""

_ITEM, _SEQUENCE_END, _DELIMITERS, _PIXELS, _META = 0xFFFEE000, 0xFFFEE0DD, 0xFFFE, 0x7FE00010, 0x0002
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations with a 32-bit length after two reserved bytes (PS3.5 section 7.1.2)."""


def refuse_flood(data: bytes | memoryview, path: str) -> int:
    """Refuse an object of more than `MOST_ELEMENTS`; in a damaged one, what precedes the damage counts.

    Args:
        data: a DICOM file, or a bare dataset; not deflated.
        path: what to call it.

    Returns:
        Where its last element or fragment ends: beyond the object if it is cut off, before its end if it is damaged.

    Raises:
        InputError: it has more.
    """
    at = 132 if bytes(data[128:132]) == b"DICM" else 0
    order, explicit, in_meta, fragments = "<", True, True, False
    unknown = 0  # open sequences within one of unknown VR, which is always implicit (PS3.5 section 6.2.2)
    for _ in range(MOST_ELEMENTS):
        if at + 8 > len(data):
            return at
        group, element = struct.unpack_from(f"{order}HH", data, at)
        if in_meta and group != _META:
            # The meta information is often wrong about these two, the dataset itself never.
            in_meta, explicit = False, _is_representation(bytes(data[at + 4 : at + 6]))
            order = min("<", ">", key=lambda one: struct.unpack_from(f"{one}H", data, at)[0])
            group, element = struct.unpack_from(f"{order}HH", data, at)
        tag = group << 16 | element
        if group == _DELIMITERS:
            length = struct.unpack_from(f"{order}I", data, at + 4)[0]
            at += 8 + (length if fragments and tag == _ITEM else 0)
            if tag == _SEQUENCE_END:
                fragments, unknown = False, max(0, unknown - 1)
            continue
        start, length = _value(data, at, order, explicit and not unknown)
        if group == 0 or start == at:
            return at
        fragments = tag == _PIXELS and length == _UNDEFINED
        nested = length == _UNDEFINED or (tag != _PIXELS and data[start : start + 4] == _item(order))
        if length == _UNDEFINED and (unknown or (explicit and data[at + 4 : at + 6] == b"UN")):
            unknown += 1
        at = start if nested else start + length
    raise InputError(f"{path}: more than {MOST_ELEMENTS:,} elements, which no film has: look at this file elsewhere")


def _value(data: bytes | memoryview, at: int, order: str, explicit: bool) -> tuple[int, int]:
    """Start and length of the value of the element at an offset; the offset itself if there is no element."""
    if not explicit:
        return at + 8, struct.unpack_from(f"{order}I", data, at + 4)[0]
    representation = bytes(data[at + 4 : at + 6])
    if not _is_representation(representation):
        return at, 0
    if representation not in _LONG:
        return at + 8, struct.unpack_from(f"{order}H", data, at + 6)[0]
    return (at + 12, struct.unpack_from(f"{order}I", data, at + 8)[0]) if at + 12 <= len(data) else (at, 0)


def _is_representation(two: bytes) -> bool:
    return two.isalpha() and two.isupper()


def _item(order: str) -> bytes:
    return struct.pack(f"{order}HH", _ITEM >> 16, _ITEM & 0xFFFF)
