"""What a kind of film looks like at a glance: a statistical model of thumbnails.

Probabilistic principal components (Tipping & Bishop 1999): how far a thumbnail lies from the films the model was
fitted to, inside the space of their main variations and outside it. Turned, mirrored and inverted thumbnails are
compared with the same model, so a film's pose is the one in which it looks most like a film of its kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

SIDE = 28
"""Thumbnails are this many pixels square; a film's aspect is dropped, since collimation determines it."""

_LEAST_CONTRAST = 4.0  # grey levels; keeps an empty film from being amplified into a pattern


@dataclass(frozen=True)
class Pose:
    """A film's pose: quarter turns clockwise that would set it upright, mirrored, inverted (bone black)."""

    turns: int = 0
    mirrored: bool = False
    inverted: bool = False


UPRIGHT = Pose()
POSES = tuple(
    Pose(turns, mirrored, inverted) for turns in range(4) for mirrored in (False, True) for inverted in (False, True)
)


@dataclass(frozen=True)
class Appearance:
    """A fitted model.

    Attributes:
        mean: `(SIDE * SIDE,)` float32.
        basis: `(components, SIDE * SIDE)` float32, orthonormal rows.
        variances: `(components,)` float32, along the basis.
        residual: typical mean square outside it.
        doubtful, strange: distances beyond which a film is doubtful, and beyond which it is not of the kind.
    """

    mean: np.ndarray
    basis: np.ndarray
    variances: np.ndarray
    residual: float
    doubtful: float
    strange: float

    def distances(self, thumbnails: np.ndarray) -> np.ndarray:
        """How unlike the kind each thumbnail is; about 2 is typical.

        Mean square of the standardised components plus the residual in units of the typical one.

        Args:
            thumbnails: `(films, SIDE * SIDE)` float32, as `thumbnail` gives them.
        """
        centred = thumbnails - self.mean
        components = centred @ self.basis.T
        outside = (np.square(centred).sum(axis=1) - np.square(components).sum(axis=1)) / centred.shape[1]
        return np.asarray((np.square(components) / self.variances).mean(axis=1) + outside / self.residual)

    def poses(self, grey: np.ndarray) -> dict[Pose, float]:
        """Distance of a film for each pose, once set upright from it.

        Args:
            grey: `(height, width)` uint8, the film alone, without the letterbox's borders.
        """
        plane = thumbnail(grey).reshape(SIDE, SIDE)
        ways = np.stack([_set_upright(plane, pose).reshape(-1) for pose in POSES])
        return dict(zip(POSES, self.distances(ways).tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Write the model as an `.npz` with float16 arrays."""
        np.savez_compressed(
            path,
            mean=self.mean.astype(np.float16),
            basis=self.basis.astype(np.float16),
            variances=self.variances.astype(np.float16),
            limits=np.array([self.residual, self.doubtful, self.strange]),
        )


@cache
def load_appearance(kind: str) -> Appearance:
    """The packaged model for a kind of film (`chest`)."""
    with np.load(Path(str(resources.files("edge_seg"))) / "models" / f"{kind}.appearance.npz") as file:
        mean, basis, variances = (file[name].astype(np.float32) for name in ("mean", "basis", "variances"))
        return Appearance(mean, basis, variances, *map(float, file["limits"]))


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """`(SIDE * SIDE,)` float32 of mean 0 and contrast 1 from a film `(height, width)` uint8."""
    way = cv2.INTER_AREA if min(grey.shape) >= SIDE else cv2.INTER_LINEAR
    plane = cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=way).reshape(-1)
    plane -= plane.mean()
    return plane / (plane.std() + np.float32(_LEAST_CONTRAST))


def _set_upright(plane: np.ndarray, pose: Pose) -> np.ndarray:
    plane = np.rot90(plane, -pose.turns)
    plane = plane[:, ::-1] if pose.mirrored else plane
    return -plane if pose.inverted else plane
