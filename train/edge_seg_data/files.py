"""Which files in a data set's folder may be films or masks, and the key by which names are compared."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Container
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg.sources.dicom import is_dicom

PICTURES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm", ".pnm"}
)
DICOM = frozenset({".dcm", ".dicom", ".ima"})
NIFTI = (".nii.gz", ".nii")

_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_WHOLE = 1 << 20  # files up to this many bytes are hashed whole
_PIECE = 1 << 16


def stem_of(name: str) -> str:
    """A file's name without the suffix of a film or mask; other dots belong to the name.

    >>> stem_of("1.2.840.png"), stem_of("1.2.840"), stem_of("a.nii.gz")
    ('1.2.840', '1.2.840', 'a')
    """
    lower = name.lower()
    for suffix in (*NIFTI, *PICTURES, *DICOM):
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    return name


def key_of(stem: str) -> str:
    """The key by which names are compared: Unicode composed, case folded."""
    return unicodedata.normalize("NFC", stem).casefold()


def is_film_file(path: Path) -> bool:
    """Whether a file may be a film: a picture, or DICOM under any name."""
    suffix = path.suffix.lower()
    if suffix in PICTURES or suffix in DICOM:
        return True
    if suffix and not suffix[1:].isdigit():
        return False
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False


def is_mask_file(path: Path) -> bool:
    """Whether a file may be a mask: a picture or NIfTI."""
    return path.suffix.lower() in PICTURES or path.name.lower().endswith(NIFTI)


def list_files(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders, in order, except hidden ones and those operating systems leave behind.

    Raises:
        InputError: a folder cannot be listed.
    """
    failures: list[OSError] = []
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=failures.append):
        folders[:] = sorted(name for name in folders if name[0] != "." and name.lower() not in _JUNK)
        found += [Path(parent) / name for name in sorted(names) if name[0] != "." and name.lower() not in _JUNK]
    if failures:
        raise InputError(
            f"{failures[0].filename}: cannot be read ({failures[0].strerror}): check its permissions"
        ) from failures[0]
    return found


def links_in(folder: Path, read: Container[Path]) -> list[Path]:
    """Links to folders in a folder that `list_files` does not follow, except those in `read`, in which it looks too."""
    found: list[Path] = []
    for parent, folders, _ in os.walk(folder):
        for path in (Path(parent) / name for name in sorted(folders) if name[0] != "."):
            if path.is_symlink():
                found += links_in(path, read) if path in read else [path]
    return found


def content_hash(data: bytes) -> str:
    """Hash of a file's content, 16 hexadecimal digits; for a large file, of its size, beginning, middle and end."""
    digest = hashlib.sha256(str(len(data)).encode())
    if len(data) <= _WHOLE:
        digest.update(data)
    else:
        for start in (0, (len(data) - _PIECE) // 2, len(data) - _PIECE):
            digest.update(data[start : start + _PIECE])
    return digest.hexdigest()[:16]
