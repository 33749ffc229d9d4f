"""A DICOM object as the bytes of a file."""

from __future__ import annotations

import io
from typing import Any


def to_bytes(dataset: Any) -> bytes:
    """The complete file of a pydicom data set, with its meta information."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
