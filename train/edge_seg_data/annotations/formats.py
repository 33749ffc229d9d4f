"""Readers for the files of annotation programs, which turn each format into shapes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
from edge_seg.errors import InputError

from edge_seg_data.annotations.shapes import AnnotatedFilm, Annotations, Shape, structure_name
from edge_seg_data.report import counted

_CVAT_LINES = ("polyline", "points", "skeleton", "cuboid")


def read_json(path: Path) -> Annotations | None:
    """COCO, labelme or V7 Darwin, `None` if the file is none of them.

    Raises:
        InputError: it is one of them and damaged.
    """
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(raw, dict):
        return None
    try:
        if {"images", "annotations", "categories"} <= raw.keys():
            return read_coco(path, raw)
        if {"shapes", "imagePath"} <= raw.keys():
            return read_labelme(path, raw)
        if "annotations" in raw and ("item" in raw or "image" in raw):
            return read_darwin(path, raw)
    except KeyError as error:
        raise InputError(f"{path}: {error} is nowhere in the file: export the annotations again") from error
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: the annotations cannot be read ({error!r}): export them again") from error
    return None


def read_coco(path: Path, raw: dict[str, Any]) -> Annotations:
    """COCO's instances: polygons and run lengths by image and category."""
    names = {category["id"]: structure_name(path, category["name"]) for category in raw["categories"]}
    shapes: dict[Any, list[Shape]] = {}
    boxes, used = 0, set()
    for one in raw["annotations"]:
        outline, name = one.get("segmentation"), names[one["category_id"]]
        if not outline:
            boxes += 1
            continue
        used.add(name)
        if isinstance(outline, dict):
            shape = Shape(name, mask=partial(_coco_mask, outline))
        else:
            shape = Shape(name, tuple(np.array(points, float).reshape(-1, 2) for points in outline))
        shapes.setdefault(one["image_id"], []).append(shape)
    films = [
        AnnotatedFilm(path, image["file_name"], _size(image), tuple(shapes.get(image["id"], ())))
        for image in raw["images"]
    ]
    lost = shapes.keys() - {image["id"] for image in raw["images"]}
    notes: tuple[str, ...] = (f"{boxes} boxes without an outline are left out",) if boxes else ()
    if lost:
        # Ids may be numbers in one list and text in the other: those films get no outline.
        one = next(iter(lost))
        notes += (f"annotations of {counted(len(lost), 'image')} that the file does not list (id {one!r})",)
    return Annotations("COCO", tuple(name for name in names.values() if name in used), tuple(films), notes)


def _size(film: dict[str, Any]) -> tuple[int, int] | None:
    height, width = film.get("height"), film.get("width")
    return (int(height), int(width)) if height and width else None


def _coco_mask(outline: dict[str, Any]) -> np.ndarray:
    """Run lengths column by column, the first of pixels outside; packed into text or as numbers."""
    height, width = outline["size"]
    runs = outline["counts"] if isinstance(outline["counts"], list) else _unpacked(outline["counts"])
    return unroll(runs, height * width).reshape((width, height)).T


def _unpacked(text: str) -> list[int]:
    """Unpack COCO's run lengths: five bits a character; from the fourth on, the difference to the run two before."""
    runs: list[int] = []
    number = shift = 0
    for code in text.encode("ascii"):
        bits = code - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return runs


def unroll(runs: Sequence[int], pixels: int) -> np.ndarray:
    """Run lengths as `(pixels,)` bool, the first of pixels outside.

    Raises:
        ValueError: they cover a different number of pixels.
    """
    if min(runs, default=0) < 0 or sum(runs) != pixels:
        raise ValueError(f"run lengths of {sum(runs)} pixels for {pixels}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def read_labelme(path: Path, raw: dict[str, Any]) -> Annotations:
    """labelme's file of one film: polygons, rectangles, circles and masks."""
    shapes, left_out = [], 0
    size = _size({"height": raw.get("imageHeight"), "width": raw.get("imageWidth")})
    for one in raw["shapes"]:
        kind, points = one.get("shape_type") or "polygon", np.array(one["points"], float).reshape(-1, 2)
        polygon = _labelme_polygon(kind, points)
        name = structure_name(path, one["label"])
        if kind == "mask" and size:
            shapes.append(Shape(name, mask=partial(_labelme_mask, path, one["mask"], points, size)))
        elif polygon is None:
            left_out += 1
        else:
            shapes.append(Shape(name, (polygon,)))
    notes = (f"{left_out} lines or points are no outline and left out",) if left_out else ()
    film = AnnotatedFilm(path, raw["imagePath"].replace("\\", "/"), size, tuple(shapes))
    return Annotations("labelme", tuple(dict.fromkeys(shape.structure for shape in shapes)), (film,), notes)


def _labelme_polygon(kind: str, points: np.ndarray) -> np.ndarray | None:
    if kind == "polygon":
        return points
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "circle":
        angle = np.linspace(0, 2 * np.pi, 128, endpoint=False)
        radius = float(np.hypot(*(points[1] - points[0])))
        return np.asarray(points[0] + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return None


def _labelme_mask(path: Path, encoded: str, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A base64 PNG, placed at the upper left of two corners."""
    try:
        data = np.frombuffer(base64.b64decode(encoded), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    except (ValueError, cv2.error):
        picture = None
    if picture is None:
        raise InputError(f"{path}: a mask in it cannot be decoded: save the file again")
    left, top = (int(value) for value in corners.min(axis=0))
    inside = np.zeros(size, bool)
    room = inside[top : top + picture.shape[0], left : left + picture.shape[1]]
    room |= picture[: room.shape[0], : room.shape[1]] > 0
    return inside


def read_darwin(path: Path, raw: dict[str, Any]) -> Annotations:
    """V7 Darwin's file of one film, of version 1 (`path`) or 2 (`paths`); paths inside others are holes."""
    if "item" in raw:
        slots = raw["item"].get("slots") or [{}]
        name, height, width = raw["item"]["name"], slots[0].get("height"), slots[0].get("width")
    else:
        name, height, width = (raw["image"].get(key) for key in ("filename", "height", "width"))
    shapes, left_out = [], 0
    painted = {one["id"]: one["name"] for one in raw["annotations"] if "mask" in one}
    for one in raw["annotations"]:
        paths = list(_darwin_paths(one.get("polygon") or one.get("complex_polygon") or {}))
        if paths:
            shapes.append(Shape(structure_name(path, one["name"]), tuple(paths), holes=True))
        elif "ellipse" in one:
            shapes.append(Shape(structure_name(path, one["name"]), (_darwin_ellipse(one["ellipse"]),)))
        elif "raster_layer" in one:
            layer = one["raster_layer"]
            for mask, value in layer["mask_annotation_ids_mapping"].items():
                raster = partial(_darwin_raster, path, layer["dense_rle"], int(value), (height, width))
                shapes.append(Shape(structure_name(path, painted[mask]), mask=raster))
        elif "mask" not in one:
            left_out += 1
    notes = (f"{left_out} annotations are no outline and left out",) if left_out else ()
    film = AnnotatedFilm(path, name, (height, width) if height and width else None, tuple(shapes))
    return Annotations("V7 Darwin", tuple(dict.fromkeys(shape.structure for shape in shapes)), (film,), notes)


def _darwin_paths(polygon: dict[str, Any]) -> Iterator[np.ndarray]:
    first = polygon.get("path") or []
    paths = polygon.get("paths") or ([first] if first and isinstance(first[0], dict) else first)
    for points in [*paths, *polygon.get("additional_paths", ())]:
        yield np.array([[point["x"], point["y"]] for point in points], float)


def _darwin_ellipse(given: dict[str, Any]) -> np.ndarray:
    centre, radius = (np.array([given[key]["x"], given[key]["y"]], float) for key in ("center", "radius"))
    return ellipse(centre, radius, float(given.get("angle", 0)))


def _darwin_raster(path: Path, runs: list[int], value: int, size: tuple[int, int]) -> np.ndarray:
    """Decode pairs of a value and its count, row by row."""
    values = np.repeat(runs[::2], runs[1::2])
    if values.size != size[0] * size[1]:
        raise InputError(f"{path}: a raster layer has {values.size} pixels for {size[1]} x {size[0]}: export it again")
    return np.asarray((values == value).reshape(size))


def read_cvat(path: Path) -> Annotations | None:
    """CVAT's "images 1.1": polygons, boxes, ellipses and masks of all films in one file; `None` if it is not one.

    Raises:
        InputError: it is one and damaged.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (OSError, ElementTree.ParseError):
        return None
    if root.tag != "annotations":
        return None
    if root.find("image") is None:
        if root.find("track") is not None:
            raise InputError(f"{path}: holds tracks of a video: export them as `CVAT for images 1.1`")
        return None
    try:
        films = [
            AnnotatedFilm(
                path,
                image.attrib["name"],
                (int(image.attrib["height"]), int(image.attrib["width"])),
                tuple(_cvat_shapes(path, image)),
            )
            for image in root.iter("image")
        ]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: the annotations cannot be read ({error!r}): export them again") from error
    names = dict.fromkeys(shape.structure for film in films for shape in film.shapes)
    lines = sum(1 for image in root.iter("image") for one in image if one.tag in _CVAT_LINES)
    notes = (f"{lines} lines, points or skeletons are no outline and left out",) if lines else ()
    return Annotations("CVAT", tuple(names), tuple(films), notes)


def _cvat_shapes(path: Path, image: ElementTree.Element) -> Iterator[Shape]:
    size = int(image.attrib["height"]), int(image.attrib["width"])
    for one in image:
        given = one.attrib
        if one.tag == "polygon":
            points = [tuple(map(float, point.split(","))) for point in given["points"].split(";") if point]
            yield Shape(structure_name(path, given["label"]), (np.array([[x, y] for x, y in points]),))
        elif one.tag == "box":
            left, top, right, bottom = (float(given[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
            corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
            turned = rotated(corners, corners.mean(axis=0), np.deg2rad(float(given.get("rotation", 0))))
            yield Shape(structure_name(path, given["label"]), (turned,))
        elif one.tag == "ellipse":
            centre, radius = (np.array([float(given[x]), float(given[y])]) for x, y in (("cx", "cy"), ("rx", "ry")))
            outline = ellipse(centre, radius, np.deg2rad(float(given.get("rotation", 0))))
            yield Shape(structure_name(path, given["label"]), (outline,))
        elif one.tag == "mask":
            yield Shape(structure_name(path, given["label"]), mask=partial(_cvat_mask, dict(given), size))


def ellipse(centre: np.ndarray, radius: np.ndarray, angle: float) -> np.ndarray:
    """Points `(128, 2)` of x and y around an ellipse rotated by an angle in radians, clockwise on the screen."""
    turn = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    return rotated(centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1), centre, angle)


def rotated(points: np.ndarray, centre: np.ndarray, angle: float) -> np.ndarray:
    """Points `(n, 2)` of x and y rotated around a centre by an angle in radians, clockwise on the screen."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(centre + (points - centre) @ np.array([[cosine, sine], [-sine, cosine]]))


def _cvat_mask(given: dict[str, str], size: tuple[int, int]) -> np.ndarray:
    """Run lengths of a rectangle, row by row, the first of pixels outside."""
    left, top, width, height = (int(float(given[key])) for key in ("left", "top", "width", "height"))
    runs = [int(run) for run in given["rle"].split(",") if run.strip()]
    inside = np.zeros(size, bool)
    inside[top : top + height, left : left + width] = unroll(runs, width * height).reshape(height, width)
    return inside


def is_segmentation(dataset: Any) -> bool:
    """Whether a DICOM object is a SEG."""
    return str(dataset.get("Modality", "")) == "SEG"


def read_dicom_seg(path: Path) -> Annotations | None:
    """A DICOM SEG (PS3.3 A.51): a frame for each segment and film; `None` if the file is not one.

    Raises:
        InputError: it is one and damaged.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(path)
    except (OSError, InvalidDicomError):
        return None
    if not is_segmentation(dataset):
        return None
    try:
        pixels = dataset.pixel_array
        frames = pixels[None] if pixels.ndim == 2 else pixels
        names = {
            int(segment.SegmentNumber): structure_name(path, str(segment.SegmentLabel))
            for segment in dataset.SegmentSequence
        }
        # In a fractional SEG, pixels above one half belong to the segment (PS3.3 C.8.20.2).
        fractional = str(dataset.get("SegmentationType", "")) == "FRACTIONAL"
        half = int(dataset.get("MaximumFractionalValue", 255)) / 2 if fractional else 0
        shapes: dict[str, list[Shape]] = {}
        for frame, facts in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
            number = int(facts.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            shape = Shape(names[number], mask=partial(np.asarray, frame > half))
            for film in _referenced(dataset, facts):
                shapes.setdefault(film, []).append(shape)
    except (AttributeError, KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise InputError(f"{path}: the DICOM SEG cannot be read ({error!r}): export it again") from error
    size = int(dataset.Rows), int(dataset.Columns)
    films = tuple(AnnotatedFilm(path, film, size, tuple(found)) for film, found in shapes.items())
    return Annotations("DICOM SEG", tuple(dict.fromkeys(names.values())), films)


def _referenced(dataset: Any, facts: Any) -> Iterable[str]:
    """SOP Instance UIDs of a frame's films; those of the series if the frame names none."""
    own = [
        str(source.ReferencedSOPInstanceUID)
        for derivation in facts.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    ]
    return own or [
        str(instance.ReferencedSOPInstanceUID)
        for series in dataset.get("ReferencedSeriesSequence") or ()
        for instance in series.get("ReferencedInstanceSequence") or ()
    ]
