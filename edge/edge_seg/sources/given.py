"""A film from a path, a file's bytes, an array or a Pillow image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np

from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.sources.exif import set_upright
from edge_seg.sources.files import film_in, path_of, read_film
from edge_seg.sources.image import colour_of, to_grey


class PillowImage(Protocol):
    """The part of `PIL.Image.Image` that is used here; Pillow need not be installed."""

    mode: str

    def getexif(self) -> Any:
        """EXIF tags, by number."""
        ...

    def convert(self, mode: str) -> Any:
        """The image in another mode."""
        ...

    def getbands(self) -> tuple[str, ...]:
        """Names of its channels."""
        ...


FilmLike: TypeAlias = "Film | np.ndarray | bytes | bytearray | memoryview | str | os.PathLike[str] | PillowImage"
"""A film, `(height, width)` uint8 or uint16 with bone white, a file's bytes or path, or a `PIL.Image.Image`."""

_ORIENTATION = 0x0112  # EXIF


def film_of(given: FilmLike) -> Film:
    """The film.

    Raises:
        InputError: it is not a film.

    >>> film_of(np.zeros((480, 640), np.uint8)).shape
    (480, 640)
    """
    if isinstance(given, Film):
        return given
    if isinstance(given, np.ndarray):
        return Film(given)
    if isinstance(given, bytes | bytearray | memoryview):
        return film_in(bytes(given), Path("film"))
    if isinstance(given, str | os.PathLike):
        return read_film(path_of(os.fspath(given)))
    if hasattr(given, "getexif") and hasattr(given, "convert"):
        return _film_of_pillow(given)
    raise InputError(
        f"{type(given).__name__} is no film: give a path, a file's bytes, a (height, width) array, or a Pillow image"
    )


def _film_of_pillow(image: PillowImage) -> Film:
    name = Path(str(getattr(image, "filename", "") or "film")).name
    if image.mode == "1":
        raise InputError(f"{name}: black and white alone, a mask or a drawing: give the film itself")
    if image.mode in ("I", "F"):
        picture = _as_16_bit(np.asarray(image), name)
    elif image.mode in ("L", "RGB", "RGBA") or image.mode.startswith("I;16"):
        picture = np.asarray(image)
    else:
        picture = np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))
    if picture.ndim == 3:
        # OpenCV's channel order, as in pictures read from files.
        order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
        picture = cv2.cvtColor(picture, order)
    picture = set_upright(np.ascontiguousarray(picture), int(image.getexif().get(_ORIENTATION, 1)))
    return Film(to_grey(picture, name), name=name, source=name, colour=colour_of(picture))


def _as_16_bit(values: np.ndarray, name: str) -> np.ndarray:
    whole = np.rint(values)
    if not np.array_equal(whole, values) or whole.min() < 0 or whole.max() > np.iinfo(np.uint16).max:
        raise InputError(f"{name}: pixels are not whole numbers from 0 to 65535: save the film with 16 bits a pixel")
    return whole.astype(np.uint16)
