"""Convolution and bilinear upsampling in numpy, forward and backward."""

from __future__ import annotations

import numpy as np


def columns(picture: np.ndarray, size: int) -> np.ndarray:
    """The neighbourhood of every pixel as a row: `(height x width, size x size x channels)` float32.

    Args:
        picture: `(height, width, channels)` float32; zero beyond its edges.
        size: of the square neighbourhood, odd.
    """
    height, width, channels = picture.shape
    if size == 1:
        return picture.reshape(-1, channels)
    edge = size // 2
    padded = np.zeros((height + 2 * edge, width + 2 * edge, channels), np.float32)
    padded[edge : edge + height, edge : edge + width] = picture
    seen = np.empty((height, width, size * size, channels), np.float32)
    for place in range(size * size):
        down, across = divmod(place, size)
        seen[:, :, place] = padded[down : down + height, across : across + width]
    return seen.reshape(height * width, -1)


def along_weights(back: np.ndarray, seen: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of a convolution's weights and biases.

    Args:
        back: gradient with respect to its result, `(height, width, outputs)`.
        seen: the `columns` of its input.
        shape: of the weights.
    """
    flat = back.reshape(-1, back.shape[-1])
    return (flat.T @ seen).reshape(shape), flat.sum(axis=0)


def enlarging(few: int, many: int, half_pixel: bool) -> np.ndarray:
    """The matrix `(many, few)` that upsamples a row bilinearly as TFLite does, without aligned corners."""
    at = np.arange(many)
    place = (at + 0.5) * few / many - 0.5 if half_pixel else at * few / many
    low = np.clip(np.floor(place).astype(int), 0, few - 1)
    high = np.clip(np.floor(place).astype(int) + 1, 0, few - 1)
    share = place - np.floor(place)
    made = np.zeros((many, few), np.float32)
    np.add.at(made, (at, low), 1 - share)
    np.add.at(made, (at, high), share)
    return made


def convolved(picture: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """A picture `(height, width, channels)` with its columns and its rows each multiplied by a matrix."""
    height, width, channels = picture.shape
    tall = (down @ picture.reshape(height, -1)).reshape(-1, width, channels)
    return np.matmul(across, tall)
