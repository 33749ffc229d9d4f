"""Text files as spreadsheets and editors save them: UTF-8 with or without a BOM, UTF-16, Windows code page."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path

from edge_seg.errors import InputError

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = ",;\t|"


def read_text(path: Path) -> str:
    """The text of a file; Excel's "CSV" is UTF-8 with a BOM, the Windows code page, or UTF-16 ("Unicode text").

    Raises:
        InputError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check its permissions") from error
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\0" in data[:64]:
        # UTF-16 without a BOM: the zero byte of a Latin letter comes second in little-endian order.
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by lower-case column name; the separator is comma, semicolon, tab or bar.

    Raises:
        InputError: the file cannot be read, or has two columns of one name that disagree.
    """
    columns, rows = _read(path)
    return [_by_column(path, columns, row) for row in rows if any(row)]


def read_columns(path: Path) -> list[str]:
    """The lower-case column names of a CSV file.

    Raises:
        InputError: the file cannot be read.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """The lower-case column names, and the rows below."""
    # Old Mac programs end lines with a carriage return, which Python's CSV reader refuses.
    text = re.sub(r"\r\n?", "\n", read_text(path)).lstrip("\n")
    if text.lower().startswith("sep="):
        text = text.partition("\n")[2]
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    try:
        names, *rows = [*csv.reader(io.StringIO(text), delimiter=delimiter)] or [[]]
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as a table ({error}): is a quotation mark left open?") from error
    return [name.strip().lower() for name in names], rows


def _by_column(path: Path, columns: list[str], row: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in zip(columns, map(str.strip, row), strict=False):
        if found.setdefault(name, value) != value and name:
            raise InputError(f"{path}: the column {name} is there twice, with {found[name]} and {value}: remove one")
    return found
