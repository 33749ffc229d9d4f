"""Fit the appearance model of the device's film gate to training films.

`python -m edge_seg_train.appearance DATASET... --out chest.appearance.npz`
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
from edge_seg import pixels
from edge_seg.assessment.appearance import Appearance, thumbnail
from edge_seg.cli.main import run_command
from edge_seg_data import Dataset, open_dataset

COMPONENTS = 40
_COPIES = 4  # augmented, of each film; a smaller set's films are repeated until it weighs a third of the largest
_DOUBTFUL, _STRANGE = 1.1, 1.75  # times the 99.5th percentile over held-out films


def fit(films: list[np.ndarray], held_out: list[np.ndarray], seed: int = 0) -> Appearance:
    """Fit to films, and set the limits on held-out ones.

    Args:
        films, held_out: grey films of any size, `(height, width)` uint8.
        seed: of the augmentation.
    """
    chance = np.random.default_rng(seed)
    seen = np.stack([thumbnail(changed) for film in films for changed in _changed(film, chance)])
    mean = seen.mean(axis=0)
    _, scale, basis = np.linalg.svd(seen - mean, full_matrices=False)
    variances = np.square(scale) / len(seen)
    main = Appearance(mean, basis[:COMPONENTS], variances[:COMPONENTS], 1.0, 0.0, 0.0)
    others = np.stack([thumbnail(film) for film in held_out])
    centred = others - mean
    inside = np.square(centred @ main.basis.T).sum(axis=1)
    residual = float(np.median((np.square(centred).sum(axis=1) - inside) / centred.shape[1]))
    scaled = Appearance(mean, main.basis, main.variances, residual, 0.0, 0.0)
    limit = float(np.quantile(scaled.distances(others), 0.995))
    return Appearance(mean, main.basis, main.variances, residual, _DOUBTFUL * limit, _STRANGE * limit)


def _changed(film: np.ndarray, chance: np.random.Generator) -> list[np.ndarray]:
    """The film itself, and copies as other equipment and other radiographers would have made it."""
    height, width = film.shape
    found = [film]
    for _ in range(_COPIES):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), chance.uniform(-10, 10), chance.uniform(0.85, 1.15))
        matrix[:, 2] = matrix[:, 2] + chance.uniform(-0.06, 0.06, 2) * (width, height)
        border = cv2.BORDER_CONSTANT if chance.random() < 0.3 else cv2.BORDER_REPLICATE
        moved = cv2.warpAffine(film, matrix, (width, height), borderMode=border)
        if chance.random() < 0.4:
            moved = cv2.equalizeHist(moved)
        table = np.rint(255 * np.linspace(0, 1, 256) ** np.exp(chance.uniform(-0.5, 0.5))).astype(np.uint8)
        found.append(table[moved])
    return found


def _greys(datasets: list[Dataset], split: str) -> list[np.ndarray]:
    """Films of at most 224 pixels a side; small sets' films are repeated."""
    groups = []
    for dataset in datasets:
        group = []
        for labelled in dataset.split(split):
            grey, letterbox = pixels.to_input(labelled.load()[0], (224, 224))
            group.append(grey[letterbox.content])
        groups.append(group)
    most = max(map(len, groups))
    return [film for group in groups if group for film in group * max(1, most // (3 * len(group)))]


@click.command()
@click.argument("folders", metavar="DATASET...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(folders: tuple[str, ...], out: Path) -> None:
    """Fit to the training films of DATASET... and set the limits on their validation films."""
    datasets = [open_dataset(folder) for folder in folders]
    model = fit(_greys(datasets, "train"), _greys(datasets, "val"))
    model.save(out)
    click.echo(f"{out}: doubtful beyond {model.doubtful:.2f}, strange beyond {model.strange:.2f}")


if __name__ == "__main__":
    run_command(main)
