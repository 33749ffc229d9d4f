"""The data set formed by the newest versions of corrected films, in the trainer's own layout.

`images/`, a folder per structure and `index.csv` are derived from the versions beside them in `versions/`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_seg.corrections.line import Correction
from edge_seg.errors import InputError
from edge_seg.storage import flush_folder, write_atomically

INDEX_NAME, IMAGES, VERSIONS = "index.csv", "images", "versions"

TEST_SHARE, VAL_SHARE = 0.25, 0.1
"""Shares of patients whose films are held out for testing and for choosing an epoch."""

VERSION_FILE = re.compile(r"(.*)\.([0-9]{1,9})\.[^.]+\.(?:png|dcm)", re.DOTALL)
"""File name in a version, with film and number; see `Places`."""

FILM_NUMBER = 0
"""Version number in the name of a film kept with the versions: it belongs to none of them."""


@dataclass(frozen=True)
class Places:
    """Paths of the files in a folder of corrections."""

    folder: Path

    def image(self, film: str) -> Path:
        """A film of the data set."""
        return self.folder / IMAGES / f"{film}.png"

    def aside(self, film: str) -> Path:
        """A film outside the data set: its version is not committed yet, or its newest one could not be judged."""
        return self.version(film, FILM_NUMBER, "film")

    def images(self, film: str) -> tuple[Path, Path]:
        """The two places of a film; it is in one of them."""
        return self.image(film), self.aside(film)

    def version(self, film: str, number: int, what: str, suffix: str = "png") -> Path:
        """A file of a version: the mask of a structure, or its DICOM object."""
        return self.folder / VERSIONS / f"{film}.{number}.{what}.{suffix}"

    def outline(self, film: str, structure: str) -> Path:
        """A mask of the data set."""
        return self.folder / structure / f"{film}.png"

    def outlined(self, film: str) -> set[str]:
        """The structures for which the data set has a mask of a film."""
        folders = (path for path in self.folder.iterdir() if path.is_dir() and path.name not in (IMAGES, VERSIONS))
        return {folder.name for folder in folders if self.outline(film, folder.name).exists()}


@dataclass(frozen=True)
class CorrectedFilm:
    """A film to learn from: its newest version.

    Attributes:
        correction: the line of that version.
        image_paths: PNG of the film: where it is, and where it may have been until a moment ago.
        mask_paths: PNG of each structure, 0 or 255.
    """

    correction: Correction
    image_paths: tuple[Path, Path]
    mask_paths: Mapping[str, Path]

    @classmethod
    def of(cls, places: Places, line: Correction) -> CorrectedFilm:
        """The film of a version."""
        masks = {name: places.version(line.film, line.number, name) for name in line.structures}
        return cls(line, places.images(line.film), masks)

    @property
    def name(self) -> str:
        """Stem of the film's file names."""
        return self.correction.film

    @property
    def split(self) -> str:
        """`train`, `val` or `test`."""
        return self.correction.split

    def image(self) -> np.ndarray:
        """The film: `(height, width)` uint8.

        Raises:
            InputError: it cannot be read.
        """
        return read_png(next(filter(Path.exists, self.image_paths), self.image_paths[0]))

    def masks(self) -> dict[str, np.ndarray]:
        """Bool arrays of the film's size, by structure.

        Raises:
            InputError: one cannot be read.
        """
        return {name: read_png(path) > 127 for name, path in self.mask_paths.items()}


def derive(places: Places, newest: Mapping[str, Correction], last: Correction) -> None:
    """Update the data set to the last version; earlier versions are already in it.

    Args:
        places: of the folder.
        newest: version of each film.
        last: the version that was saved last.

    Raises:
        FileNotFoundError: a file of the version is gone.
        OSError, OutputError: it cannot be written; the version itself is kept.
    """
    image, aside = places.images(last.film)
    if last.is_judged:
        for name in last.structures:
            _copy(places.version(last.film, last.number, name), places.outline(last.film, name))
        if aside.exists():
            aside.replace(image)
    elif image.exists():
        image.replace(aside)
    for gone in places.outlined(last.film) - (set(last.structures) if last.is_judged else set()):
        places.outline(last.film, gone).unlink(missing_ok=True)
    for folder in (places.folder / IMAGES, places.folder / VERSIONS):
        flush_folder(folder)
    _write_if_new(places.folder / INDEX_NAME, _index(newest.values()))


def split_of(patient: str, known: Iterable[Correction]) -> str:
    """The split of a patient: the one first assigned, else one derived from the hash of the patient alone."""
    for one in known:
        if one.patient == patient:
            return one.split
    share = int(hashlib.sha256(f"split/{patient}".encode()).hexdigest()[:8], 16) / 2**32
    return "test" if share < TEST_SHARE else "val" if share < TEST_SHARE + VAL_SHARE else "train"


def read_png(path: Path) -> np.ndarray:
    """A film or mask, `(height, width)` uint8.

    Raises:
        InputError: it cannot be read.
    """
    try:
        found = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error) as error:
        raise InputError(f"{path}: cannot be read ({error}): put the folder back from a copy") from error
    if found is None:
        raise InputError(f"{path}: is no picture: put the folder back from a copy")
    return found


def _copy(source: Path, target: Path) -> None:
    if not target.parent.exists():
        target.parent.mkdir()
        flush_folder(target.parent.parent)
    _write_if_new(target, source.read_bytes())


def _write_if_new(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)


def _index(newest: Iterable[Correction]) -> bytes:
    """`index.csv`: films with their suffix, so that a dot in a name is not taken for one."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("film", "patient", "split"))
    rows.writerows((f"{one.film}.png", one.patient, one.split) for one in newest if one.is_judged)
    return table.getvalue().encode()
