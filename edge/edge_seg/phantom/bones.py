"""Ribs, clavicles, shoulder blades, spine, and the vessels of the lungs, as curves in film units."""

from __future__ import annotations

import numpy as np

from edge_seg.phantom.anatomy import Anatomy
from edge_seg.phantom.canvas import Canvas

Curves = list[tuple[np.ndarray, float, float]]

_POSTERIOR_RIBS = 10
_ANTERIOR_RIBS = 6


def skeleton(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Attenuation by bone, `(height, width)` float32: cortex denser than marrow."""
    picture = np.zeros(canvas.shape, np.float32)
    for curves, width, strength in (
        (_posterior_ribs(anatomy), 0.021, 0.135),
        (_anterior_ribs(anatomy), 0.024, 0.075),
        (_clavicles(anatomy), 0.024, 0.17),
    ):
        outer = canvas.blur(canvas.lines([(c, width, 1.0) for c in curves]), 0.0012)
        inner = canvas.blur(canvas.lines([(c, width * 0.62, 1.0) for c in curves]), 0.0016)
        picture += np.float32(strength) * (outer - np.float32(0.45) * inner)
    blades = np.zeros(canvas.shape, np.float32)
    for curve in _shoulder_blades(anatomy):
        blades = np.maximum(blades, canvas.fill(curve).astype(np.float32))
    picture += np.float32(0.1) * canvas.blur(blades, 0.004)
    return picture + _spine(canvas, anatomy)


def vessels(anatomy: Anatomy, rng: np.random.Generator) -> Curves:
    """Vessels that branch from the hila into the lungs, thinner at each fork."""
    curves: Curves = []

    def grow(at: np.ndarray, angle: float, length: float, width: float) -> None:
        steps = np.linspace(0, 1, 6)
        bend = rng.normal(0, 0.35)
        angles = angle + bend * steps
        path = at + np.cumsum(np.column_stack([np.cos(angles), np.sin(angles)]) * length / 6, axis=0)
        curves.append((anatomy.place(np.vstack([at, path])), width, min(1.0, 0.25 + width * 60)))
        if width > 0.0022 and length > 0.02:
            for turn in (rng.uniform(0.2, 0.7), -rng.uniform(0.2, 0.7)):
                grow(path[-1], angles[-1] + turn, length * rng.uniform(0.65, 0.9), width * rng.uniform(0.6, 0.78))

    for side in (-1, 1):
        for direction in np.linspace(-1.25, 1.25, 7) + rng.normal(0, 0.16, 7):
            angle = direction if side > 0 else np.pi - direction
            start = np.array([side * (0.08 + rng.normal(0, 0.012)), 0.43 + 0.04 * direction + rng.normal(0, 0.012)])
            grow(start, float(angle), float(rng.uniform(0.06, 0.09)), float(rng.uniform(0.005, 0.012)))
    return curves


def _posterior_ribs(anatomy: Anatomy) -> list[np.ndarray]:
    """From the spine outwards: a little up, then down along the chest wall."""
    ribs = []
    for side in (-1, 1):
        for i in range(_POSTERIOR_RIBS):
            y = 0.13 + 0.062 * i
            reach = _wall(y + 0.06)
            t = np.linspace(0, 1, 28)
            x = 0.035 + (reach - 0.035) * np.sin(t * np.pi / 2) ** 0.9
            drop = -0.012 * np.sin(t * np.pi) + (0.045 + 0.011 * i) * t**2.6
            ribs.append(anatomy.place(np.column_stack([side * x, y + drop])))
    return ribs


def _anterior_ribs(anatomy: Anatomy) -> list[np.ndarray]:
    """From the chest wall inwards and down to the cartilage, which is not visible."""
    ribs = []
    for side in (-1, 1):
        for i in range(_ANTERIOR_RIBS):
            y = 0.205 + 0.072 * i
            reach = _wall(y)
            t = np.linspace(0, 1, 24)
            x = reach - (reach - 0.12 - 0.012 * i) * t
            sag = (0.085 + 0.012 * i) * t + 0.03 * np.sin(t * np.pi)
            ribs.append(anatomy.place(np.column_stack([side * x, y + sag])))
    return ribs


def _wall(y: float) -> float:
    """Half width of the rib cage at a height."""
    return float(np.interp(y, (0.1, 0.16, 0.25, 0.38, 0.55, 0.75, 0.95), (0.15, 0.235, 0.3, 0.345, 0.38, 0.4, 0.405)))


def _clavicles(anatomy: Anatomy) -> list[np.ndarray]:
    t = np.linspace(0, 1, 24)
    curves = []
    for side in (-1, 1):
        x = 0.035 + 0.33 * t
        y = 0.2 - 0.1 * t + 0.018 * np.sin(t * 2 * np.pi)
        curves.append(anatomy.place(np.column_stack([side * x, y])))
    return curves


def _shoulder_blades(anatomy: Anatomy) -> list[np.ndarray]:
    outline = np.array(
        [(0.335, 0.13), (0.43, 0.15), (0.44, 0.2), (0.39, 0.3), (0.355, 0.41), (0.335, 0.41), (0.33, 0.28)]
    )
    return [anatomy.place(outline * (side, 1.0)) for side in (-1, 1)]


def _spine(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Vertebral bodies: a column with darker discs between them, and a pair of pedicles on each."""
    column = canvas.blur(canvas.lines([(anatomy.place(((0.0, -0.1), (0.0, 1.2))), 0.062, 1.0)]), 0.003)
    discs: Curves = []
    pedicles: Curves = []
    for i in range(26):
        y = -0.04 + 0.047 * i
        discs.append((anatomy.place(((-0.03, y), (0.03, y))), 0.008, 1.0))
        for side in (-1, 1):
            pedicles.append((anatomy.place(((side * 0.019, y + 0.021), (side * 0.02, y + 0.027))), 0.008, 1.0))
    picture = np.float32(0.10) * column - np.float32(0.055) * canvas.blur(canvas.lines(discs), 0.002)
    return picture + np.float32(0.05) * canvas.blur(canvas.lines(pedicles), 0.0016)
