"""Fits the film gate's classifier of what the network sees, see `edge_seg.assessment.kinds`.

The chest films are those of the training and validation splits, and corrupted copies of them. The other kinds are
pictures made from chest films (turned, inverted, cut, outlines), drawn pages, and the pictures in the folders that
`--gate-negatives` names.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_seg import Film, Segmenter
from edge_seg.assessment.kinds import INVERTED, TURNED, Kinds
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg.sources import open_source
from edge_seg_data import evenly_spaced
from edge_seg_data.text import read_table

from edge_seg_quantize.observations import Observation, PackedFilm, pooled_features

CHEST = "chest"
_KINDS = {
    "lateral chest": "lateral",
    "mixed bone": "bone",
    "lower leg": "bone",
    "knee": "bone",
    "hip": "bone",
    "dental": "bone",
    "MR": "CT",
}
"""Kinds in an index that the gate merges or renames; others keep their names."""

_MADE_FROM = 300  # maximum number of films that other kinds are made from
_PHANTOMS = 12
_FIRST_SEED = 2000  # avoids the phantoms that are scored or set ranges
_RIDGE = 2e-3
_STEPS = 150
_FOLDS = 5
_LOST, _UNUSUAL = 0.001, 0.01  # shares of chest films that are refused, and called unusual
_REFUSED = 0.995  # share of other pictures below the limit where chest films allow it
_HEAVIEST = 20.0  # maximum weight of one picture of a rare kind
_LEAST_SPREAD = 1e-2
_PAGE = 224


@dataclass(frozen=True)
class Example:
    """Pooled features `(features,)` of a picture, its kind, and the group that cross-validation keeps together."""

    kind: str
    group: str
    pooled: np.ndarray
    clean: bool = False


def calibrate_gate(segmenter: Segmenter, observations: Sequence[Observation], negatives: Sequence[Path]) -> Kinds:
    """Fit the classifier.

    Args:
        segmenter: with a model that outputs pooled features, without film gate.
        observations: of chest films and corrupted copies.
        negatives: folders of pictures that are not chest films, see `read_negatives`.

    Raises:
        InputError: a folder has no pictures.
    """
    films = list({(one.film.dataset, one.film.name): one.film for one in observations}.values())
    examples = [
        Example(CHEST, f"{one.film.dataset} {one.film.patient}", one.pooled, not one.corrupted) for one in observations
    ]
    examples += [
        Example(CHEST, f"phantom {seed}", pooled_features(segmenter, phantom(300, 300, seed=seed).film))
        for seed in range(_FIRST_SEED, _FIRST_SEED + _PHANTOMS)
    ]
    examples += list(_made(segmenter, evenly_spaced(films, _MADE_FROM)))
    for folder in negatives:
        examples += [
            Example(kind, f"{folder.name} {group}", pooled_features(segmenter, film))
            for film, kind, group in read_negatives(folder)
        ]
    return fit_kinds(examples)


def read_negatives(folder: Path) -> Generator[tuple[Film, str, str], None, None]:
    """A folder's pictures, kinds and sources: from `index.csv` (`file`, `kind`, `source`), else from folder names.

    A row's `file` is a path in the folder; the name alone is enough where one picture has it.

    Raises:
        InputError: the folder has no pictures, or its index cannot be read or has no column `file`.
    """
    rows = _rows(folder)
    found = False
    with closing(open_source((str(folder),))) as source:
        for arrival in source:
            if arrival is None:
                continue
            if isinstance(arrival.content, Film):
                film = arrival.content
                path = Path(film.source)
                row = rows.get(Path(os.path.relpath(path, folder)), {})
                kind = row.get("kind") or path.parent.name
                found = True
                yield film, _KINDS.get(kind, kind), row.get("source") or path.parent.name
            arrival.settle(None)
    if not found:
        raise InputError(f"{folder}: no pictures for the film gate to learn from: give a folder of pictures")


def _rows(folder: Path) -> dict[Path, dict[str, str]]:
    """The rows of a folder's `index.csv` by the file that each is about."""
    index = folder / "index.csv"
    if not index.is_file():
        return {}
    table = read_table(index)
    if not any("file" in row for row in table):
        raise InputError(f"{index}: names no pictures: give each its path in a column `file`, or remove the index")
    named = {Path(row["file"].replace("\\", "/")): row for row in table if row.get("file")}
    files = [path.relative_to(folder) for path in folder.rglob("*")]
    count = Counter(path.name for path in files)
    alone = {path: Path(path.name) for path in files if count[path.name] == 1}
    return {**{path: named[name] for path, name in alone.items() if name in named}, **named}


def fit_kinds(examples: Sequence[Example]) -> Kinds:
    """The classifier, with limits set on chest films of patients left out of the fit.

    Args:
        examples: of chest films and of at least one other kind.
    """
    names = (CHEST, *sorted({one.kind for one in examples} - {CHEST}))
    pooled = np.array([one.pooled for one in examples], np.float64)
    kinds = np.array([names.index(one.kind) for one in examples])
    groups = sorted({one.group for one in examples})
    fold = np.array([groups.index(one.group) % _FOLDS for one in examples])
    odds = np.zeros(len(examples))
    for k in range(_FOLDS):
        fitted = _fit(names, pooled[fold != k], kinds[fold != k])
        for i in map(int, np.flatnonzero(fold == k)):
            odds[i] = fitted.sight(pooled[i]).odds
    clean = odds[[one.clean for one in examples]]
    strange, doubtful = (_limit(clean, share) for share in (_LOST, _UNUSUAL))
    # Half-way to the other kinds if there is room: chest films from other hospitals look less like those seen here.
    others = float(np.quantile(odds[kinds > 0], _REFUSED))
    strange = min(strange, max(0.0, (strange + others) / 2))
    found = _fit(names, pooled, kinds)
    refused = Counter(one.kind for one, value in zip(examples, odds, strict=True) if value < strange)
    seen = Counter(one.kind for one in examples)
    facts: dict[str, Any] = {
        "clean_chest_films": len(clean),
        "clean_chest_films_refused": int((clean < strange).sum()),
        "pictures": dict(seen),
        "refused_in_cross_validation": {name: refused[name] for name in seen},
    }
    return Kinds(
        names,
        found.centre,
        found.spread,
        found.weights,
        found.bias,
        round(float(strange), 4),
        round(float(max(doubtful, strange)), 4),
        facts,
    )


def _limit(odds: np.ndarray, share: float) -> float:
    """Log odds below which a share of chest films falls; even odds if there are too few films."""
    return float(np.quantile(odds, share)) if len(odds) * share >= 0.5 else 0.0


def _fit(names: tuple[str, ...], pooled: np.ndarray, kinds: np.ndarray) -> Kinds:
    """Ridge-penalised multinomial logistic regression by the bound of Böhning (1992), which needs no step size."""
    centre = pooled[kinds == 0].mean(axis=0)
    spread = pooled[kinds == 0].std(axis=0) + _LEAST_SPREAD
    values = np.c_[np.clip((pooled - centre) / spread, -8, 8), np.ones(len(pooled))]
    counts = np.bincount(kinds, minlength=len(names))
    weight = np.minimum(counts[0] / len(names) / np.maximum(counts, 1), _HEAVIEST)
    weight[0] = 1.0
    share = weight[kinds] / weight[kinds].sum()
    ridge = np.full(values.shape[1], _RIDGE)
    ridge[-1] = 1e-9
    step = np.linalg.inv(0.5 * values.T @ (values * share[:, None]) + np.diag(ridge))
    truth = np.eye(len(names))[kinds]
    slopes = momentum = np.zeros((values.shape[1], len(names)))
    for turn in range(_STEPS):
        ahead = slopes + turn / (turn + 3) * momentum
        scores = values @ ahead
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        gradient = values.T @ ((truth - likely) * share[:, None]) - ridge[:, None] * ahead
        before, slopes = slopes, ahead + step @ gradient
        momentum = slopes - before
    return Kinds(
        names,
        _rounded(centre),
        _rounded(spread),
        tuple(_rounded(column) for column in slopes[:-1].T),
        _rounded(slopes[-1]),
        0.0,
        0.0,
    )


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)


def _made(segmenter: Segmenter, films: Sequence[PackedFilm]) -> Iterator[Example]:
    """Examples of other kinds, made from chest films or drawn."""
    for index, film in enumerate(films):
        for kind, picture in _kinds_of(film, index):
            made = Film(np.ascontiguousarray(picture), film.name)
            yield Example(kind, f"{film.dataset} {film.patient}", pooled_features(segmenter, made))


def _kinds_of(film: PackedFilm, index: int) -> Iterator[tuple[str, np.ndarray]]:
    grey = film.grey
    yield TURNED, np.rot90(grey, 1 + index % 3)
    if index % 2 == 0:
        yield INVERTED, 255 - grey
    if index % 3 == 0:
        planes = [plane == 1 for plane in film.outlines.values()]
        shown = planes[index % len(planes)] if index % 2 else np.any(planes, axis=0)
        yield "mask", shown.astype(np.uint8) * 255
    if index % 3 == 1:
        height, width = grey.shape
        top, left = (index % 2) * (height // 2), (index // 2 % 2) * (width // 2)
        yield "part", grey[top : top + height // 2, left : left + width // 2]
    if index % 4 == 0:
        yield "page", _page(index)


def _page(seed: int) -> np.ndarray:
    """Lines of letters in one size, black on white or white on black, with or without a frame."""
    chance = np.random.default_rng(seed)
    paper = 0 if chance.random() < 0.3 else 255
    page = np.full((_PAGE, _PAGE), paper, np.uint8)
    scale, ink = float(chance.uniform(0.2, 0.6)), int(abs(paper - chance.integers(160, 255)))
    for line in range(int(chance.integers(8, 40)), _PAGE - 8, int(8 + scale * 30)):
        letters = "".join(chr(code) for code in chance.integers(65, 122, int(chance.integers(5, 45))))
        place = int(chance.integers(4, 30)), line
        cv2.putText(page, letters, place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    if chance.random() < 0.4:
        right, bottom = (int(value) for value in chance.integers(60, 200, 2))
        cv2.rectangle(page, (20, 20), (right, bottom), ink, int(chance.choice([-1, 1, 2])))
    return page
