"""The synthetic film: a projection of the anatomy onto a detector, with the outlines it was drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_seg.film import Film
from edge_seg.phantom import bones
from edge_seg.phantom.anatomy import Anatomy, draw_anatomy
from edge_seg.phantom.canvas import SUBPIXEL_BITS, Canvas
from edge_seg.structures import CHEST


@dataclass(frozen=True)
class Phantom:
    """A synthetic film and the exact masks it was drawn from.

    Attributes:
        film: uint8, or uint16 with 12 bits in use.
        masks: bool `(height, width)` of right_lung, left_lung, cardiomediastinum, heart.
    """

    film: Film
    masks: dict[str, np.ndarray] = field(repr=False)


def phantom(height: int = 1024, width: int = 1024, *, seed: int = 0, phase: float = 0.0, bits: int = 8) -> Phantom:
    """A synthetic chest film. The same arguments give the same film.

    Args:
        height, width: in pixels; the chest keeps its proportions.
        seed: selects chest, exposure, collimation and marker.
        phase: of the breath, in [0, 1): 0 is full inspiration.
        bits: 8, or 16 for a uint16 film with 12 bits in use.

    >>> sorted(phantom(128, 160).masks)
    ['cardiomediastinum', 'heart', 'left_lung', 'right_lung']
    """
    canvas, anatomy = Canvas(height, width), draw_anatomy(seed, phase)
    masks = {structure.name: canvas.fill(getattr(anatomy, structure.name)) for structure in CHEST}
    masks["heart"] &= masks["cardiomediastinum"]
    rng = np.random.default_rng((seed, 2))
    shown = _expose(canvas, _attenuation(canvas, anatomy, masks, rng), rng)
    noise = np.random.default_rng((seed, 3, round(phase * 1000)))
    # Quantum noise: its variance follows the signal at the detector, where a high signal is dark on the film.
    grain = noise.standard_normal(canvas.shape, np.float32) * np.sqrt(1.15 - shown) * np.float32(0.018)
    shown = canvas.blur(shown, 0.0008) + cv2.GaussianBlur(grain, (0, 0), 0.6)
    shown = _mark(canvas, _collimate(canvas, shown, rng), rng)
    top, dtype = (255, np.uint8) if bits == 8 else (4095, np.uint16)
    pixels = np.rint(np.clip(shown, 0, 1) * top).astype(dtype)
    return Phantom(Film(pixels, f"phantom-{seed}.png", "phantom", warnings=("synthetic film",)), masks)


def _attenuation(
    canvas: Canvas, anatomy: Anatomy, masks: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Attenuation along the beam, as thickness of soft tissue relative to a chest wall."""
    body = canvas.fill(anatomy.body)
    wall = canvas.depth(body, 0.14)
    lungs = masks["right_lung"] | masks["left_lung"]
    air = np.maximum(canvas.depth(masks["right_lung"], 0.13), canvas.depth(masks["left_lung"], 0.13))
    air = canvas.blur(air * (0.80 + 0.20 * lungs), 0.0012)
    heart = canvas.blur(canvas.depth(masks["cardiomediastinum"], 0.09), 0.0035)
    belly = _belly(canvas, anatomy, lungs)
    middle = canvas.blur(canvas.lines([(anatomy.place(((0.0, -0.1), (0.0, 1.2))), 0.105, 1.0)]), 0.012)
    picture = wall * np.float32(1.02) + belly * 0.24 * wall + middle * 0.20 * wall
    picture = picture - air * np.float32(0.86) * (1 - 0.60 * heart) * (1 - 0.6 * middle) + heart * np.float32(0.17)
    vessels = canvas.blur(canvas.lines(bones.vessels(anatomy, rng)), 0.0016) * lungs
    picture += canvas.blur(vessels, 0.001) * np.float32(0.15)
    picture += bones.skeleton(canvas, anatomy) * wall
    trachea = canvas.lines([(anatomy.place(((0.0, -0.05), (0.002, 0.2), (0.008, 0.31))), 0.036, 1.0)])
    picture -= canvas.blur(trachea, 0.004) * np.float32(0.17)
    bubble = anatomy.place(((0.15, 0.775 + anatomy.diaphragm_shift), (0.24, 0.765 + anatomy.diaphragm_shift)))
    picture -= canvas.blur(canvas.lines([(bubble, 0.075, 1.0)]), 0.012) * np.float32(rng.uniform(0.1, 0.28))
    breast = canvas.lines([(anatomy.place(((side * 0.2, 0.52), (side * 0.3, 0.54))), 0.2, 1.0) for side in (-1, 1)])
    picture += canvas.blur(breast, 0.03) * np.float32(rng.uniform(0.0, 0.1))
    # Scatter: a wide blur of everything in the beam.
    return 0.9 * picture + 0.1 * canvas.blur(picture.astype(np.float32), 0.06)


def _belly(canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray) -> np.ndarray:
    """Liver, stomach and bowel: everything below the domes of the diaphragm."""
    below = np.zeros(canvas.shape, np.float32)
    for curve in (anatomy.right_lung, anatomy.left_lung):
        columns = canvas.fill(curve)
        bottom = np.where(columns.any(axis=0), canvas.shape[0] - np.argmax(columns[::-1], axis=0), canvas.shape[0])
        below = np.maximum(below, (np.arange(canvas.shape[0])[:, None] >= bottom[None, :]).astype(np.float32))
    level = float(anatomy.place(((0.0, 0.74 + anatomy.diaphragm_shift),))[0, 1])
    start = level * canvas.unit + (canvas.shape[0] - canvas.unit) / 2
    beside = (np.arange(canvas.shape[0], dtype=np.float32)[:, None] - start) / (0.16 * canvas.unit) + 0.5
    below = np.maximum(below, np.clip(beside, 0, 1) * np.ones(canvas.shape, np.float32))
    return canvas.blur((below * ~lungs).astype(np.float32), 0.004)


def _expose(canvas: Canvas, attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Film density of a detector with a logarithmic response and the display curve of a chest protocol."""
    gain, toe = float(rng.uniform(0.95, 1.1)), float(rng.uniform(0.85, 1.15))
    shown = np.clip(attenuation * np.float32(gain / 1.68), 0, None) ** np.float32(toe)
    return (1 - np.exp(-1.1 * shown)) / np.float32(1 - np.exp(-1.1))


def _collimate(canvas: Canvas, shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black outside the shutters, which are never quite straight."""
    half = rng.uniform(0.475, 0.515, 4)
    turn = rng.uniform(-0.012, 0.012)
    half_width, half_height = canvas.shape[1] / canvas.unit, canvas.shape[0] / canvas.unit
    corners = np.array([[-half[0], -half[1]], [half[2], -half[1]], [half[2], half[3]], [-half[0], half[3]]])
    corners = corners * (half_width, half_height) @ np.array([[1, turn], [-turn, 1]]) + (0.0, 0.5)
    field = canvas.blur(canvas.fill(corners).astype(np.float32), 0.0012)
    return shown * (0.015 + 0.985 * field)


def _mark(canvas: Canvas, shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lead letters: the side marker on the patient's right, and a number."""
    letters = np.zeros(canvas.shape, np.uint8)
    x, y = rng.uniform(-0.45, -0.42), rng.uniform(0.07, 0.12)
    for text, at, size in (("R", (x, y), 1.9), (f"AP {rng.integers(10, 99)}", (0.33, 0.965), 0.9)):
        place = canvas.points(np.array([at]))[0] >> SUBPIXEL_BITS
        scale = size * canvas.unit / 1024
        thickness = max(1, round(scale * 2.4))
        cv2.putText(
            letters, text, (int(place[0]), int(place[1])), cv2.FONT_HERSHEY_DUPLEX, scale, 255, thickness, cv2.LINE_AA
        )
    return np.maximum(shown, letters.astype(np.float32) / 255 * np.float32(0.97))
