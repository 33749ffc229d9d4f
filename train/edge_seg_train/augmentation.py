"""What happens to films in the field, done to films in training.

Geometry: rotation, scale, shift, and a little stretch. Exposure: gamma, contrast, brightness, inversion. Detector:
noise, blur. Technique: collimation edges, text and markers. Disease: opacities in what is outlined, so that a lung is
outlined where it is white too. Never a left-right flip: the outputs know the patient's right from left.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from edge_seg.pixels import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """How strongly films are changed; 0 switches a change off.

    Attributes:
        rotation: most degrees either way.
        scale: most relative change of size.
        stretch: most relative change of aspect.
        shift: most shift, as a share of the side.
        gamma: most change of the exponent, as natural logarithm.
        exposure: most change of contrast and brightness, as a share of the range.
        noise: most noise, as a share of the range (standard deviation).
        blur: most blur, in pixels of the network's input (standard deviation).
        collimation, inversion, marker: how often (probability) each happens.
        opacity: the same; for lungs alone, which disease whitens while their outline stays.
    """

    rotation: float = 12.0
    scale: float = 0.18
    stretch: float = 0.1
    shift: float = 0.08
    gamma: float = 0.5
    exposure: float = 0.2
    noise: float = 0.05
    blur: float = 1.2
    collimation: float = 0.2
    inversion: float = 0.03
    marker: float = 0.2
    opacity: float = 0.0

    def __call__(self, grey: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A changed copy of one film.

        Args:
            grey: `(height, width)` uint8, as `pixels.to_input` gives it.
            labels: `(height, width, structures)` uint8 of 0, 1 and 127.
            rng: source of chance.

        Returns:
            Film and labels of the same shapes and types.
        """
        grey, labels = self._move(grey, labels, rng)
        picture = grey.astype(np.float32) / 255
        if rng.random() < self.opacity:
            picture = _consolidate(picture, labels, rng)
        picture = self._expose(picture, rng)
        if rng.random() < self.marker:
            _stamp(picture, rng)
        picture = self._detect(picture, rng)
        if rng.random() < self.collimation:
            _collimate(picture, rng)
        if rng.random() < self.inversion:
            picture = 1 - picture
        return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8), labels

    def _move(self, grey: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        height, width = grey.shape
        turn = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        size = np.exp(rng.uniform(-self.scale, self.scale))
        aspect = np.exp(rng.uniform(-self.stretch, self.stretch) / 2)
        centre = np.array([width / 2, height / 2])
        shift = rng.uniform(-self.shift, self.shift, 2) * (width, height)
        rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = rotate @ np.diag([size * aspect, size / aspect])
        matrix = np.column_stack([linear, centre + shift - linear @ centre])
        moved = cv2.warpAffine(grey, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=0)
        planes = [
            cv2.warpAffine(
                np.ascontiguousarray(labels[:, :, k]),
                matrix,
                (width, height),
                flags=cv2.INTER_NEAREST,
                borderValue=IGNORE if (labels[:, :, k] == IGNORE).all() else 0,
            )
            for k in range(labels.shape[2])
        ]
        return moved, np.stack(planes, axis=2)

    def _expose(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        picture = picture ** np.float32(np.exp(rng.uniform(-self.gamma, self.gamma)))
        contrast = np.float32(1 + rng.uniform(-self.exposure, self.exposure))
        brightness = np.float32(rng.uniform(-self.exposure, self.exposure) / 2)
        return np.clip((picture - np.float32(0.5)) * contrast + np.float32(0.5) + brightness, 0, 1)

    def _detect(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        blur = rng.uniform(-self.blur, self.blur)
        if blur > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        noise = rng.uniform(-self.noise, self.noise)
        if noise > 0:
            picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(noise)
        return picture


def _consolidate(picture: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whiten one to four soft patches of one outlined structure, up to all of it, towards the film's soft tissue."""
    inside = labels[:, :, int(rng.integers(labels.shape[2]))] == 1
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return picture
    height, width = picture.shape
    extent = np.sqrt(len(rows))
    patches = np.zeros(picture.shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(rows)))
        axes = rng.uniform(0.15, 0.6, 2) * extent
        turn = float(rng.uniform(0, 180))
        centre = int(columns[at]), int(rows[at])
        cv2.ellipse(patches, centre, (int(axes[0]) + 1, int(axes[1]) + 1), turn, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(patches * inside, (0, 0), max(1.0, 0.02 * max(height, width) * float(rng.uniform(0.5, 2))))
    white = np.float32(np.quantile(picture[picture > 0], 0.85)) if (picture > 0).any() else np.float32(1)
    strength = soft * np.float32(rng.uniform(0.3, 0.95))
    return picture * (1 - strength) + np.maximum(picture, white) * strength


def _collimate(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Blacken or whiten up to 8 % at one to four edges: the shutters of the X-ray tube, or a screen's frame."""
    height, width = picture.shape
    value = np.float32(rng.choice([0.0, 0.0, 1.0]))
    top, bottom = (int(n) for n in rng.integers(0, int(height * 0.08) + 1, 2))
    left, right = (int(n) for n in rng.integers(0, int(width * 0.08) + 1, 2))
    picture[:top] = value
    picture[height - bottom :] = value
    picture[:, :left] = value
    picture[:, width - right :] = value


def _stamp(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Write a side marker or a few letters near an edge."""
    height, width = picture.shape
    text = "".join(rng.choice(list("RLAPSUPINE"), int(rng.integers(1, 5))))
    x = int(rng.choice([0.03, 0.8]) * width + rng.uniform(0, 0.1) * width)
    y = int(rng.uniform(0.05, 0.98) * height)
    size = float(rng.uniform(0.25, 0.8) * height / 192)
    letters = np.zeros(picture.shape, np.uint8)
    cv2.putText(letters, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA)
    np.maximum(picture, letters * np.float32(rng.uniform(0.6, 1.0) / 255), out=picture)


NO_AUGMENTATION = Augmentation(*[0.0] * 12)
