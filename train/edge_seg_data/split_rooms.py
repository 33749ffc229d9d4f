"""Folders whose names give both role and split: `train_images/`, `masks_test/`, `X_val/`, `imagesTr/`."""

from __future__ import annotations

from pathlib import Path

from edge_seg_data.finding import FILM_FOLDERS, MASK_FOLDERS, Rooms, folders_of, make_rooms, rooms_of, split_named
from edge_seg_data.pairing import words_of

_SHORT = {"tr": "train", "ts": "test"}
"""nnU-Net's names for its splits (https://github.com/MIC-DKFZ/nnUNet, dataset format)."""

_FILMS, _MASKS = frozenset({*FILM_FOLDERS, "x"}), frozenset({*MASK_FOLDERS, "y"})


def split_rooms(folder: Path) -> dict[str, Rooms]:
    """The rooms of each split, by split; empty if no two folders are named this way.

    Plain `images/` and `masks/` beside those of a validation or test split belong to the training split.
    """
    films: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    bare: dict[str, Path] = {}
    for path in folders_of(folder).values():
        split, role = _meaning(path.name)
        if split and not role:
            bare[split] = path
        elif split and role in _FILMS:
            films.setdefault(split, path)
        elif split and role in _MASKS:
            masks.setdefault(split, path)
    # `train/` holds the films of `train_masks/`, unless it is a data set of its own.
    films = {**{split: path for split, path in bare.items() if rooms_of(path) is None}, **films}
    pairs = {split: (films[split], masks[split]) for split in films if split in masks}
    plain = rooms_of(folder)
    if pairs and "train" not in pairs and plain is not None and plain.masks is not None:
        pairs = {"train": (plain.films, plain.masks), **pairs}
    read = {path for pair in pairs.values() for path in pair}
    left = tuple(path for path in folders_of(folder).values() if path not in read)
    return {split: make_rooms(*pair, left) for split, pair in pairs.items()}


def _meaning(name: str) -> tuple[str, str]:
    """The split in a name and the rest of the name, both empty unless it has exactly one split."""
    words = words_of(name)
    said = [split_named(word) or (_SHORT.get(word, "") if len(words) > 1 else "") for word in words]
    rest = [word for word, split in zip(words, said, strict=True) if not split]
    splits = [split for split in said if split]
    return (splits[0], "_".join(rest)) if len(splits) == 1 else ("", "")
