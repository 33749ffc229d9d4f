"""Augmentation on the accelerator, a batch at a time, in `keras.ops`; the films stay in its memory.

A GPU trains a small network on thousands of films a second; CPUs augment some hundreds. The random parameters are drawn
on the host (`changes`), so that a batch is a pure function of seed, epoch and step here too, and one compiled function
(`changed`) applies them to all films of a batch. The augmentation is that of `augmentation.Augmentation`, with these
differences: local equalisation has four by four tiles, soft tissue is measured on one pixel in 49, and tubes, text and
noise come from banks drawn once per run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import keras
import numpy as np
from edge_seg.errors import UsageError
from edge_seg.pixels import IGNORE
from keras import ops

from edge_seg_train import augmentation_operations as operations
from edge_seg_train.augmentation import Augmentation
from edge_seg_train.drawing import Drawing

_BANK = 256  # number of drawn tubes, and of drawn texts
_NOISE = 1024  # rows and columns of the bank of noise
_TILES = 4
_LEVELS = 32
_BLOCK = 8  # of JPEG
_COARSE = 4  # pixels of the film per cell of the grid for opacities
_PATCHES = 4
_BLUR_REACH = 5  # pixels either way
_SOFT_REACH = 6  # cells of the coarse grid either way

# ITU-T T.81, table K.1.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)

Arrays = dict[str, Any]


class AcceleratedBatches(keras.utils.PyDataset):
    """Batches epoch by epoch, drawn like `TrainingBatches` and augmented on the accelerator.

    Args:
        drawing: which films make up a batch, and how strongly they are augmented.
        channels: of the network's input.

    Raises:
        InputError: a film cannot be read.
        UsageError: height or width of the films is not a multiple of 8.
    """

    failure = None  # films are read before the first batch

    def __init__(self, drawing: Drawing, channels: int = 1) -> None:
        super().__init__()
        self.drawing, self.channels, self.epoch = drawing, channels, 0
        films = drawing.films.take(range(len(drawing.films)))
        if any(side % _BLOCK for side in films[0][0].shape):
            raise UsageError(
                f"--augment-on accelerator: height and width must be multiples of {_BLOCK}: choose another --size"
            )
        self._grey = ops.convert_to_tensor(np.stack([grey for grey, _ in films]))
        self._labels = ops.convert_to_tensor(np.stack([labels for _, labels in films]))
        self._banks = {name: ops.convert_to_tensor(bank) for name, bank in banks(*self._grey.shape[1:3]).items()}
        self._changed = _compiled(changed)

    def __len__(self) -> int:
        return self.drawing.steps

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Batch `index` of the current epoch: `(batch, height, width, channels)` float32 and labels uint8."""
        drawing, epoch = self.drawing, self.epoch
        chosen = drawing.chosen(epoch, index)
        outlines = drawing.outlines or int(self._labels.shape[3])
        drawn = changes(
            drawing.augmentation,
            drawing.films.aspect_known[chosen],
            (int(self._grey.shape[1]), int(self._grey.shape[2])),
            outlines,
            np.random.default_rng((drawing.seed, epoch, index, 1)),
        )
        drawn = {name: ops.convert_to_tensor(value) for name, value in drawn.items()}
        film, labels = self._changed(
            self._grey, self._labels, np.asarray(chosen, np.int32), drawn, self._banks, outlines
        )
        return ops.repeat(film[..., None], self.channels, axis=-1), labels

    def on_epoch_end(self) -> None:
        """Move on to the next epoch's films."""
        self.epoch += 1


def banks(height: int, width: int) -> dict[str, np.ndarray]:
    """Tubes and texts of 0 to 1, `(number, height, width)` float16, and noise of std 1, `(rows, columns)`."""
    rng = np.random.default_rng(0)
    black = np.zeros((height, width), np.float32)
    return {
        "tubes": np.stack([operations.drawn_tubes(black.shape, rng) for _ in range(_BANK)]).astype(np.float16),
        "texts": np.stack([operations.stamp(black, rng) for _ in range(_BANK)]).astype(np.float16),
        "noise": rng.standard_normal((_NOISE, _NOISE), np.float32),
    }


def changes(
    strength: Augmentation, aspect_known: np.ndarray, shape: tuple[int, int], outlines: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Random augmentation parameters of each film in a batch.

    Args:
        strength: of each augmentation.
        aspect_known: `(batch,)`, false if a film may be squashed.
        shape: height and width of the films.
        outlines: number of label planes that are outlines.
        rng: random generator.

    Returns:
        Arrays whose first axis is the batch, for `changed`.
    """
    drawn = _movements(strength, aspect_known, shape, rng) | _diseases(strength, len(aspect_known), outlines, rng)
    drawn |= _exposures(strength, len(aspect_known), rng) | _techniques(strength, len(aspect_known), shape, rng)
    drawn |= _detectors(strength, len(aspect_known), rng)
    return {name: value.astype(np.int32 if value.dtype.kind in "iu" else np.float32) for name, value in drawn.items()}


def _movements(
    strength: Augmentation, aspect_known: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    height, width = shape
    batch = len(aspect_known)
    turn = np.deg2rad(rng.uniform(-strength.rotation, strength.rotation, batch))
    size = np.exp(rng.uniform(-strength.scale, strength.scale, batch))
    stretch = np.where(aspect_known, strength.stretch, strength.unknown_stretch)
    aspect = np.exp(rng.uniform(-1, 1, batch) * stretch / 2)
    rotate = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], axis=1).reshape(batch, 2, 2)
    scale = np.stack([size * aspect, size / aspect], axis=1)
    back = np.linalg.inv(rotate * scale[:, None, :])
    centre = np.array([width / 2, height / 2])
    shift = rng.uniform(-strength.shift, strength.shift, (batch, 2)) * (width, height)
    origin = centre - np.einsum("bij,bj->bi", back, centre + shift)
    bent = rng.normal(0, 1, (batch, 2, 5, 5)) * strength.bend * (width + height) / 2
    return {"back": back, "origin": origin, "bent": bent}


def _diseases(strength: Augmentation, batch: int, outlines: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "opacity": _often(strength.opacity, batch, rng) * rng.uniform(0.3, 0.95, batch),
        "opacity_plane": rng.random((batch, outlines)),
        "opacity_softness": rng.uniform(0.5, 2, batch),
        "fluid": _often(0.35, batch, rng),
        "fluid_level": rng.uniform(0.1, 1.0, batch),
        "patches": np.arange(_PATCHES) < rng.integers(1, _PATCHES + 1, batch)[:, None],
        "patch_at": rng.integers(0, _NOISE, (batch, _PATCHES, 2)),
        "patch_axes": rng.uniform(0.15, 0.6, (batch, _PATCHES, 2)),
        "patch_turn": rng.uniform(0, np.pi, (batch, _PATCHES)),
    }


def _exposures(strength: Augmentation, batch: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    places = np.linspace(0, 1, 6)
    heights = np.sort(rng.random((batch, 4)), axis=1)
    amount = _often(0.5, batch, rng) * rng.uniform(0, 1, batch) * strength.tone
    inner = places[1:-1] * (1 - amount[:, None]) + heights * amount[:, None]
    return {
        "gamma": np.exp(rng.uniform(-strength.gamma, strength.gamma, batch)),
        "contrast": 1 + rng.uniform(-strength.exposure, strength.exposure, batch),
        "brightness": rng.uniform(-strength.exposure, strength.exposure, batch) / 2,
        "tone": np.concatenate([np.zeros((batch, 1)), inner, np.ones((batch, 1))], axis=1),
        "shade": rng.uniform(-1, 1, (batch, 3, 3)) * (rng.uniform(0, 1, batch) * strength.shading)[:, None, None],
        "equalise": _often(strength.equalisation, batch, rng) * rng.uniform(0.3, 1, batch),
        "equalise_clip": rng.uniform(1, 6, batch),
        "equalise_whole": np.where(rng.random(batch) < 0.3, 1.0, rng.uniform(0, 0.7, batch)),
        "invert": _often(strength.inversion, batch, rng),
    }


def _techniques(
    strength: Augmentation, batch: int, shape: tuple[int, int], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    height, width = shape
    framed = _often(strength.collimation, batch, rng)
    sides = [rng.integers(0, int(side * 0.08) + 1, batch) * framed for side in (height, height, width, width)]
    return {
        "tubes": _often(strength.tubes, batch, rng) * rng.uniform(0.2, 0.8, batch),
        "tubes_bank": rng.integers(0, _BANK, batch),
        "tubes_towards": rng.choice([1.0, 1.0, 0.0], batch),
        "text": _often(strength.marker, batch, rng),
        "text_bank": rng.integers(0, _BANK, batch),
        "frame": np.stack(sides, axis=1),
        "frame_grey": rng.choice([0.0, 0.0, 1.0], batch),
    }


def _detectors(strength: Augmentation, batch: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    quality = rng.integers(10, 61, batch)
    blur = rng.uniform(-strength.blur, strength.blur, batch)
    return {
        "resolution": np.where(rng.random(batch) < strength.resolution, rng.uniform(0.33, 0.9, batch), 1.0),
        "blur": np.where(blur > 0.3, blur, 0.0),
        "noise": np.maximum(rng.uniform(-strength.noise, strength.noise, batch), 0.0),
        "noise_at": rng.integers(0, _NOISE, (batch, 2)),
        "compress": _often(strength.compression, batch, rng),
        "compress_scale": np.where(quality < 50, 5000 / quality, 200 - 2.0 * quality),
    }


def _often(share: float, batch: int, rng: np.random.Generator) -> np.ndarray:
    """1 with probability `share`, else 0."""
    return (rng.random(batch) < share).astype(np.float32)


def changed(films: Any, labels: Any, chosen: Any, drawn: Arrays, bank: Arrays, outlines: int) -> tuple[Any, Any]:
    """A batch of augmented films.

    Args:
        films: `(films, height, width)` uint8.
        labels: `(films, height, width, planes)` uint8 of 0, 1 and 127; planes after the outlines are probabilities.
        chosen: `(batch,)` int32 indices of the films.
        drawn: from `changes`.
        bank: from `banks`.
        outlines: number of planes that are outlines.

    Returns:
        `(batch, height, width)` float32 in [0, 1], in steps of 1/255, and labels `(batch, height, width, planes)`.
    """
    x, y = _moved(ops.take(films, chosen, axis=0), ops.take(labels, chosen, axis=0), drawn)
    x = _whitened(x, y[..., :outlines], drawn, bank["noise"])
    tubes = ops.cast(ops.take(bank["tubes"], drawn["tubes_bank"], axis=0), "float32") * _wide(drawn["tubes"])
    x = x * (1 - tubes) + _wide(drawn["tubes_towards"]) * tubes
    x = _exposed(x, drawn)
    x = _equalised(x, drawn)
    text = ops.cast(ops.take(bank["texts"], drawn["text_bank"], axis=0), "float32")
    x = ops.maximum(x, text * _wide(drawn["text"]))
    x = _coarsened(x, drawn["resolution"])
    x = _blurred(x, drawn["blur"], _BLUR_REACH)
    x = x + _crops(bank["noise"], drawn["noise_at"], x.shape[1], x.shape[2]) * _wide(drawn["noise"])
    x = _compressed(x, drawn)
    x = _framed(x, drawn)
    x = ops.where(_wide(drawn["invert"]) > 0, 1 - x, x)
    return ops.round(ops.clip(x, 0, 1) * 255) / 255, y


def _moved(films: Any, labels: Any, drawn: Arrays) -> tuple[Any, Any]:
    """Move films by linear and labels by nearest interpolation, black and 0 beyond the edge of the film."""
    batch, height, width = films.shape
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    down, across = (_enlarging(5, side, cv2.INTER_CUBIC) for side in (height, width))
    bent = ops.einsum("yt,bats,xs->bayx", down, drawn["bent"], across)
    back, origin = drawn["back"][..., None, None], drawn["origin"][..., None, None]
    at = back[:, :, 0] * columns + back[:, :, 1] * rows + origin + bent
    x, y = at[:, 0], at[:, 1]
    flat = ops.reshape(ops.cast(films, "float32") / 255, (batch, height * width))
    left, top = ops.floor(x), ops.floor(y)
    moved = 0.0
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + dx, top + dy
        share = (1 - ops.abs(x - column)) * (1 - ops.abs(y - row))
        moved = moved + share * ops.where(
            _within(column, row, height, width), _taken(flat, column, row, width, height), 0
        )
    column, row = ops.round(x), ops.round(y)
    planes = ops.reshape(labels, (batch, height * width, labels.shape[3]))
    index = _index(column, row, width, height)
    found = ops.take_along_axis(planes, ops.broadcast_to(index[..., None], planes.shape), axis=1)
    found = ops.reshape(found, labels.shape)
    known = ops.any(ops.not_equal(planes, IGNORE), axis=1)[:, None, None, :]
    beyond = ops.logical_not(_within(column, row, height, width))[..., None]
    return moved, ops.where(ops.logical_and(beyond, known), ops.zeros_like(found), found)


def _within(column: Any, row: Any, height: int, width: int) -> Any:
    inside = ops.logical_and(column >= 0, column <= width - 1)
    return ops.logical_and(inside, ops.logical_and(row >= 0, row <= height - 1))


def _index(column: Any, row: Any, width: int, height: int) -> Any:
    column, row = ops.clip(column, 0, width - 1), ops.clip(row, 0, height - 1)
    index = ops.cast(row, "int32") * width + ops.cast(column, "int32")
    return ops.reshape(index, (index.shape[0], height * width))


def _taken(flat: Any, column: Any, row: Any, width: int, height: int) -> Any:
    found = ops.take_along_axis(flat, _index(column, row, width, height), axis=1)
    return ops.reshape(found, (flat.shape[0], height, width))


def _whitened(films: Any, outlines: Any, drawn: Arrays, noise: Any) -> Any:
    """Whiten part of an outlined structure towards soft tissue, on a coarse grid and therefore softly."""
    batch, height, width, planes = outlines.shape
    inside = ops.cast(ops.equal(outlines, 1), "float32")
    there = ops.cast(ops.any(inside > 0, axis=(1, 2)), "float32")
    plane = ops.argmax(drawn["opacity_plane"] * there, axis=1)
    inside = ops.sum(inside * ops.one_hot(plane, planes)[:, None, None, :], axis=-1)
    rows, columns = height // _COARSE, width // _COARSE
    small = ops.mean(ops.reshape(inside, (batch, rows, _COARSE, columns, _COARSE)), axis=(2, 4))
    row = ops.broadcast_to(np.arange(rows, dtype=np.float32)[:, None], (batch, rows, columns))
    column = ops.broadcast_to(np.arange(columns, dtype=np.float32), (batch, rows, columns))
    lit = small > 0.5
    lowest, highest = ops.max(ops.where(lit, row, 0.0), (1, 2)), ops.min(ops.where(lit, row, float(rows)), (1, 2))
    level = lowest - drawn["fluid_level"] * (lowest - highest)
    fluid = ops.cast(row >= _wide(level), "float32")
    extent = ops.sqrt(ops.sum(small, axis=(1, 2)))
    patches = ops.zeros_like(small)
    for k in range(_PATCHES):
        chance = ops.where(lit, ops.abs(_crops(noise, drawn["patch_at"][:, k], rows, columns)), 0.0)
        at = ops.argmax(ops.reshape(chance, (batch, rows * columns)), axis=1)
        dx = column - _wide(ops.cast(at % columns, "float32"))
        dy = row - _wide(ops.cast(at // columns, "float32"))
        cos, sin = _wide(ops.cos(drawn["patch_turn"][:, k])), _wide(ops.sin(drawn["patch_turn"][:, k]))
        axes = drawn["patch_axes"][:, k] * extent[:, None] + 1 / _COARSE
        along, over = (dx * cos + dy * sin) / _wide(axes[:, 0]), (dy * cos - dx * sin) / _wide(axes[:, 1])
        ellipse = ops.cast(along**2 + over**2 <= 1, "float32") * _wide(ops.cast(drawn["patches"][:, k], "float32"))
        patches = ops.maximum(patches, ellipse)
    changed_part = ops.where(_wide(drawn["fluid"]) > 0, fluid, patches) * small
    softness = ops.maximum(1.0, 0.02 * max(height, width) * drawn["opacity_softness"]) / _COARSE
    soft = _blurred(changed_part, softness, _SOFT_REACH)
    down, across = (_enlarging(n, side, cv2.INTER_LINEAR) for n, side in ((rows, height), (columns, width)))
    weight = ops.einsum("yt,bts,xs->byx", down, soft, across) * _wide(drawn["opacity"])
    return films * (1 - weight) + ops.maximum(films, _wide(_soft_tissue(films))) * weight


def _soft_tissue(films: Any) -> Any:
    """Approximate grey of dense soft tissue, `(batch,)`: the same quantile of non-black pixels as on the host."""
    some = films[:, ::7, ::7]
    ordered = ops.sort(ops.reshape(some, (some.shape[0], -1)), axis=1)
    count = ordered.shape[1]
    black = ops.sum(ops.cast(ordered <= 0, "float32"), axis=1)
    at = black + operations.WHITE_QUANTILE * ops.maximum(count - 1 - black, 0.0)
    return ops.take_along_axis(ordered, ops.cast(ops.clip(at, 0, count - 1), "int32")[:, None], axis=1)[:, 0]


def _exposed(films: Any, drawn: Arrays) -> Any:
    x = ops.clip(films, 1e-6, 1) ** _wide(drawn["gamma"])
    x = ops.clip((x - 0.5) * _wide(drawn["contrast"]) + 0.5 + _wide(drawn["brightness"]), 0, 1)
    heights, steps = drawn["tone"], drawn["tone"].shape[1] - 1
    x = sum(_wide(heights[:, k + 1] - heights[:, k]) * ops.clip(x * steps - k, 0, 1) for k in range(steps))
    down, across = (_enlarging(3, side, cv2.INTER_CUBIC) for side in films.shape[1:])
    field = ops.einsum("yt,bts,xs->byx", down, drawn["shade"], across)
    return ops.clip(x * (1 + field) + field * 0.3, 0, 1)


def _equalised(films: Any, drawn: Arrays) -> Any:
    """Equalise by tiles with limited contrast (CLAHE, Zuiderveld 1994), as a whole, or in between."""
    batch, height, width = films.shape
    down, across = (_enlarging(_TILES, side, cv2.INTER_LINEAR) for side in (height, width))
    tiled = ops.reshape(films, (batch, _TILES, height // _TILES, _TILES, width // _TILES))
    below = [ops.mean(ops.cast(tiled < k / _LEVELS, "float32"), axis=(2, 4)) for k in range(1, _LEVELS)]
    cumulated = ops.stack([ops.zeros_like(below[0]), *below, ops.ones_like(below[0])], axis=-1)
    share = cumulated[..., 1:] - cumulated[..., :-1]
    limited = ops.minimum(share, _wide(drawn["equalise_clip"], 3) / _LEVELS)
    limited = limited + (1 - ops.sum(limited, axis=-1, keepdims=True)) / _LEVELS
    whole = ops.mean(share, axis=(1, 2), keepdims=True)
    mixed = limited + (whole - limited) * _wide(drawn["equalise_whole"], 3)
    flat = 0.0
    for k in range(_LEVELS):
        rise = ops.einsum("yt,bts,xs->byx", down, mixed[..., k], across)
        flat = flat + rise * ops.clip(films * _LEVELS - k, 0, 1)
    return films + (flat - films) * _wide(drawn["equalise"])


def _coarsened(films: Any, share: Any) -> Any:
    """Sample each film at `share` of its rows and columns, and enlarge it again."""
    x = _blurred(films, ops.where(share < 1, 0.35 / share, 0.0), _BLUR_REACH)
    for axis in (1, 2):
        side = films.shape[axis]
        places = np.arange(side, dtype=np.float32)
        at = (places + 0.5) * share[:, None] - 0.5
        lower = ops.floor(at)
        part = at - lower
        ends = []
        for step in (0, 1):
            place = ops.clip(ops.round((lower + step + 0.5) / share[:, None] - 0.5), 0, side - 1)
            index = ops.cast(place, "int32")
            index = index[:, :, None] if axis == 1 else index[:, None, :]
            ends.append(ops.take_along_axis(x, ops.broadcast_to(index, x.shape), axis=axis))
        part = part[:, :, None] if axis == 1 else part[:, None, :]
        x = ends[0] * (1 - part) + ends[1] * part
    return ops.where(_wide(share) < 1, x, films)


def _blurred(films: Any, deviation: Any, reach: int) -> Any:
    """Blur each film by a Gaussian of its own standard deviation in pixels; 0 leaves it as it is."""
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    kernel = ops.exp(-(steps**2) / (2 * ops.maximum(deviation, 1e-3)[:, None] ** 2))
    kernel = kernel / ops.sum(kernel, axis=1, keepdims=True)
    x = films
    for axis in (1, 2):
        side = x.shape[axis]
        room = [(0, 0), (0, 0), (0, 0)]
        room[axis] = (reach, reach)
        padded = ops.pad(x, room, mode="reflect")
        parts = (padded[:, k : k + side] if axis == 1 else padded[:, :, k : k + side] for k in range(2 * reach + 1))
        x = sum(_wide(kernel[:, k]) * part for k, part in enumerate(parts))
    return x


def _compressed(films: Any, drawn: Arrays) -> Any:
    """Lose what JPEG loses, by rounding the coefficients of its blocks."""
    batch, height, width = films.shape
    wave = _cosines()
    step = ops.clip(ops.floor((_LUMINANCE * _wide(ops.floor(drawn["compress_scale"])) + 50) / 100), 1, 255)
    blocks = ops.reshape(ops.clip(films, 0, 1) * 255 - 128, (batch, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK))
    waves = ops.einsum("ui,byixj,vj->byuxv", wave, blocks, wave)
    step = step[:, None, :, None, :]
    again = ops.einsum("ui,byuxv,vj->byixj", wave, ops.round(waves / step) * step, wave)
    found = (ops.reshape(again, films.shape) + 128) / 255
    return ops.where(_wide(drawn["compress"]) > 0, found, films)


def _cosines() -> np.ndarray:
    """The orthonormal cosine transform of a block's rows (T.81, A.3.3)."""
    place, wave = np.arange(_BLOCK), np.arange(_BLOCK)[:, None]
    size = np.sqrt(np.where(wave == 0, 1, 2) / _BLOCK)
    return np.asarray(size * np.cos((2 * place + 1) * wave * np.pi / (2 * _BLOCK)), np.float32)


def _framed(films: Any, drawn: Arrays) -> Any:
    height, width = films.shape[1:]
    top, bottom, left, right = (_wide(drawn["frame"][:, k]) for k in range(4))
    row, column = np.arange(height, dtype=np.int32)[:, None], np.arange(width, dtype=np.int32)
    across = ops.logical_or(row < top, row >= height - bottom)
    along = ops.logical_or(column < left, column >= width - right)
    return ops.where(ops.logical_or(across, along), _wide(drawn["frame_grey"]), films)


def _crops(bank: Any, at: Any, height: int, width: int) -> Any:
    """For each film, a crop of the bank that starts at a row and a column and wraps around the edges."""
    rows = (at[:, :1] + np.arange(height, dtype=np.int32)) % bank.shape[0]
    columns = (at[:, 1:] + np.arange(width, dtype=np.int32)) % bank.shape[1]
    return ops.take(ops.reshape(bank, (-1,)), rows[:, :, None] * bank.shape[1] + columns[:, None, :], axis=0)


def _enlarging(count: int, side: int, interpolation: int) -> np.ndarray:
    """OpenCV's interpolation as a matrix `(side, count)`."""
    rows = cv2.resize(np.eye(count, dtype=np.float32), (count, side), interpolation=interpolation)
    return np.ascontiguousarray(rows, np.float32)


def _wide(values: Any, more: int = 2) -> Any:
    """One value per film, with axes added to broadcast over films."""
    return ops.reshape(values, (*values.shape, *[1] * more))


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile the function with the backend, its last argument a constant."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function, static_argnums=5)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    return function
