"""Any `images/` + `masks/` pair of folders, as Shenzhen and the Kaggle sets have them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge_seg.datasets.dataset import Dataset, LabelledFilm, Outlines, read_film, read_grey, split_by_patient
from edge_seg.errors import InputError
from edge_seg.film import Film

SUFFIXES = ("", "_mask", "-mask", "_seg", "_label")
MOST_CLASSES = 32
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def recognises(folder: Path) -> bool:
    """Whether there are folders `images` and `masks`."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def read(folder: Path) -> Dataset:
    """Every image with a mask. Masks are binary (0 and one other value) or hold integer class labels 0, 1, 2, ...

    What the classes are called stands in `classes.txt`, a name a line, first line for class 1; without
    it a binary set has the structure `object` and others `class_1`, `class_2`, ....

    Raises:
        InputError: a mask holds grey values that are neither binary nor class labels.
    """
    masks = {path.stem: path for path in sorted((folder / "masks").iterdir()) if path.suffix.lower() in _PICTURES}
    pairs = []
    for path in sorted((folder / "images").iterdir()):
        mask = next((masks[path.stem + s] for s in SUFFIXES if path.stem + s in masks), None)
        if path.suffix.lower() in _PICTURES and mask is not None:
            pairs.append((path, mask))
    classes = max((_classes(mask) for _, mask in pairs), default=1)
    names = _names(folder, classes)
    films = [LabelledFilm(image.stem, image.stem, "", partial(_read, image, mask, names)) for image, mask in pairs]
    return Dataset(folder.name, "pairs", names, split_by_patient(films))


def _names(folder: Path, classes: int) -> tuple[str, ...]:
    listed = folder / "classes.txt"
    if not listed.is_file():
        return ("object",) if classes == 1 else tuple(f"class_{i}" for i in range(1, classes + 1))
    names = tuple(line.strip().replace(" ", "_") for line in listed.read_text().splitlines() if line.strip())
    if len(names) < classes:
        raise InputError(f"{listed}: {len(names)} names for {classes} classes: name every class, one a line")
    return names


def _labels(path: Path) -> np.ndarray:
    """Class labels 0, 1, ... of a mask file; a binary mask has 0 and 1 whatever its bright value is."""
    picture = read_grey(path, cv2.IMREAD_GRAYSCALE)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        return (picture >= 128).astype(np.uint8)
    values = np.unique(picture)
    if (
        values.size <= 2
        and (values.size < 2 or values[0] == 0)
        and values[-1] > 1
        and values[-1] in (127, 128, 254, 255)
    ):
        return (picture > 0).astype(np.uint8)
    if values[-1] > MOST_CLASSES:
        raise InputError(
            f"{path}: holds grey value {values[-1]}, neither a binary mask nor class labels up to {MOST_CLASSES}: "
            "save it as 0 and 255, or as class numbers"
        )
    return picture


def _classes(path: Path) -> int:
    return max(1, int(_labels(path).max()))


def _read(image: Path, mask: Path, names: tuple[str, ...]) -> tuple[Film, Outlines]:
    film, labels = read_film(image), _labels(mask)
    if labels.shape != film.shape:
        labels = cv2.resize(labels, film.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return film, {name: (labels == i).astype(np.uint8) for i, name in enumerate(names, 1)}
