"""Decodes DICOM text to Unicode: the code extensions of PS3.5 section 6.1.2.5, and how devices deviate from them.

Stricter readers lose patient names to small departures from the standard: a missing escape sequence, a misspelt term,
bytes of an undeclared set. This module decodes such text as well as it can and reports that it guessed.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_SINGLE_BYTE = {
    13: "shift_jis",  # half-width katakana, one byte each
    100: "iso8859_1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso8859_7",
    127: "iso8859_6",
    138: "iso8859_8",
    144: "iso8859_5",
    148: "iso8859_9",
    166: "tis_620",
    203: "iso8859_15",
}
_DOUBLE_BYTE = {149: "euc_kr", 58: "gb2312"}
_G1 = {**_SINGLE_BYTE, **_DOUBLE_BYTE}
"""Codecs for bytes above 127, by ISO-IR registration number (PS3.3 tables C.12-2 to C.12-4)."""

_WHOLE = {"192": "utf-8", "GB18030": "gb18030", "GBK": "gbk"}
"""Sets without code extensions (PS3.3 table C.12-5)."""

_WINDOWS_PAGES = {
    13: "cp932",
    58: "gbk",
    87: "cp932",
    101: "cp1250",
    126: "cp1253",
    127: "cp1256",
    138: "cp1255",
    144: "cp1251",
    148: "cp1254",
    149: "cp949",
    159: "cp932",
    166: "cp874",
}
"""The code pages that devices with Windows write in place of a set; for the others it is `cp1252`.

Several, of Cyrillic above all, put other characters than the declared set at the same bytes. So a code page applies
only to text that is invalid in the declared set, or has control characters there.
"""

_G1_ESCAPES = {
    b")I": 13,
    b"-A": 100,
    b"-B": 101,
    b"-C": 109,
    b"-D": 110,
    b"-F": 126,
    b"-G": 127,
    b"-H": 138,
    b"-L": 144,
    b"-M": 148,
    b"-T": 166,
    b"-b": 203,
    b"$)C": 149,
    b"$)A": 58,
}
_G0_ESCAPES = {b"(B": b"", b"(J": b"", b"$B": b"\x1b$B", b"$@": b"\x1b$@", b"$(D": b"\x1b$(D"}
"""Sets for bytes below 128: empty for ASCII and its Japanese twin, else the escape for Python's `iso2022_jp_2`."""

_DESIGNATION = rb"\$\([A-Z]|\$\)[A-Z]|\$[@-B]|[(),-][A-Za-z]"
_PIECE = re.compile(rb"\x1b(" + _DESIGNATION + rb")|([\x00-\x1a\x1c-\x7f]+)|([\x80-\xff]+)")
_ESCAPES = re.compile(rb"\x1b(?:" + _DESIGNATION + rb")?")
_DELIMITERS = re.compile(rb"[\\^=\r\n\f\t]")
_ESCAPE = b"\x1b"
_CONTROLS = re.compile("[\x80-\x9f]")


@dataclass(frozen=True)
class CharacterSets:
    """The sets that Specific Character Set (0008,0005) declares.

    Attributes:
        whole: codec of a set without code extensions.
        numbers: ISO-IR registration numbers of the others, in the order of the values; `None` for ASCII.
        windows_page: codec of what devices write in place of these sets.
    """

    whole: str | None
    numbers: tuple[int | None, ...]
    windows_page: str = "cp1252"

    @classmethod
    def declared(cls, terms: Sequence[str]) -> CharacterSets:
        """Parse the attribute's values; misspelt terms are read as intended, and unknown ones ignored."""
        numbers: list[int | None] = []
        pages: list[str] = []
        for term in terms:
            known = re.sub(r"[^A-Z0-9]", "", term.upper())
            found = re.search(r"(\d+)$", known)
            number = int(found[1]) if found else None
            whole = next((codec for name, codec in _WHOLE.items() if known.endswith(name)), None)
            if whole is not None:
                return cls(whole, ())
            if number in _G1 or number in (87, 159, 6) or not known:
                numbers.append(number if number in _G1 else None)
                pages += [_WINDOWS_PAGES[number]] if number in _WINDOWS_PAGES else []
            elif (codec := _codec(term)) is not None:
                return cls(codec, ())
        return cls(None, tuple(numbers), *pages[:1])

    @classmethod
    def of(cls, header: Any) -> CharacterSets:
        """The character sets that a pydicom dataset declares."""
        value = getattr(header.get_item("SpecificCharacterSet"), "value", None)
        if isinstance(value, (bytes, bytearray)):
            value = bytes(value).decode("ascii", "replace")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = "\\".join(str(part) for part in value)
        return cls.declared(str(value or "").strip(" \0").split("\\"))

    def text(self, header: Any, keyword: str) -> tuple[str, bool]:
        """An attribute of a pydicom dataset, decoded as by `decode`; several values are joined by backslashes.

        Raises:
            Exception: of many kinds, if the attribute is damaged: pydicom converts some values on access.
        """
        value = getattr(header.get_item(keyword), "value", None)
        # pydicom keeps the original bytes of names it has decoded.
        value = getattr(value, "original_string", value)
        if isinstance(value, (bytes, bytearray)):
            return self.decode(bytes(value))
        if isinstance(value, Sequence) and not isinstance(value, str):
            return "\\".join(str(part) for part in value), True
        return "" if value is None else str(value), True

    def decode(self, data: bytes) -> tuple[str, bool]:
        """The text, and whether it conforms to the standard; if not, it is read as UTF-8 or by `windows_page`.

        >>> CharacterSets.declared(["", "ISO 2022 IR 149"]).decode(b"Hong=\\x1b$)C\\xfb\\xf3")
        ('Hong=洪', True)
        """
        if all(byte < 128 for byte in data) and _ESCAPE not in data:
            return data.decode("ascii"), True
        try:
            text = self._as_declared(data)
            # Latin-1 decodes any bytes; control characters show that it was not intended.
            if not _CONTROLS.search(text):
                return text, True
        except UnicodeError:
            pass
        plain = _ESCAPES.sub(b"", data)
        for codec in ("utf-8", self.windows_page):
            with contextlib.suppress(UnicodeDecodeError):
                return plain.decode(codec), False
        return plain.decode("iso8859_1"), False

    def _as_declared(self, data: bytes) -> str:
        if self.whole is not None:
            return data.decode(self.whole)
        if self._initial == 13 and _ESCAPE not in data:
            # Many films declare ISO_IR 13 but have Shift JIS names with kanji.
            return data.decode("cp932")
        return "".join(self._pieces(data))

    @property
    def _initial(self) -> int | None:
        """The first set that is not ASCII: some devices omit the escape sequence when only one set is possible."""
        return next((number for number in self.numbers if number is not None), None)

    def _pieces(self, data: bytes) -> Iterator[str]:
        first = self.numbers[0] if self.numbers else None
        high, low = self._initial, b""
        position = 0
        while position < len(data):
            piece = _PIECE.match(data, position)
            if piece is None:
                raise UnicodeDecodeError("iso2022", data, position, position + 1, "escape sequence of no known set")
            position = piece.end()
            escape, below, above = piece.groups()
            if escape is not None:
                high, low = _designate(escape, high, low, data, position)
            elif below is not None:
                yield (low + below + b"\x1b(B").decode("iso2022_jp_2") if low else below.decode("ascii")
                if not low and first is not None and _DELIMITERS.search(below):
                    high = first  # PS3.5 section 6.1.2.5.3: delimiters reset to the first set
            elif high is None:
                raise UnicodeDecodeError("ascii", data, piece.start(), position, "no set is declared for it")
            else:
                yield above.decode(_G1[high])


def _designate(escape: bytes, high: int | None, low: bytes, data: bytes, position: int) -> tuple[int | None, bytes]:
    """The sets for bytes above and below 128 after an escape sequence."""
    if escape in _G1_ESCAPES:
        return _G1_ESCAPES[escape], low
    if escape in _G0_ESCAPES:
        return high, _G0_ESCAPES[escape]
    raise UnicodeDecodeError("iso2022", data, position - 1, position, "escape sequence of no known set")


def _codec(term: str) -> str | None:
    """The codec of a term that Python recognises (`UTF-8`, `ISO 8859-5`)."""
    try:
        return codecs.lookup(term.strip()).name
    except (LookupError, ValueError):
        return None
