"""The brain-tumour set of Cheng (figshare 1512427): 3,064 T1-weighted slices in MATLAB 7.3 (HDF5) files."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
from edge_seg.errors import InputError, UsageError
from edge_seg.film import Film
from edge_seg.install import install_command

from edge_seg_data.dataset import Dataset, LabelledFilm, Outlines
from edge_seg_data.finding import Found
from edge_seg_data.reading import Options
from edge_seg_data.splits import split_by_patient

TUMOURS = {1: "meningioma", 2: "glioma", 3: "pituitary_tumour"}
"""Values of the files' `cjdata/label`, from their readme."""


def find(folder: Path) -> Found | None:
    """Recognise MATLAB files in the folder or its subfolders; each holds film and mask, which `read` reads."""
    return Found("brain-tumour") if _files(folder) else None


def read(folder: Path, options: Options) -> Dataset:
    """All slices, split by person; one structure, `tumour`, of any type.

    Raises:
        InputError: a file lacks `cjdata` or is not HDF5.
        UsageError: h5py is not installed.
    """
    films = [_labelled(path) for path in sorted(_files(folder), key=lambda p: (len(p.stem), p.stem))]
    return Dataset(folder.name, "brain-tumour", ("tumour",), split_by_patient(films, options.known))


def person_of(identifier: str) -> str:
    """The person of a `cjdata/PID`: letters at the end count one person's follow-ups.

    >>> person_of("MR024780B"), person_of("100360")
    ('MR024780', '100360')
    """
    return re.sub(r"(?<=\d)[A-Za-z]+$", "", identifier.strip())


def _files(folder: Path) -> list[Path]:
    return [*folder.glob("*.mat"), *folder.glob("*/*.mat")]


def _fields(path: Path, *fields: str) -> list[np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise UsageError(f"MATLAB files need h5py: {install_command('data')}") from error
    try:
        with h5py.File(path) as file:
            return [np.asarray(file["cjdata"][field]) for field in fields]
    except (OSError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: not a file of the brain-tumour set: download it again") from error


def _labelled(path: Path) -> LabelledFilm:
    codes, label = _fields(path, "PID", "label")
    patient = "".join(chr(int(code)) for code in codes.ravel())
    kind = TUMOURS.get(int(label.ravel()[0]), "unknown") if label.size else "unknown"
    return LabelledFilm(path.stem, person_of(patient), "", partial(_read, path), {"finding": kind}, source=str(path))


def _read(path: Path) -> tuple[Film, Outlines]:
    # MATLAB is column-major, so HDF5 holds the transpose.
    image, mask = (field.T for field in _fields(path, "image", "tumorMask"))
    pixels = (image.astype(np.int32) - min(0, int(image.min()))).astype(np.uint16)
    return Film(pixels, path.name, str(path)), {"tumour": (mask > 0).astype(np.uint8)}
