"""Effects of disease, technique, detectors and screens on a film's appearance; its outlines stay where they are.

Each takes a film as `(height, width)` float32 in [0, 1] and a random generator, and returns a changed film of the same
shape and type. Each call draws a new strength.
"""

from __future__ import annotations

import cv2
import numpy as np

WHITE_QUANTILE = 0.85
"""Approximate quantile of a film's grey values at which dense soft tissue lies."""
_GREYS = 256
_STEPS = 4095  # of a tone curve between black and white


def opacities(picture: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whiten part of one outlined structure towards soft tissue: soft patches, or all below a level, like fluid.

    Args:
        picture: the film.
        labels: `(height, width, structures)` uint8 of 0, 1 and 127.
        rng: random generator.
    """
    inside = labels[:, :, int(rng.integers(labels.shape[2]))] == 1
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return picture
    changed = _fluid(inside, rows, rng) if rng.random() < 0.35 else _patches(inside, rows, columns, rng)
    softness = max(1.0, 0.02 * max(picture.shape) * float(rng.uniform(0.5, 2)))
    soft = cv2.GaussianBlur(changed, (0, 0), softness)
    strength = soft * np.float32(rng.uniform(0.3, 0.95))
    return picture * (1 - strength) + np.maximum(picture, _soft_tissue(picture)) * strength


def tone(picture: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Apply another rising exposure-to-grey curve, since each detector and its software have their own.

    The curve passes through four points between black and white, moved `amount` of the way from a straight line to
    random heights.
    """
    heights = np.sort(rng.random(4))
    places = np.linspace(0, 1, 6)
    curve = np.concatenate([[0], places[1:-1] * (1 - amount) + heights * amount, [1]])
    return _through(picture, np.interp(np.linspace(0, 1, _GREYS), places, curve))


def equalise(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Histogram equalisation, global or by tiles, mixed with the original film."""
    grey = _to_8_bit(picture)
    if rng.random() < 0.3:
        flat = cv2.equalizeHist(grey)
    else:
        tiles = int(rng.integers(2, 9))
        flat = cv2.createCLAHE(float(rng.uniform(1, 6)), (tiles, tiles)).apply(grey)
    share = np.float32(rng.uniform(0.3, 1))
    return picture * (1 - share) + flat.astype(np.float32) / 255 * share


def shade(picture: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, as on a light box or a photographed screen: up to `amount` brighter or darker, changing slowly."""
    coarse = rng.uniform(-amount, amount, (3, 3)).astype(np.float32)
    field = cv2.resize(coarse, picture.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(picture * (1 + field) + field * np.float32(0.3), 0, 1)


def coarsen(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce the resolution, to between a third and nearly all of it."""
    height, width = picture.shape
    share = float(rng.uniform(0.33, 0.9))
    small = cv2.resize(picture, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def compress(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG of quality 10 to 60."""
    quality = int(rng.integers(10, 61))
    _, data = cv2.imencode(".jpg", _to_8_bit(picture), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32) / 255


def tubes(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to four bright or dark lines across the film: tubes, leads, cables."""
    drawn = drawn_tubes(picture.shape, rng)
    towards = np.float32(rng.choice([1.0, 1.0, 0.0]))
    strength = drawn * np.float32(rng.uniform(0.2, 0.8))
    return picture * (1 - strength) + towards * strength


def drawn_tubes(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """One to four lines across a film of height and width `shape`, float32 of 0 to 1."""
    height, width = shape
    drawn = np.zeros(shape, np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        steps = rng.normal(0, 0.18, (5, 2)).cumsum(axis=0) + rng.uniform(0, 1, 2)
        t, fine = np.arange(5), np.linspace(0, 4, 40)
        x = np.interp(fine, t, steps[:, 0] * width)
        y = np.interp(fine, t, steps[:, 1] * height)
        smooth = cv2.blur(np.column_stack([x, y]).astype(np.float32), (1, 9))
        cv2.polylines(drawn, [np.rint(smooth).astype(np.int32)], False, 255, int(rng.integers(1, 3)), cv2.LINE_AA)
    return drawn.astype(np.float32) / 255


def collimate(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blacken or whiten up to 8 % at one to four edges, like the X-ray tube's shutters or a screen's frame."""
    height, width = picture.shape
    framed = picture.copy()
    value = np.float32(rng.choice([0.0, 0.0, 1.0]))
    top, bottom = (int(n) for n in rng.integers(0, int(height * 0.08) + 1, 2))
    left, right = (int(n) for n in rng.integers(0, int(width * 0.08) + 1, 2))
    framed[:top] = value
    framed[height - bottom :] = value
    framed[:, :left] = value
    framed[:, width - right :] = value
    return framed


def stamp(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Write a side marker or a few letters near an edge."""
    height, width = picture.shape
    text = "".join(rng.choice(list("RLAPSUPINE"), int(rng.integers(1, 5))))
    x = int(rng.choice([0.03, 0.8]) * width + rng.uniform(0, 0.1) * width)
    y = int(rng.uniform(0.05, 0.98) * height)
    size = float(rng.uniform(0.25, 0.8) * height / 192)
    letters = np.zeros(picture.shape, np.uint8)
    cv2.putText(letters, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA)
    return np.maximum(picture, letters * np.float32(rng.uniform(0.6, 1.0) / 255))


def _patches(inside: np.ndarray, rows: np.ndarray, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to four ellipses within the structure, as small as a nodule or as large as a lobe."""
    extent = np.sqrt(len(rows))
    patches = np.zeros(inside.shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(rows)))
        axes = rng.uniform(0.15, 0.6, 2) * extent
        turn = float(rng.uniform(0, 180))
        centre = int(columns[at]), int(rows[at])
        cv2.ellipse(patches, centre, (int(axes[0]) + 1, int(axes[1]) + 1), turn, 0, 360, 1.0, -1)
    return patches * inside


def _fluid(inside: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part of the structure below a random level, up to all of it."""
    top, bottom = int(rows.min()), int(rows.max())
    level = bottom - float(rng.uniform(0.1, 1.0)) * (bottom - top)
    below = np.arange(inside.shape[0])[:, None] >= level
    return (inside & below).astype(np.float32)


def _soft_tissue(picture: np.ndarray) -> np.float32:
    lit = picture[picture > 0]
    return np.float32(np.quantile(lit[::7], WHITE_QUANTILE)) if lit.size else np.float32(1)


def _through(picture: np.ndarray, curve: np.ndarray) -> np.ndarray:
    fine = np.interp(np.linspace(0, 1, _STEPS + 1), np.linspace(0, 1, len(curve)), curve).astype(np.float32)
    return fine[np.rint(np.clip(picture, 0, 1) * np.float32(_STEPS)).astype(np.int32)]


def _to_8_bit(picture: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
