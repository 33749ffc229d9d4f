"""Augmentation of training films with what happens to films in the field.

Geometry: rotation, scale, shift, a little stretch and bending. Exposure: gamma, tone curve, contrast, brightness,
uneven light, equalisation, inversion. Detector: noise, blur, resolution, compression. Technique: collimation edges,
text and markers, tubes. Disease: opacities inside outlined structures, so that the network outlines a whitened lung
too. Never a left-right flip: the outputs distinguish the patient's right from left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from edge_seg.pixels import IGNORE

from edge_seg_train import augmentation_operations as operations


@dataclass(frozen=True)
class Augmentation:
    """Strength of each augmentation; 0 switches it off.

    Attributes:
        rotation: largest angle either way, in degrees.
        scale: largest relative change of size.
        stretch: largest relative change of aspect.
        unknown_stretch: the same for films that may be squashed.
        shift: largest shift, as a share of the side.
        bend: smooth bending, as a share of the side (standard deviation).
        gamma: largest change of the exponent, as natural logarithm.
        exposure: largest change of contrast and brightness, as a share of the range.
        tone: how far the exposure-to-grey curve may move from a straight line to a random curve.
        shading: largest unevenness of light, as a share.
        noise: most noise, as a share of the range (standard deviation).
        blur: most blur, in pixels of the network's input (standard deviation).
        resolution, compression, equalisation, collimation, inversion, marker, tubes: probability of each.
        opacity: the same; only for lungs, which disease whitens while their outline stays.
    """

    rotation: float = 15.0
    scale: float = 0.18
    stretch: float = 0.1
    unknown_stretch: float = 0.3
    shift: float = 0.08
    bend: float = 0.012
    gamma: float = 0.5
    exposure: float = 0.2
    tone: float = 0.5
    shading: float = 0.2
    noise: float = 0.05
    blur: float = 1.2
    resolution: float = 0.15
    compression: float = 0.15
    equalisation: float = 0.2
    collimation: float = 0.2
    inversion: float = 0.03
    marker: float = 0.2
    tubes: float = 0.15
    opacity: float = 0.0

    def __call__(
        self,
        grey: np.ndarray,
        labels: np.ndarray,
        rng: np.random.Generator,
        aspect_known: bool = True,
        outlines: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A changed copy of one film.

        Args:
            grey: `(height, width)` uint8, as `pixels.to_input` gives it.
            labels: `(height, width, structures)` uint8 of 0, 1 and 127.
            rng: random generator.
            aspect_known: false if the film may be squashed.
            outlines: number of label planes that are outlines, by default all; the planes after them only move with
                the film.

        Returns:
            Film and labels of the same shapes and types.
        """
        grey, labels = self._move(grey, labels, rng, self.stretch if aspect_known else self.unknown_stretch)
        picture = grey.astype(np.float32) / 255
        if rng.random() < self.opacity:
            picture = operations.opacities(picture, labels[..., :outlines], rng)
        if rng.random() < self.tubes:
            picture = operations.tubes(picture, rng)
        picture = self._expose(picture, rng)
        if rng.random() < self.equalisation:
            picture = operations.equalise(picture, rng)
        if rng.random() < self.marker:
            picture = operations.stamp(picture, rng)
        picture = self._detect(picture, rng)
        if rng.random() < self.compression:
            picture = operations.compress(picture, rng)
        if rng.random() < self.collimation:
            picture = operations.collimate(picture, rng)
        if rng.random() < self.inversion:
            picture = 1 - picture
        return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8), labels

    def _move(
        self, grey: np.ndarray, labels: np.ndarray, rng: np.random.Generator, stretch: float
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = grey.shape
        turn = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        size = np.exp(rng.uniform(-self.scale, self.scale))
        aspect = np.exp(rng.uniform(-stretch, stretch) / 2)
        centre = np.array([width / 2, height / 2])
        shift = rng.uniform(-self.shift, self.shift, 2) * (width, height)
        rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        back = np.linalg.inv(rotate @ np.diag([size * aspect, size / aspect]))
        origin = centre - back @ (centre + shift)
        columns, rows = np.arange(width), np.arange(height)
        coarse = rng.normal(0, self.bend, (5, 5, 2)) * (width + height) / 2 if self.bend else None
        source = []
        for axis in (0, 1):
            along = (back[axis, 0] * columns + origin[axis]).astype(np.float32)
            place = along + (back[axis, 1] * rows).astype(np.float32)[:, None]
            if coarse is not None:
                bent = np.ascontiguousarray(coarse[:, :, axis], np.float32)
                place += cv2.resize(bent, (width, height), interpolation=cv2.INTER_CUBIC)
            source.append(place)
        across, down = source
        moved = cv2.remap(grey, across, down, cv2.INTER_LINEAR, borderValue=0)
        return moved, _moved_labels(labels, across, down)

    def _expose(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        picture = picture ** np.float32(np.exp(rng.uniform(-self.gamma, self.gamma)))
        contrast = np.float32(1 + rng.uniform(-self.exposure, self.exposure))
        brightness = np.float32(rng.uniform(-self.exposure, self.exposure) / 2)
        picture = np.clip((picture - np.float32(0.5)) * contrast + np.float32(0.5) + brightness, 0, 1)
        if self.tone and rng.random() < 0.5:
            picture = operations.tone(picture, rng.uniform(0, self.tone), rng)
        return operations.shade(picture, rng.uniform(0, self.shading), rng) if self.shading else picture

    def _detect(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.resolution:
            picture = operations.coarsen(picture, rng)
        blur = rng.uniform(-self.blur, self.blur)
        if blur > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        noise = rng.uniform(-self.noise, self.noise)
        if noise > 0:
            picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(noise)
        return picture


def _moved_labels(labels: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Labels moved with their film: 0 beyond its edge; planes ignored throughout stay so."""
    planes = range(labels.shape[2])
    known = [k for k in planes if labels[0, 0, k] != IGNORE or not (labels[..., k] == IGNORE).all()]
    moved = np.full_like(labels, IGNORE)
    # OpenCV moves up to four planes at once.
    for start in range(0, len(known), 4):
        some = known[start : start + 4]
        found = cv2.remap(np.ascontiguousarray(labels[..., some]), across, down, cv2.INTER_NEAREST, borderValue=0)
        moved[..., some] = found.reshape(*labels.shape[:2], len(some))
    return moved


NO_AUGMENTATION = Augmentation(*[0.0] * len(fields(Augmentation)))
"""Leaves films unchanged."""
