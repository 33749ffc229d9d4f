"""The outlines of a chest as smooth closed curves, different for each seed and moving with the breath.

Coordinates are `(x, y)` in units of the film's shorter side, from the middle of the film's upper edge: the
picture's left, and so the patient's right, is negative x. Proportions are those of postero-anterior films of adults in
inspiration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CURVE_STEPS = 24
_BREATH = 0.035  # of the film: how far the diaphragm moves in a quiet deep breath

_RIGHT_LUNG = (
    (-0.130, 0.105), (-0.195, 0.120), (-0.262, 0.190), (-0.318, 0.320), (-0.355, 0.480), (-0.376, 0.640),
    (-0.392, 0.762), (-0.384, 0.772), (-0.345, 0.702), (-0.280, 0.655), (-0.205, 0.642), (-0.130, 0.662),
    (-0.072, 0.700), (-0.052, 0.688), (-0.048, 0.560), (-0.050, 0.400), (-0.054, 0.250), (-0.066, 0.150),
    (-0.095, 0.112),
)  # fmt: skip
_LEFT_LUNG = (
    (0.125, 0.108), (0.095, 0.116), (0.070, 0.158), (0.058, 0.260), (0.054, 0.400), (0.056, 0.560),
    (0.066, 0.700), (0.090, 0.722), (0.150, 0.690), (0.225, 0.672), (0.300, 0.690), (0.352, 0.735),
    (0.386, 0.800), (0.394, 0.788), (0.376, 0.650), (0.352, 0.480), (0.312, 0.310), (0.255, 0.185),
    (0.190, 0.122),
)  # fmt: skip
_HEART = (
    (-0.030, 0.262), (-0.042, 0.330), (-0.052, 0.410), (-0.078, 0.480), (-0.100, 0.560), (-0.096, 0.640),
    (-0.066, 0.695), (0.000, 0.722), (0.090, 0.728), (0.165, 0.708), (0.206, 0.662), (0.196, 0.590),
    (0.150, 0.505), (0.098, 0.435), (0.072, 0.392), (0.080, 0.345), (0.074, 0.300), (0.050, 0.276),
    (0.010, 0.258),
)  # fmt: skip
_BELOW_THE_VESSELS = slice(2, 14)  # points of the above that outline the heart alone
_BODY = (
    (-0.075, -0.10), (-0.082, 0.02), (-0.150, 0.065), (-0.300, 0.095), (-0.420, 0.150), (-0.470, 0.230),
    (-0.478, 0.330), (-0.455, 0.420), (-0.446, 0.560), (-0.448, 0.720), (-0.452, 0.900), (-0.455, 1.20),
    (0.455, 1.20), (0.452, 0.900), (0.448, 0.720), (0.446, 0.560), (0.455, 0.420), (0.478, 0.330),
    (0.470, 0.230), (0.420, 0.150), (0.300, 0.095), (0.150, 0.065), (0.082, 0.02), (0.075, -0.10),
)  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """Curves `(points, 2)` float64 in film units.

    Attributes:
        right_lung, left_lung, cardiomediastinum, heart, body: closed outlines.
        diaphragm_shift: how far the breath has moved the diaphragm down.
        lean: horizontal shift per unit of y (scoliosis, rotation).
        size: of the chest relative to the film.
    """

    right_lung: np.ndarray
    left_lung: np.ndarray
    cardiomediastinum: np.ndarray
    heart: np.ndarray
    body: np.ndarray
    diaphragm_shift: float
    lean: float
    size: float

    def place(self, points: np.ndarray | tuple[tuple[float, float], ...]) -> np.ndarray:
        """Points of the standard chest moved to their places in this chest."""
        moved = np.array(points, np.float64)
        moved = moved * self.size + (0.0, 0.5 * (1 - self.size) - 0.02)
        moved[:, 0] += self.lean * (moved[:, 1] - 0.5)
        return moved


def draw_anatomy(seed: int, phase: float) -> Anatomy:
    """The chest of one seed at one moment of its breath.

    Args:
        seed: which chest.
        phase: of the breath, in [0, 1): 0 is full inspiration, 0.5 full expiration.
    """
    rng = np.random.default_rng((seed, 1))
    size, lean = float(rng.uniform(0.93, 1.06)), float(rng.uniform(-0.04, 0.04))
    broad, tall, heart_size = rng.uniform(0.93, 1.05), rng.uniform(0.96, 1.04), rng.uniform(0.9, 1.15)
    wobble = {name: rng.normal(0, 0.004, (24, 2)) for name in ("right", "left", "heart")}
    shift = -_BREATH * (1 - np.cos(2 * np.pi * phase)) / 2
    none = np.zeros((0, 2))
    bare = Anatomy(none, none, none, none, none, float(shift), lean, size)

    def lung(points: tuple[tuple[float, float], ...], jitter: np.ndarray) -> np.ndarray:
        moved = (np.array(points) + jitter[: len(points)]) * (broad, 1.0)
        moved[:, 1] = 0.105 + (moved[:, 1] - 0.105) * tall
        # The lower half follows the diaphragm; the ribs yield a little.
        depth = np.clip((moved[:, 1] - 0.4) / 0.3, 0, 1)
        moved[:, 1] += shift * depth
        moved[:, 0] *= 1 + 0.4 * shift * depth
        return bare.place(_smooth(moved))

    heart = np.array(_HEART) + wobble["heart"][: len(_HEART)] * 0.7
    below = np.clip((heart[:, 1] - 0.42) / 0.2, 0, 1)
    heart[:, 0] *= 1 + (heart_size - 1) * below
    heart[:, 1] = heart[:, 1] * tall + shift * below * 0.8
    return Anatomy(
        lung(_RIGHT_LUNG, wobble["right"]),
        lung(_LEFT_LUNG, wobble["left"]),
        bare.place(_smooth(heart)),
        bare.place(_smooth(heart[_BELOW_THE_VESSELS])),
        bare.place(_smooth(np.array(_BODY) * (broad, 1.0))),
        float(shift),
        lean,
        size,
    )


def _smooth(points: np.ndarray) -> np.ndarray:
    """Closed uniform Catmull-Rom spline through points (Catmull and Rom 1974)."""
    before, after, next_after = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    t = np.linspace(0, 1, _CURVE_STEPS, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (before, points, after, next_after))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.reshape(-1, 2)
