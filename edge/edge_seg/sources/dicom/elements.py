"""Counts the elements of a DICOM object before pydicom makes objects of them: each costs hundreds of bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from edge_seg.errors import InputError

MOST_ELEMENTS = 20_000
"""Most elements, items and fragments of an object; films have some hundreds."""

_ITEM, _ITEM_END, _SEQUENCE_END, _PIXELS = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
_FIRST_GROUPS = (0x0002, 0x0000)  # the meta information, and a command, which pydicom reads in files too
_SYNTAX, _BIG_ENDIAN = 0x00020010, b"1.2.840.10008.1.2.2"
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations with a 32-bit length after two reserved bytes (PS3.5 section 7.1.2)."""

_DELIMITERS = {order: re.compile(re.escape(struct.pack(f"{order}HH", 0xFFFE, 0xE0DD))) for order in "<>"}
_NOT_ZERO = re.compile(rb"[^\0]")


class _Part(NamedTuple):
    """The whole object, or the items in a value of known length, over which pydicom passes until it is asked for it."""

    start: int
    end: int
    order: str | None
    implicit: bool | None = None  # of the element that has the value


def refuse_flood(data: bytes | memoryview, path: str, order: str | None = None) -> int:
    """Refuse an object of more than `MOST_ELEMENTS`; in a damaged one, what precedes the damage counts.

    Args:
        data: a DICOM file, or a bare dataset; not deflated.
        path: what to call it.
        order: `<` or `>` of a bare dataset; `None` if the file says it.

    Returns:
        Where its last element or fragment ends: beyond the object if it is cut off, before its end if it is damaged.

    Raises:
        InputError: it has more.
    """
    whole = _Part(132 if bytes(data[128:132]) == b"DICM" else 0, len(data), order)
    parts, reached, count = [whole], whole.start, 0
    while parts:
        part = parts.pop()
        walk = _Walk(data, part)
        for at in walk.ends():
            count += 1
            if count > MOST_ELEMENTS:
                problem = f"more than {MOST_ELEMENTS:,} elements, which no film has"
                raise InputError(f"{path}: {problem}: look at this file elsewhere")
            reached = at if part is whole else reached
        parts += walk.inner
    return reached


@dataclass
class _Open:
    """A dataset, or a sequence open in it.

    Attributes:
        implicit: whether the dataset, or the item under way, has implicit VR.
        until: where that one ends; `None` between two items.
    """

    implicit: bool
    until: int | None


class _Walk:
    """Goes through a part of an object as pydicom does.

    Args:
        data: the object.
        part: of it.

    Attributes:
        inner: the values of known length, found so far, that hold items.
    """

    def __init__(self, data: bytes | memoryview, part: _Part) -> None:
        self.inner: list[_Part] = []
        self._data, self._end, self._at = data, part.end, part.start
        self._order, self._order_known = part.order or "<", part.order is not None
        self._syntax: bytes | None = None
        self._holds_bytes = False  # whether a value of undefined length follows that is no sequence
        self._group: int | None = None
        self._beginning = part.implicit is None
        self._opened = [_Open(bool(part.implicit), part.end)]
        if part.implicit is not None:
            self._opened.append(_Open(part.implicit, None))

    def ends(self) -> Iterator[int]:
        """Where each element, item and fragment ends, or what it holds begins."""
        while self._at + 8 <= self._end:
            tag, now = self._tag(), self._opened[-1]
            if now.until is not None and self._at >= now.until:
                now.until = None
            at = self._at
            if now.until is None:
                self._begin_item(tag)
            elif tag == _ITEM_END:
                # Of the meta information or a command, it is the end, and the dataset follows.
                now.until = now.until if self._begins() else None
                self._at += 8
            elif tag or not self._pass_zeros():
                self._element(tag)
            else:
                continue
            if self._at == at or self._opened[0].until is None:
                return
            yield self._at
            if self._holds_bytes:
                yield from self._pass_bytes()
                if self._opened[0].until is None:
                    return

    def _pass_bytes(self) -> Iterator[int]:
        """Pass over a value of undefined length that is no sequence, the fragments of encoded pixels, say.

        pydicom goes from item to item. Where those lead to no delimiter, it searches for one from the start. If there
        is none, it drops the dataset, and takes the value for what follows the dataset.
        """
        start, self._holds_bytes = self._at, False
        while self._at + 8 <= self._end:
            group, element = struct.unpack_from(f"{self._order}HH", self._data, self._at)
            tag = group << 16 | element
            if tag not in (_ITEM, _SEQUENCE_END):
                break
            self._at += 8 + (self._length(self._at) if tag == _ITEM else 0)
            yield self._at
            if tag == _SEQUENCE_END:
                return
        found = _DELIMITERS[self._order].search(self._data, start, self._end)
        if found:
            self._at = found.start() + 8
            yield self._at
        elif self._begins():
            self._at, self._group = start, None
        else:
            self._at, self._opened[-1].until = start, None

    def _tag(self) -> int:
        group, element = struct.unpack_from(f"{self._order}HH", self._data, self._at)
        if self._begins() and group != self._group:
            # The meta information, a command and the dataset may each have another encoding than they should.
            self._group, self._beginning = group, group in _FIRST_GROUPS or (group << 16 | element) == _ITEM_END
            self._opened[0].implicit = _begins_implicit(self._data, self._at)
            if not self._beginning and not self._order_known and self._is_big_endian(group):
                self._order = ">"
                group, element = struct.unpack_from(">HH", self._data, self._at)
        return int(group << 16 | element)

    def _begins(self) -> bool:
        """Whether this is the meta information or a command, which a dataset follows, or the start of that one."""
        return self._beginning and len(self._opened) == 1

    def _is_big_endian(self, group: int) -> bool:
        """Whether pydicom takes a dataset that begins with this group for big endian."""
        from pydicom.values import converters

        if self._syntax is not None:
            return self._syntax == _BIG_ENDIAN
        return group >= 1024 and bytes(self._data[self._at + 4 : self._at + 6]).decode("latin-1") in converters

    def _begin_item(self, tag: int) -> None:
        length = self._length(self._at)
        self._at += 8
        if tag == _SEQUENCE_END:
            self._opened.pop()
            return
        item = self._opened[-1]
        item.implicit = self._opened[-2].implicit or _begins_implicit(self._data, self._at)
        item.until = self._end if length == _UNDEFINED else self._at + length

    def _pass_zeros(self) -> bool:
        """Pass over padding, which pydicom takes for the same element again and again; whether there is any."""
        found = _NOT_ZERO.search(self._data, self._at)
        zeros = (found.start() if found else len(self._data)) - self._at
        self._at += zeros // 8 * 8
        return zeros >= 8

    def _element(self, tag: int) -> None:
        implicit = self._opened[-1].implicit
        representation = _representation(self._data, self._at, implicit)
        start, length = _value(self._data, self._at, self._order, representation)
        if start == self._at:
            return
        if tag == _SYNTAX and len(self._opened) == 1:
            self._syntax = bytes(self._data[start : start + min(length, 64)]).rstrip(b"\0 ") or None
        begins_with_item = self._data[start : start + 4] == _item(self._order)
        is_sequence = _is_sequence(tag, representation, begins_with_item, length != _UNDEFINED)
        self._at = start if length == _UNDEFINED else start + length
        if length == _UNDEFINED:
            self._holds_bytes = not is_sequence
            self._opened += [_Open(implicit, None)] if is_sequence else []
        elif is_sequence or (begins_with_item and tag != _PIXELS):
            self.inner.append(_Part(start, min(self._at, self._end), self._order, implicit))

    def _length(self, at: int) -> int:
        return int(struct.unpack_from(f"{self._order}I", self._data, at + 4)[0])


def _representation(data: bytes | memoryview, at: int, implicit: bool) -> bytes:
    """The value representation of the element at an offset; empty if it has none."""
    # pydicom takes elements of no VR for implicit ones.
    said = bytes(data[at + 4 : at + 6])
    return said if not implicit and b"AA" <= said <= b"ZZ" else b""


def _value(data: bytes | memoryview, at: int, order: str, representation: bytes) -> tuple[int, int]:
    """Start and length of the value of the element at an offset; the offset itself if the element is cut off."""
    if not representation:
        return at + 8, struct.unpack_from(f"{order}I", data, at + 4)[0]
    if representation not in _LONG:
        return at + 8, struct.unpack_from(f"{order}H", data, at + 6)[0]
    return (at + 12, struct.unpack_from(f"{order}I", data, at + 8)[0]) if at + 12 <= len(data) else (at, 0)


def _is_sequence(tag: int, representation: bytes, begins_with_item: bool, is_defined: bool) -> bool:
    """Whether pydicom reads a value as a sequence, not as bytes; it takes anything in place of a sequence's item.

    Args:
        tag: of the element.
        representation: empty if it has none.
        begins_with_item: whether the value does.
        is_defined: whether the length is.
    """
    from pydicom.datadict import dictionary_VR

    if representation not in (b"", b"UN") or (representation and not is_defined):
        return representation in (b"SQ", b"UN")
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return begins_with_item


def _begins_implicit(data: bytes | memoryview, at: int) -> bool:
    representation = bytes(data[at + 4 : at + 6])
    return not (representation.isalpha() and representation.isupper())


def _item(order: str) -> bytes:
    return struct.pack(f"{order}HH", _ITEM >> 16, _ITEM & 0xFFFF)
