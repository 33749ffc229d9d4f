"""Corruptions of films as in the field, in known doses: the same film and seed give the same corrupted film.

They measure a model's robustness and calibrate its trust score. Training's augmentation is different: it draws mild
doses of everything at once. Named corruptions in graded severities are the idea of ImageNet-C (Hendrycks & Dietterich
2019).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from edge_seg.film import Film
from edge_seg.pixels import IGNORE, to_grey8

SEVERITIES = (1, 2, 3, 4, 5)

Planes = dict[str, np.ndarray]

_OnOutline = Callable[[np.ndarray], np.ndarray]
_Changed = tuple[np.ndarray, _OnOutline]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        name: for tables and tests.
        doses: one for each severity, in the unit the title names.
        title: description for people.
        apply: maps `(grey float32 in [0, 1], dose, chance)` to the changed picture and a function for its outlines.
    """

    name: str
    doses: tuple[float, float, float, float, float]
    title: str
    apply: Callable[[np.ndarray, float, np.random.Generator], _Changed]

    def __call__(self, film: Film, outlines: Planes, severity: int, seed: int = 0) -> tuple[Film, Planes]:
        """The film, as 8-bit grey, and its outlines after the corruption.

        Args:
            film: any.
            outlines: `(film height, film width)` uint8 planes.
            severity: one of `SEVERITIES`.
            seed: of the random choices.
        """
        key = hashlib.sha256(f"{self.name} {severity} {seed} {film.name}".encode()).digest()
        chance = np.random.default_rng(int.from_bytes(key[:8], "big"))
        picture = to_grey8(film).astype(np.float32) / 255
        changed, on_outline = self.apply(picture, self.doses[severity - 1], chance)
        pixels = np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8)
        return replace(film, pixels=pixels, window=None, checksum=None), {n: on_outline(p) for n, p in outlines.items()}


def _unmoved(outline: np.ndarray) -> np.ndarray:
    return outline


def _moved(plane: np.ndarray, matrix: np.ndarray, way: int) -> np.ndarray:
    return cv2.warpPerspective(plane, matrix, (plane.shape[1], plane.shape[0]), flags=way, borderValue=0)


def _rotation(picture: np.ndarray, degrees: float, chance: np.random.Generator) -> _Changed:
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees * chance.choice([-1, 1]), 1.0)
    matrix = np.vstack([turn, [0, 0, 1]])
    return _moved(picture, matrix, cv2.INTER_LINEAR), lambda plane: _moved(plane, matrix, cv2.INTER_NEAREST)


def _keystone(picture: np.ndarray, share: float, chance: np.random.Generator) -> _Changed:
    """Photographed from the side: corners drawn in, light falling off, a screen's fine lines."""
    height, width = picture.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inward = np.sign(np.array([width, height]) / 2 - corners)
    drawn = corners + inward * chance.uniform(0.2, 1, (4, 1)) * share * np.array([width, height])
    matrix = cv2.getPerspectiveTransform(corners, drawn.astype(np.float32))
    moved = _moved(picture, matrix, cv2.INTER_LINEAR)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 1 - share * 3 * np.hypot(
        columns / width - chance.uniform(0.3, 0.7), rows / height - chance.uniform(0.3, 0.7)
    )
    lines = 1 + 0.03 * np.sin(2 * np.pi * (columns * chance.uniform(0.1, 0.3) + rows * chance.uniform(0.1, 0.3)))
    seen = (moved * 0.85 + 0.06) * light * lines.astype(np.float32)
    return seen, lambda plane: _moved(plane, matrix, cv2.INTER_NEAREST)


def _gamma(picture: np.ndarray, exponent: float, chance: np.random.Generator) -> _Changed:
    return picture ** np.float32(exponent if chance.random() < 0.5 else 1 / exponent), _unmoved


def _contrast(picture: np.ndarray, share: float, chance: np.random.Generator) -> _Changed:
    return picture * np.float32(share) + np.float32(chance.uniform(0, 1 - share)), _unmoved


def _noise(picture: np.ndarray, sigma: float, chance: np.random.Generator) -> _Changed:
    """Quantum noise: its variance grows with the photons, which blacken the film."""
    photons = 1 - 0.7 * picture
    return picture + chance.standard_normal(picture.shape, np.float32) * np.float32(sigma) * np.sqrt(photons), _unmoved


def _blur(picture: np.ndarray, share: float, chance: np.random.Generator) -> _Changed:
    return cv2.GaussianBlur(picture, (0, 0), share * max(picture.shape)), _unmoved


def _low_resolution(picture: np.ndarray, side: float, chance: np.random.Generator) -> _Changed:
    height, width = picture.shape
    scale = min(1.0, side / max(height, width))
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), _unmoved


def _compression(picture: np.ndarray, quality: float, chance: np.random.Generator) -> _Changed:
    data = cv2.imencode(".jpg", np.rint(picture * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return decoded.astype(np.float32) / 255, _unmoved


def _collimation(picture: np.ndarray, share: float, chance: np.random.Generator) -> _Changed:
    """Shutters over the edges, up to a share of the side on each; outlines ignore what is behind them."""
    height, width = picture.shape
    top, bottom, left, right = chance.uniform(0.3, 1, 4) * share
    there = np.zeros(picture.shape, bool)
    rows = slice(int(top * height), height - int(bottom * height))
    columns = slice(int(left * width), width - int(right * width))
    there[rows, columns] = True
    return picture * there, lambda plane: np.where(there, plane, np.uint8(IGNORE))


def _text(picture: np.ndarray, count: float, chance: np.random.Generator) -> _Changed:
    changed = picture.copy()
    height, width = picture.shape
    for _ in range(int(count)):
        words = "".join(chance.choice(list("ABCDEFGHIKLMNOPRSTUVWXYZ 0123456789"), int(chance.integers(3, 16))))
        at = int(chance.uniform(0, 0.8) * width), int(chance.uniform(0.05, 1) * height)
        thickness = max(1, round(width / 300))
        letters = np.zeros(picture.shape, np.uint8)
        cv2.putText(letters, words, at, cv2.FONT_HERSHEY_SIMPLEX, width / 700, 255, thickness, cv2.LINE_AA)
        np.maximum(changed, letters.astype(np.float32) / 255, out=changed)
    return changed, _unmoved


CORRUPTIONS = (
    Corruption("rotation", (5, 10, 15, 25, 40), "turned by degrees", _rotation),
    Corruption("keystone", (0.03, 0.06, 0.1, 0.16, 0.24), "seen from aside, corners drawn in", _keystone),
    Corruption("gamma", (1.4, 1.9, 2.6, 3.6, 5), "exponent of the grey values, or one over it", _gamma),
    Corruption("contrast", (0.6, 0.4, 0.25, 0.12, 0.05), "share of the grey values left", _contrast),
    Corruption("noise", (0.05, 0.1, 0.2, 0.4, 0.8), "quantum noise, share of the range", _noise),
    Corruption("blur", (0.003, 0.006, 0.012, 0.02, 0.035), "standard deviation, share of the longer side", _blur),
    Corruption("low resolution", (160, 96, 64, 40, 24), "pixels left on the longer side", _low_resolution),
    Corruption("compression", (30, 12, 6, 3, 1), "JPEG quality", _compression),
    Corruption("collimation", (0.05, 0.1, 0.15, 0.22, 0.3), "edges covered by up to a share of the side", _collimation),
    Corruption("text", (4, 10, 25, 60, 150), "lines of letters over the film", _text),
)  # fmt: skip
"""In the order of the tables."""
