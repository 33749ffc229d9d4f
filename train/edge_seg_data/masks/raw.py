"""One mask file as an array of integers, and what it shows without the rest of its set."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_seg.errors import InputError, UsageError
from edge_seg.film import check_size
from edge_seg.install import install_command
from edge_seg.sources.header import is_cut_off, webp_chunks
from edge_seg.sources.image import decode_tiff, read_bytes
from edge_seg.sources.jpeg import DamagedJpegError, decode_jpeg
from edge_seg.sources.png import essential_png

from edge_seg_data.files import NIFTI

GREY, INDEX, COLOUR, ALPHA = "grey", "palette index", "colour", "alpha"
"""Kinds of mask values."""

FEW_VALUES = 4
"""A mask with no more values than this has no smoothed edges, or such of one pixel."""

_FAINTEST = 16  # least alpha of paint; less is the end of a soft edge
_LEAST_AREA = 0.01  # share of a colour's pixels that have one alpha, if that is an area's
_JPEG_TOLERANCE = 16  # grey values by which JPEG may vary inside an area of one colour
_JPEG = ("JPEG", "MPO")  # Pillow's names; an MPO holds several, of which the first is taken
_ORIENTATION = 274  # EXIF tag
_TURNING = range(2, 9)  # orientations other than upright; programs ignore what is none


@dataclass(frozen=True)
class RawMask:
    """A mask's own values.

    Attributes:
        values: `(height, width)` int32: grey values, palette indices, or colours as `0xRRGGBB`.
        kind: `GREY`, `INDEX`, `COLOUR` or `ALPHA`.
        lossy: whether its compression changes values: JPEG, also inside a TIFF, and WebP unless lossless.
        palette: of an `INDEX` mask, the colour of each index; of an `ALPHA` mask painted in one colour, what each alpha
            shows.
    """

    values: np.ndarray
    kind: str
    lossy: bool = False
    palette: tuple[int, ...] = ()


@dataclass(frozen=True)
class MaskScan:
    """What one mask file holds, small enough to keep for every file of a set.

    Attributes:
        path: of the file.
        kind, lossy, palette: of `RawMask`.
        shape: `(height, width)`.
        counts: pixels of each value.
        flat: of each value, pixels whose eight neighbours look the same, which leaves out edges.
        apart: of each value of a lossless mask with `FEW_VALUES` at most, pixels that smoothing between their
            neighbours does not explain.
    """

    path: Path
    kind: str
    lossy: bool
    palette: tuple[int, ...]
    shape: tuple[int, int]
    counts: dict[int, int]
    flat: dict[int, int]
    apart: dict[int, int]


def scan(path: Path) -> MaskScan:
    """Read a mask and count its values.

    Raises:
        InputError: it cannot be read as a mask.
    """
    raw = read_raw(path)
    counts = count_values(raw.values)
    height, width = raw.values.shape
    # A lossless mask of two values has no smoothed edges to look for.
    plain = len(counts) <= 2 and not raw.lossy
    flat = counts if plain else count_values(raw.values, flat_pixels(raw))
    few = len(counts) <= FEW_VALUES and not raw.lossy
    apart = counts if plain else count_values(raw.values, ~_are_between(raw)) if few else {}
    return MaskScan(path, raw.kind, raw.lossy, raw.palette, (height, width), counts, flat, apart)


def count_values(values: np.ndarray, where: np.ndarray | None = None) -> dict[int, int]:
    """Number of pixels of each value; counts runs of equal neighbours, since masks have few edges."""
    flat = values.ravel() if where is None else values[where]
    if not flat.size:
        return {}
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    found, which = np.unique(flat[starts], return_inverse=True)
    totals = np.bincount(which.ravel(), weights=lengths)
    return {int(value): int(total) for value, total in zip(found, totals, strict=True)}


def flat_pixels(raw: RawMask) -> np.ndarray:
    """Bool of the mask's shape: whether a pixel and its eight neighbours are equal, or nearly so in a lossy mask."""
    kernel = np.ones((3, 3), np.uint8)
    tolerance = _JPEG_TOLERANCE if raw.lossy else 0
    flat = np.ones(raw.values.shape, bool)
    for plane in planes_of(raw):
        flat &= cv2.dilate(plane, kernel).astype(np.int32) - cv2.erode(plane, kernel) <= tolerance
    return flat


def _are_between(raw: RawMask) -> np.ndarray:
    """Bool of the mask's shape: whether a pixel has a darker and a brighter neighbour, in any channel."""
    if raw.kind == INDEX:
        raw = RawMask(in_kind(raw.values, raw, COLOUR), COLOUR)
    kernel = np.ones((3, 3), np.uint8)
    between = np.zeros(raw.values.shape, bool)
    for plane in planes_of(raw):
        between |= (cv2.erode(plane, kernel) < plane) & (plane < cv2.dilate(plane, kernel))
    return between


def planes_of(raw: RawMask) -> list[np.ndarray]:
    """The values as planes that can be ordered: one, or red, green and blue."""
    if raw.kind == COLOUR:
        return [((raw.values >> shift) & 255).astype(np.uint8) for shift in (16, 8, 0)]
    return [raw.values.astype(np.uint16)]


def in_kind(values: np.ndarray, mask: RawMask | MaskScan, kind: str) -> np.ndarray:
    """Values of a mask as those of its set's kind: in a coloured set, some are all black; in a grey one, some indices.

    Args:
        values: int32 of any shape.
        mask: that holds them.
        kind: of the set.
    """
    if kind == COLOUR and mask.kind != COLOUR:
        return np.array(mask.palette, np.int32)[values] if mask.palette else np.minimum(values, 255) * 0x010101
    if kind == GREY and mask.kind == INDEX:
        return np.array(mask.palette, np.int32)[values] & 255
    return values


def read_raw(path: Path) -> RawMask:
    """Decode a mask file without interpreting its values.

    Raises:
        InputError: absent, cut off, damaged, not a picture of integers, several pictures in one, turned by an EXIF tag,
            or transparent all over with different colours beneath.
        UsageError: a package that reads the format is not installed.
    """
    if path.name.lower().endswith(NIFTI):
        return _read_nifti(path)
    data = read_bytes(path)
    if is_cut_off(data):
        raise InputError(f"{path}: the mask is cut off before its end: copy it again, or leave it out")
    mode, format_, lossy = _header(data, path)
    if mode in ("P", "PA"):
        return _read_palette(data, path)
    if mode in ("1", "LA"):
        return _of_array(_pillow(data, path), lossy, path)
    picture = _decode(data, format_, path)
    if picture is None:
        picture = _pillow(data, path)
    elif picture.ndim == 3 and picture.shape[2] >= 3:
        # The fourth byte of a BMP's pixel is transparency only if its header says so.
        channels = 3 if format_ == "BMP" and mode == "RGB" else picture.shape[2]
        picture = picture[:, :, [2, 1, 0, 3][:channels]]
    if picture.dtype not in (np.uint8, np.uint16, bool):
        raise InputError(f"{path}: the mask's values are {picture.dtype}: save it with 8 or 16 bits a pixel")
    return _of_array(picture, lossy, path)


def _decode(data: bytes, format_: str, path: Path) -> np.ndarray | None:
    """The picture in OpenCV's channel order; `None` if it is for Pillow to decode."""
    if format_ == "TIFF":
        return decode_tiff(data)
    if format_ not in _JPEG:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    try:
        return decode_jpeg(data)
    except DamagedJpegError as error:
        raise InputError(f"{path}: the mask is damaged ({error}): copy it again, or leave it out") from error


def orientation_of(data: bytes) -> int:
    """The EXIF orientation that turns a picture, 1 if none does."""
    try:
        with _open_picture(data) as picture:
            return _turn_of(picture, data)
    except (OSError, ValueError, SyntaxError, IndexError):
        return 1


def _turn_of(picture: Any, data: bytes) -> int:
    # Pillow also reads an orientation from a PNG's text chunks, and films are not turned by those.
    found: int = essential_png(data)[1] if picture.format == "PNG" else picture.getexif().get(_ORIENTATION)
    return found if found in _TURNING else 1


def _open_picture(data: bytes) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError(f"data sets need Pillow: {install_command('data')}") from error
    return Image.open(io.BytesIO(data))


def _header(data: bytes, path: Path) -> tuple[str, str, bool]:
    """Pillow's mode and format of the picture, and whether its values were changed by compression."""
    try:
        with _open_picture(data) as picture:
            check_size(str(path), picture.height, picture.width)
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
                raise InputError(f"{path}: holds {picture.n_frames} pictures: save one mask a file")
            turned = _turn_of(picture, data)
            if turned != 1:
                raise InputError(f"{path}: the mask has the EXIF orientation {turned}: turn its pixels, remove the tag")
            return picture.mode, picture.format, _is_lossy(picture, data)
    except (OSError, ValueError, SyntaxError, IndexError) as error:
        raise InputError(f"{path}: not a picture that can be decoded: replace it or leave it out") from error


def _is_lossy(picture: Any, data: bytes) -> bool:
    if picture.format == "WEBP":
        return next((kind for kind, _, _ in webp_chunks(data) if kind in (b"VP8 ", b"VP8L")), b"") != b"VP8L"
    return picture.format in _JPEG or "jpeg" in str(picture.info.get("compression", ""))


def _pillow(data: bytes, path: Path) -> np.ndarray:
    try:
        with _open_picture(data) as picture:
            return np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path}: not a picture that can be decoded: replace it or leave it out") from error


def _read_palette(data: bytes, path: Path) -> RawMask:
    try:
        with _open_picture(data) as picture:
            raw = picture.getpalette("RGB") or []
            indices = np.asarray(picture if picture.mode == "P" else picture.convert("P"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path}: not a picture that can be decoded: replace it or leave it out") from error
    colours = [raw[i] << 16 | raw[i + 1] << 8 | raw[i + 2] for i in range(0, len(raw) - 2, 3)]
    colours += [0] * (256 - len(colours))
    return RawMask(indices.astype(np.int32), INDEX, palette=tuple(colours))


def _of_array(picture: np.ndarray, lossy: bool, path: Path) -> RawMask:
    """The mask of a decoded picture with channels in the order red, green, blue, alpha.

    Raises:
        InputError: it is transparent all over, and different colours lie beneath.
    """
    if picture.ndim == 2:
        return RawMask(picture.astype(np.int32), GREY, lossy)
    channels = picture.shape[2]
    colour, alpha = (picture[:, :, :-1], picture[:, :, -1]) if channels in (2, 4) else (picture, None)
    if picture.dtype == np.uint16:
        # Class numbers and 8-bit colours are also saved with 16 bits.
        colour = (colour if colour.max() <= 255 else colour >> 8).astype(np.uint8)
        alpha = None if alpha is None else (alpha >> 8).astype(np.uint8)
    if alpha is not None and alpha.min() == alpha.max() and alpha.max() > 0:
        alpha = None
    if alpha is not None:
        if not alpha.any() and (colour != colour[0, 0]).any():
            raise InputError(f"{path}: the mask is all transparent, with colours beneath: save it without transparency")
        least = _least_painted(colour, alpha)
        seen = colour[alpha >= least]
        if not seen.size or (seen == seen[0]).all():
            # Everything painted has one colour, or nothing is painted: the alpha channel is the mask.
            return RawMask(alpha.astype(np.int32), ALPHA, lossy, _shown(seen[0], least) if seen.size else ())
        colour = np.where(alpha[:, :, None] >= least, colour, 0)
    if colour.shape[2] == 1 or _is_grey(colour, lossy):
        return RawMask(colour[:, :, 0].astype(np.int32), GREY, lossy)
    red, green, blue = (colour[:, :, channel].astype(np.int32) for channel in range(3))
    return RawMask(red << 16 | green << 8 | blue, COLOUR, lossy)


def _least_painted(colour: np.ndarray, alpha: np.ndarray) -> int:
    """The alpha from which a pixel counts as painted: half of the faintest area's."""
    kernel = np.ones((3, 3), np.uint8)
    painted = alpha >= _FAINTEST
    flat = painted & (cv2.dilate(alpha, kernel) == cv2.erode(alpha, kernel))
    paints = np.zeros(alpha.shape, np.int64)
    for channel in range(colour.shape[2]):
        paints = paints << 8 | colour[:, :, channel]
    # The end of a wide soft edge is flat in places too, which are few of its colour's pixels.
    sizes = count_values(paints, painted)
    found = count_values(paints << 8 | alpha, flat)
    areas = [key & 255 for key, pixels in found.items() if pixels >= _LEAST_AREA * sizes[key >> 8]]
    return max(1, (min(areas, default=int(alpha.max())) + 1) // 2)


def _shown(paint: np.ndarray, least: int) -> tuple[int, ...]:
    """The colour of each alpha in a layer painted in one grey or colour."""
    red, green, blue = (int(channel) for channel in np.broadcast_to(paint, 3))
    return (0,) * least + (red << 16 | green << 8 | blue,) * (256 - least)


def _is_grey(colour: np.ndarray, lossy: bool) -> bool:
    tolerance = _JPEG_TOLERANCE if lossy else 0
    return int((colour.max(axis=2).astype(np.int32) - colour.min(axis=2)).max(initial=0)) <= tolerance


def _read_nifti(path: Path) -> RawMask:
    """A one-slice NIfTI mask, as ITK writes a film's picture: first axis across, second down."""
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
        from nibabel.spatialimages import HeaderDataError
        from nibabel.wrapstruct import WrapStructError
    except ImportError as error:
        raise UsageError(f"NIfTI masks need nibabel: {install_command('data')}") from error
    data = read_bytes(path)
    try:
        # nibabel stops at the last value, before the checksum that shows damage.
        data = gzip.decompress(data) if path.suffix.lower() == ".gz" else data
        is_second = nibabel.Nifti2Header.may_contain_header(data)
        image: Any = (nibabel.Nifti2Image if is_second else nibabel.Nifti1Image).from_bytes(data)
        values = np.asarray(image.dataobj)
    except (OSError, ValueError, EOFError, zlib.error, ImageFileError, HeaderDataError, WrapStructError) as error:
        raise InputError(f"{path}: not a readable NIfTI file: save it again") from error
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 2:
        shape = " x ".join(map(str, values.shape))
        raise InputError(f"{path}: a NIfTI volume of {shape}: save the mask of one film as one slice")
    whole = np.rint(values).astype(np.int32)
    if not np.array_equal(whole, values) or whole.min() < 0:
        raise InputError(f"{path}: its values are not whole numbers from 0: save it as labels")
    if _has_no_direction(image.affine[:2, :2]) and whole.shape[0] == whole.shape[1]:
        raise InputError(
            f"{path}: its affine does not say how rows and columns lie, and the mask is square: save it with ITK "
            "(SimpleITK, ITK-SNAP, 3D Slicer), or as PNG"
        )
    return RawMask(np.ascontiguousarray(_as_picture(whole, image.affine[:2, :2])), GREY)


def _has_no_direction(axes: np.ndarray) -> bool:
    """Whether both axes are counted upwards, as in an affine that holds at most a spacing."""
    return bool(min(axes[0, 0], axes[1, 1]) > 0 and not _are_swapped(axes))


def _are_swapped(axes: np.ndarray) -> bool:
    return bool(abs(axes[0, 1]) + abs(axes[1, 0]) > abs(axes[0, 0]) + abs(axes[1, 1]))


def _as_picture(values: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """A slice's rows and columns, flipped or transposed if its affine mirrors one axis or swaps both.

    ITK gives a picture's columns and rows axes to the patient's left and back, which NIfTI counts downwards. If both
    are counted upwards, no direction was set, and the values are laid out as in a picture.
    """
    if _are_swapped(axes):
        values, axes = values.T, axes[:, ::-1]
    if axes[0, 0] * axes[1, 1] < 0:
        values = values[::-1] if axes[0, 0] > 0 else values[:, ::-1]
    return values.T
