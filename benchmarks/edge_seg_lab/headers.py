"""Whether results follow the header: films written as DICOM in many ways, each compared with the plain one.

`python -m edge_seg_lab.headers FOLDER` reads the pictures of a folder. A film that is turned, padded, rescaled or
has non-square pixels is the same film if its header says so: masks and cardiothoracic ratio must not change.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pydicom
from edge_seg import Film, Segmenter
from edge_seg.cli.main import run_command
from edge_seg.orientation import Orientation
from edge_seg.pixels import Letterbox, Outlines, to_input
from edge_seg.segmenter import Segmentation
from edge_seg.sources.dicom import decode_dicom
from edge_seg.sources.files import read_film
from edge_seg.sources.listing import Listing
from pydicom.uid import ExplicitVRLittleEndian

_SHARE_OF_PADDING = 0.05
_SLOPES = (1.0, 0.1, 0.001, 1 / 4095)
_PADDINGS: tuple[tuple[str, int, type, dict[str, int]], ...] = (
    ("0", 0, np.uint16, {"PixelPaddingValue": 0}),
    ("4095", 4095, np.uint16, {"PixelPaddingValue": 4095}),
    ("60000 to 65535", 65000, np.uint16, {"PixelPaddingValue": 65535, "PixelPaddingRangeLimit": 60000}),
    ("-32768, signed", -32768, np.int16, {"PixelPaddingValue": -32768}),
)

_Turn = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Way:
    """A way to write a film.

    Attributes:
        kind: what is done to it.
        pixels: stored values.
        attributes: header attributes, by keyword.
        back: maps a mask on these pixels to one on the plain film's.
        there_and_back: maps a mask on the plain film's pixels to the nearest one that these pixels can hold.
    """

    kind: str
    pixels: np.ndarray
    attributes: dict[str, Any]
    back: _Turn = np.asarray
    there_and_back: _Turn = np.asarray


@dataclass
class Row:
    """Results for all films written in one way.

    Attributes:
        kind, films: the way, and the number of films.
        lowest_dice: of any structure, in the plain film's pixels.
        furthest_from_best: the most that Dice falls below the best mask that these pixels can hold.
        lowest_dice_in_place: of any structure, in these pixels, against the plain film's outline filled in them, so
            that no edge moves to another film's pixel grid.
        largest_ratio_difference: of the cardiothoracic ratio, from the plain film's.
        equal: films with the plain film's masks and ratio.
    """

    kind: str
    films: int = 0
    lowest_dice: float = 1.0
    furthest_from_best: float = 0.0
    lowest_dice_in_place: float = 1.0
    largest_ratio_difference: float = 0.0
    equal: int = 0


@click.command(epilog="Example: python -m edge_seg_lab.headers FILMS --films 25")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="lungs", show_default=True, help="Name or file of the model.")
@click.option("--films", type=click.IntRange(1), help="Take the first so many films. [default: all]")
def main(folder: Path, model: str, films: int | None) -> int:
    """Print a table of films written in many ways; exit code 1 where a film that is the same has other masks."""
    segmenter = Segmenter.load(model)
    rows: dict[str, Row] = {}
    for path in sorted(Listing(folder).look().films)[:films]:
        compare(segmenter, twelve_bits(read_film(path)), rows)
    click.echo("\n".join(table(rows.values())))
    turned = rows["turned"]
    return 0 if turned.equal == turned.films else 1


def twelve_bits(film: Film) -> np.ndarray:
    """A film's pixels as uint16 from 1 to 4094, with even rows and columns; padding takes values outside that range."""
    pixels = film.pixels.astype(np.float64) * (4093 / np.iinfo(film.pixels.dtype).max) + 1
    height, width = (side // 2 * 2 for side in pixels.shape)
    return np.ascontiguousarray(np.rint(pixels[:height, :width]).astype(np.uint16))


def compare(segmenter: Segmenter, pixels: np.ndarray, rows: dict[str, Row]) -> None:
    """Segment a film as it is and written in every way, and add the differences to the rows."""
    plain = segmenter(as_dicom(pixels))
    outlines = _outlines(segmenter, plain.film)
    for way in (*turned(pixels), *other_ways(pixels)):
        found = segmenter(as_dicom(way.pixels, **way.attributes))
        row = rows.setdefault(way.kind, Row(way.kind))
        pairs = [(way.back(found.masks[name]), mask) for name, mask in plain.masks.items()]
        in_place = replace(outlines, letterbox=Letterbox.of(found.film, segmenter.manifest.input_shape)).masks()
        row.films += 1
        for one, other in pairs:
            dice = _dice(one, other)
            row.lowest_dice = min(row.lowest_dice, dice)
            row.furthest_from_best = max(row.furthest_from_best, _dice(way.there_and_back(other), other) - dice)
        for mask, expected in zip(found.masks.values(), in_place, strict=True):
            row.lowest_dice_in_place = min(row.lowest_dice_in_place, _dice(mask, expected))
        row.largest_ratio_difference = max(row.largest_ratio_difference, abs(_ratio(found) - _ratio(plain)))
        row.equal += all(np.array_equal(one, other) for one, other in pairs) and _ratio(found) == _ratio(plain)


def _outlines(segmenter: Segmenter, film: Film) -> Outlines:
    """The network's outlines on a film, before pixels are filled."""
    manifest = segmenter.manifest
    grey, letterbox = to_input(film, manifest.input_shape)
    thresholds = manifest.thresholds or (0.5,) * len(manifest.structures)
    return Outlines.of(segmenter.observe(grey)[0], letterbox, thresholds, manifest.single_component)


def table(rows: Iterable[Row]) -> Iterator[str]:
    """The rows as Markdown."""
    yield (
        "| Film | n | Masks and ratio equal | Lowest Dice of a structure | At most below what these pixels can hold "
        "| Lowest Dice with the plain outline in these pixels | Largest difference of the ratio |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        yield (
            f"| {row.kind} | {row.films} | {row.equal} | {row.lowest_dice:.4f} | {row.furthest_from_best:.4f} "
            f"| {row.lowest_dice_in_place:.4f} | {row.largest_ratio_difference:.3f} |"
        )


def turned(pixels: np.ndarray) -> Iterator[Way]:
    """The film in each of the seven other orientations, with its Patient Orientation."""
    for number in range(1, 8):
        way = Orientation(bool(number & 4), bool(number & 2), bool(number & 1))
        lying = np.empty(pixels.shape[::-1] if way.transposed else pixels.shape, pixels.dtype)
        way.upright(lying)[:] = pixels
        yield Way("turned", lying, {"PatientOrientation": way.letters.split("/")}, way.upright)


def other_ways(pixels: np.ndarray) -> Iterator[Way]:
    """The film padded, with non-square pixels, and rescaled."""
    top, left = (max(1, round(side * _SHARE_OF_PADDING)) for side in pixels.shape)
    inner = slice(top, -top), slice(left, -left)
    for name, value, kind, attributes in _PADDINGS:
        framed = cv2.copyMakeBorder(pixels.astype(kind), top, top, left, left, cv2.BORDER_CONSTANT, value=value)
        yield Way(f"padded with {name}", framed, attributes, lambda mask: mask[inner])
    for axis, name in enumerate(("rows", "columns")):
        halved = np.rint(pixels.reshape(_in_pairs(pixels.shape, axis)).mean(axis=axis + 1)).astype(np.uint16)
        long, flat = ([2, 1], [1, 2]) if axis == 0 else ([1, 2], [2, 1])
        double = partial(np.repeat, repeats=2, axis=axis)
        best = partial(_halved_and_doubled, axis=axis)
        yield Way(f"{name} halved", halved, {"PixelAspectRatio": long}, double, best)
        left = pixels.take(range(0, pixels.shape[axis], 2), axis=axis)
        yield Way(f"every second of the {name} left out", left, {"PixelAspectRatio": long}, double, best)
        every_other = partial(np.take, indices=range(0, 2 * pixels.shape[axis], 2), axis=axis)
        yield Way(f"{name} doubled", pixels.repeat(2, axis), {"PixelAspectRatio": flat}, every_other)
    for slope in _SLOPES:
        yield Way(f"slope {slope:.3g}", pixels, {"RescaleSlope": f"{slope:.10g}", "RescaleIntercept": "0"})


def as_dicom(pixels: np.ndarray, **attributes: Any) -> Film:
    """The film read from a DX object with these stored values and attributes."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, int(pixels.dtype.kind == "i")
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
        if keyword.startswith("PixelPadding"):
            dataset[keyword].VR = "SS" if value < 0 else "US"
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return decode_dicom(file.getvalue(), Path("film.dcm"))


def _in_pairs(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    return (shape[0] // 2, 2, shape[1]) if axis == 0 else (shape[0], shape[1] // 2, 2)


def _halved_and_doubled(mask: np.ndarray, axis: int) -> np.ndarray:
    """The mask with each pair of pixels set where both were."""
    pairs = mask.reshape(_in_pairs(mask.shape, axis))
    return np.repeat(pairs.all(axis=axis + 1), 2, axis=axis)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def _ratio(result: Segmentation) -> float:
    return result.measurements.ratios.get("cardiothoracic") or 0.0


if __name__ == "__main__":
    run_command(main)
