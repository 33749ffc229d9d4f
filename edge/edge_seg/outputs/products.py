"""The products: what can be written for each film."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from edge_seg.errors import InputError
from edge_seg.outputs import dicom
from edge_seg.outputs.jpeg import encode_jpeg
from edge_seg.outputs.png import encode_png
from edge_seg.outputs.result import Result

Product: TypeAlias = Callable[[Result], Iterable[tuple[str, bytes]]]
"""Yields files: the end of each name, such as `overlay.jpg`, and the bytes. The outbox sends `.dcm` files."""

OVERLAY_KINDS: dict[str, Callable[[np.ndarray], bytes]] = {"jpg": encode_jpeg, "png": encode_png}
"""Overlay encoders by file extension, the default first."""


def _masks(result: Result) -> Iterator[tuple[str, bytes]]:
    if result.segmented:
        for name, mask in result.segmentation.masks.items():
            yield f"{name}.png", encode_png(mask.view(np.uint8) * np.uint8(255))


def _overlay(result: Result) -> Iterator[tuple[str, bytes]]:
    yield f"overlay.{result.overlay_kind}", OVERLAY_KINDS[result.overlay_kind](result.overlay)


def _record(result: Result) -> Iterator[tuple[str, bytes]]:
    # `OutputFolder.keep` writes it once all files of the film are in place.
    return iter(())


def _dicom(result: Result) -> Iterator[tuple[str, bytes]]:
    if not result.segmented:
        return
    try:
        made = dicom.make_objects(result.segmentation, result.overlay)
    except InputError as error:
        # Pictures and numbers are complete without it.
        result.notes.append(f"no DICOM result: {error}")
        return
    for name, data in made.files.items():
        yield f"{name}.dcm", data
    result.notes += made.notes


PRODUCTS: dict[str, Product] = {
    "mask": _masks,
    "overlay": _overlay,
    "record": _record,
    "dicom": _dicom,
}
"""Products by their name in `--save`. A new one needs a module beside these and a line here."""
