"""Synthetic contrast-enhanced T1-weighted slices of heads with a tumour, and the tumour's exact mask.

They are as hard as real ones in what matters for trying out training: the brightest pixels are scalp fat and vessels,
tumours have three kinds of contrast and position, and the slices of one patient resemble each other. All slices are
axial; the anatomy is invented, and nothing learned on them applies to a patient.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from edge_seg.phantom.canvas import Canvas

SIZE = 512
"""Pixels a side, as in figshare 1512427."""

MENINGIOMA, GLIOMA, PITUITARY = 1, 2, 3

# T1-weighted signal relative to white matter.
_AIR, _BONE, _MARROW, _FAT, _FLUID, _GREY, _WHITE, _VESSEL = 0.0, 0.12, 0.75, 1.6, 0.28, 0.66, 1.0, 1.55


@dataclass(frozen=True)
class BrainSlice:
    """One slice and the mask it was drawn from.

    Attributes:
        image: int16 `(512, 512)`, 0 in air.
        mask: bool `(512, 512)`, of the tumour, including necrosis but not oedema.
        border: of the mask, `(points, 2)` float64 of x and y in pixels.
        kind: `MENINGIOMA`, `GLIOMA` or `PITUITARY`.
    """

    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    border: np.ndarray = field(repr=False)
    kind: int


@dataclass(frozen=True)
class _Patient:
    """What the slices of one patient share; lengths in film units, from the middle of the upper edge."""

    kind: int
    centre: np.ndarray
    half: np.ndarray
    turn: float
    ventricles: float
    place: np.ndarray
    radius: float
    ragged: float
    contrast: float
    core: float
    gain: float
    seed: tuple[int, int]


def brain_slice(patient: int, level: float = 0.0, *, seed: int = 0) -> BrainSlice:
    """A slice through one patient's tumour. The same arguments give the same slice.

    Args:
        patient: selects the head and its tumour.
        level: height of the slice above the tumour's centre, from -1 to 1 in units of its radius.
        seed: selects the population of patients.
    """
    drawn = _draw_patient(patient, seed)
    rng = np.random.default_rng((*drawn.seed, 2, round((level + 1) * 1000)))
    canvas = Canvas(SIZE, SIZE)
    head = drawn.half * (1 - 0.05 * abs(level) - 0.02 * level)
    wobble = _harmonics(np.random.default_rng((*drawn.seed, 3)), 0.012)
    outlines = [drawn.centre + _turned(_outline(head * s, wobble), drawn.turn) for s in (1.0, 0.935, 0.87, 0.85)]
    skin, table, inner, brain = (canvas.fill(outline) for outline in outlines)
    image = _skull(canvas, skin, table, inner, np.random.default_rng((*drawn.seed, 4)))
    image = np.where(inner, _FLUID, image)
    image = np.where(brain, _brain(canvas, drawn, brain, head, level), image)
    image = np.maximum(image, _vessels(canvas, drawn, head) * inner)
    border = _tumour_border(drawn, level, rng)
    mask = canvas.fill(border) & inner
    image = _with_tumour(canvas, drawn, image, mask, inner, rng)
    return BrainSlice(_acquired(canvas, image, drawn.gain, rng), mask, canvas.points(border) / 2**8, drawn.kind)


def _draw_patient(patient: int, seed: int) -> _Patient:
    rng = np.random.default_rng((seed, patient, 1))
    # In turn, so that a small set has all three.
    kind = (MENINGIOMA, GLIOMA, PITUITARY)[patient % 3]
    half = np.array([rng.uniform(0.33, 0.38), rng.uniform(0.40, 0.46)])
    angle = rng.uniform(0, 2 * np.pi)
    towards = np.array([np.cos(angle), np.sin(angle)])
    centre = np.array([rng.uniform(-0.02, 0.02), rng.uniform(0.48, 0.52)])
    radius = {
        MENINGIOMA: rng.uniform(0.06, 0.10),
        GLIOMA: rng.uniform(0.075, 0.125),
        PITUITARY: rng.uniform(0.045, 0.065),
    }
    if kind == MENINGIOMA:
        # It grows on the dura.
        place = towards * (half * 0.85 - radius[kind] * 0.75)
    elif kind == GLIOMA:
        place = towards * half * rng.uniform(0.3, 0.52)
    else:
        place = np.array([rng.uniform(-0.02, 0.02), -half[1] * rng.uniform(0.18, 0.34)])
    return _Patient(
        kind=kind,
        centre=centre,
        half=half,
        turn=float(rng.uniform(-0.15, 0.15)),
        ventricles=float(rng.uniform(0.7, 1.3)),
        place=place,
        radius=float(radius[kind]),
        ragged={MENINGIOMA: 0.07, GLIOMA: 0.16, PITUITARY: 0.05}[kind],
        contrast=float(rng.uniform(1.3, 1.6)),
        core=float(rng.uniform(0.3, 0.6)),
        gain=float(rng.uniform(300, 1200)),
        seed=(seed, patient),
    )


def _harmonics(rng: np.random.Generator, size: float) -> np.ndarray:
    """Amplitude and phase of an outline's second to seventh harmonics; amplitudes fall with the order."""
    orders = np.arange(2, 8)
    return np.stack([rng.normal(0, size, 6) * 2 / orders, rng.uniform(0, 2 * np.pi, 6)])


def _outline(half: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    """A wavy ellipse, `(180, 2)`."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    waves = harmonics[0][:, None] * np.cos(np.arange(2, 8)[:, None] * angle + harmonics[1][:, None])
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * half * (1 + waves.sum(axis=0))[:, None]


def _turned(points: np.ndarray, turn: float) -> np.ndarray:
    return points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def _clouds(canvas: Canvas, rng: np.random.Generator, radius: float) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1."""
    noise = canvas.blur(rng.standard_normal(canvas.shape, np.float32), radius)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)


def _skull(
    canvas: Canvas, skin: np.ndarray, table: np.ndarray, inner: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Bright fat, dark bone, and marrow where the bone is thick."""
    patches = _clouds(canvas, rng, 0.03)
    image = np.where(skin, _FAT * (1 + 0.12 * patches), _AIR)
    marrow = canvas.blur((table & ~inner).astype(np.float32), 0.004) > 0.72
    bone = np.where(marrow & (patches > -0.4), _MARROW, _BONE)
    return np.where(table & ~inner, bone, image).astype(np.float32)


def _brain(canvas: Canvas, drawn: _Patient, brain: np.ndarray, head: np.ndarray, level: float) -> np.ndarray:
    """Cortex with its furrows, white matter, ventricles, and deep grey matter beside them."""
    rng = np.random.default_rng((*drawn.seed, 5))
    deep = canvas.depth(brain, 0.16)
    folds = _clouds(canvas, rng, 0.009)
    cortex = np.clip((0.8 - deep + 0.16 * folds) / 0.12, 0, 1)
    furrows = (np.abs(folds) < 0.15) & (deep < 0.86)
    image = _WHITE + (_GREY - _WHITE) * cortex
    image = np.where(furrows, _FLUID * 1.4, image)
    for side in (-1, 1):
        for place, half, value in (
            ((side * 0.065, -0.005), (0.03, 0.05), _GREY * 1.05),
            ((side * 0.034, -0.045), (0.016, 0.052), _FLUID),
            ((side * 0.044, 0.062), (0.015, 0.045), _FLUID),
        ):
            size = np.array(half) * (drawn.ventricles if value == _FLUID else 1) * (1 - 0.2 * level)
            lean = side * (0.25 if place[1] < 0 else -0.3)
            body = np.array(place) + _turned(_outline(size, _harmonics(rng, 0.05)), lean)
            image = np.where(canvas.fill(drawn.centre + _turned(body, drawn.turn)), value, image)
    falx = drawn.centre + _turned(np.array([[0.0, -head[1] * 0.84], [0.0, head[1] * 0.84]]), drawn.turn)
    gap = canvas.lines([(falx, 0.006, 1.0)]) * (deep < 0.97)
    return image + (_FLUID * 1.3 - image) * gap * 0.8


def _vessels(canvas: Canvas, drawn: _Patient, head: np.ndarray) -> np.ndarray:
    """The sagittal sinus, arteries in cross-section and veins along the furrows: as bright as any tumour."""
    rng = np.random.default_rng((*drawn.seed, 6))
    image = np.zeros(canvas.shape, np.float32)
    sinus = np.array([[-0.014, head[1] * 0.84], [0.014, head[1] * 0.84], [0.0, head[1] * 0.76]])
    image[canvas.fill(drawn.centre + _turned(sinus, drawn.turn))] = _VESSEL
    curves = []
    for _ in range(int(rng.integers(9, 16))):
        angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.8)
        start = np.array([np.cos(angle), np.sin(angle)]) * head * depth
        steps = rng.normal(0, 0.016, (int(rng.integers(1, 4)), 2))
        path = drawn.centre + _turned(np.cumsum(np.vstack([start, steps]), axis=0), drawn.turn)
        curves.append((path, float(rng.uniform(0.004, 0.010)), float(rng.uniform(0.8, 1.0))))
    return np.maximum(image, canvas.lines(curves) * _VESSEL)


def _tumour_border(drawn: _Patient, level: float, rng: np.random.Generator) -> np.ndarray:
    shape = _harmonics(np.random.default_rng((*drawn.seed, 7)), drawn.ragged)
    shape[0] += rng.normal(0, drawn.ragged / 6, 6)
    # The cross-section of a ball, except that a tumour ends less abruptly.
    radius = drawn.radius * np.sqrt(1 - 0.7 * min(abs(level), 1.0) ** 2)
    stretch = np.array([1.0, 0.8]) if drawn.kind == PITUITARY else np.array([1.0, 1.0])
    place = drawn.place + rng.normal(0, 0.004, 2)
    return drawn.centre + _turned(place + _outline(radius * stretch, shape), drawn.turn)


def _with_tumour(
    canvas: Canvas, drawn: _Patient, image: np.ndarray, mask: np.ndarray, inner: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    grain = _clouds(canvas, rng, 0.008)
    inside = drawn.contrast * (1 + 0.05 * grain)
    if drawn.kind == GLIOMA:
        # A bright ragged rim around dead tissue, and water in the brain around both.
        around = canvas.blur(mask.astype(np.float32), 0.03) * (1 + 0.35 * _clouds(canvas, rng, 0.025))
        oedema = np.clip((around - 0.10) / 0.25, 0, 1) * inner
        image = image * (1 - 0.42 * oedema)
        rim = 0.35 + 0.2 * np.tanh(_clouds(canvas, rng, 0.02))
        dead = canvas.depth(mask, drawn.radius) > 2 * rim
        inside = np.where(dead, drawn.core * (1 + 0.15 * grain), inside)
    soft = canvas.blur(mask.astype(np.float32), 0.0016)
    return image + (inside - image) * soft


def _acquired(canvas: Canvas, image: np.ndarray, gain: float, rng: np.random.Generator) -> np.ndarray:
    """The coil's uneven sensitivity, the scanner's resolution and the noise of a magnitude image (Rician)."""
    shade = 1 + 0.10 * _clouds(canvas, rng, 0.22)
    image = canvas.blur(image.astype(np.float32), 0.0016) * shade
    real, imaginary = (rng.standard_normal(canvas.shape, np.float32) * np.float32(0.035) for _ in range(2))
    return np.rint(np.hypot(image + real, imaginary) * gain).astype(np.int16)
