"""Which mask belongs to which film, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_seg_data.files import key_of, stem_of
from edge_seg_data.report import counted

MASK_WORDS = frozenset(
    [
        "mask",
        "masks",
        "seg",
        "segs",
        "segmentation",
        "segmentations",
        "segmented",
        "label",
        "labels",
        "labelled",
        "labeled",
        "annotation",
        "annotations",
        "ann",
        "anns",
        "gt",
        "groundtruth",
        "truth",
        "ground",
        "target",
        "targets",
        "roi",
        "outline",
        "outlines",
        "contour",
        "contours",
        "binary",
        "manual",
    ]
)
"""Words in a mask's name that say that it is a mask."""

FILM_WORDS = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "film",
        "films",
        "xray",
        "xrays",
        "picture",
        "pictures",
        "scan",
        "scans",
        "original",
        "input",
    ]
)
"""Words in a film's name that say that it is a film."""

_SEPARATORS = re.compile(r"[\s_.()\-]+")
_SMALL_WORDS = frozenset({"of", "for", "the", "png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "dcm"})
_CHANNEL = "_0000"  # what nnU-Net appends to a film's name, and not to its mask's


@dataclass(frozen=True)
class Pairing:
    """Films with their masks.

    Attributes:
        masks: of each film, the mask files by structure; the structure is empty where the names tell none.
        lonely_films, lonely_masks: files without a partner.
        notes: what a reader should know about how the names were read.
    """

    masks: dict[Path, dict[str, list[Path]]]
    lonely_films: tuple[Path, ...]
    lonely_masks: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Names:
    """Films by key, and by what is left of the key without the words for a film."""

    films: dict[str, Path]
    bare: dict[str, Path] = field(default_factory=dict)


def pair(films: Sequence[Path], masks: Iterable[Path], film_root: Path, mask_root: Path) -> Pairing:
    """Pair films and masks: equal names, a mask's name around the film's, or equal numbers.

    `f_mask`, `f_mask_1`, `mask_f` and `f_lungmask` belong to `f`, and `mask_7` to `image_7`. What is left of a mask's
    name names its structure (`f_right_lung_mask`); files that differ in a number alone are pieces of one structure.

    Args:
        films, masks: files.
        film_root, mask_root: folders below which they lie; files of equal names in several folders are told apart by
            the folder.
    """
    names = _names(films, film_root)
    nested = not _unique(films)
    found: dict[Path, dict[str, list[Path]]] = {}
    lonely = []
    for mask in masks:
        film, rest = _match(_key(mask, mask_root, nested), names)
        if film is None:
            lonely.append(mask)
        else:
            found.setdefault(film, {}).setdefault(_structure(rest), []).append(mask)
    notes = (*_merge_plain(found), *_pieces(found))
    return Pairing(
        {film: found[film] for film in films if film in found},
        tuple(film for film in films if film not in found),
        tuple(lonely),
        notes,
    )


def words_of(name: str) -> list[str]:
    """The words of a name, in small letters.

    >>> words_of("Right-Lung_mask 1")
    ['right', 'lung', 'mask', '1']
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return [word for word in _SEPARATORS.split(spaced.casefold()) if word]


def structure_of(name: str) -> str:
    """The structure that a folder or part of a name stands for: its words, those for a mask left out."""
    return _structure(name, numbers=True)


def _names(films: Sequence[Path], root: Path) -> _Names:
    nested = not _unique(films)
    names = _Names({_key(film, root, nested): film for film in films})
    if names.films and all(key.endswith(_CHANNEL) for key in names.films):
        names.films = {key.removesuffix(_CHANNEL): film for key, film in names.films.items()}
    counts: dict[str, list[Path]] = {}
    for key, film in names.films.items():
        counts.setdefault(_without(key, FILM_WORDS), []).append(film)
    names.bare = {key: group[0] for key, group in counts.items() if len(group) == 1 and key}
    return names


def _unique(films: Sequence[Path]) -> bool:
    keys = [key_of(stem_of(film.name)) for film in films]
    return len(set(keys)) == len(keys)


def _key(path: Path, root: Path, nested: bool) -> str:
    stem = key_of(stem_of(path.name))
    if not nested:
        return stem
    return "/".join([*map(key_of, path.relative_to(root).parts[:-1]), stem])


def _without(key: str, words: frozenset[str]) -> str:
    """What is left of a key; `007` and `7` are one number."""
    left = (word for word in re.split(r"[\s_.()\-/]+", key) if word and word not in words)
    return " ".join(str(int(word)) if word.isdecimal() else word for word in left)


def _match(key: str, names: _Names) -> tuple[Path | None, str]:
    """The film that a mask's key belongs to, and the rest of the key."""
    if key in names.films:
        return names.films[key], ""
    folder, slash, stem = key.rpartition("/")
    cuts = [found.start() for found in re.finditer(r"[\s_.()\-]", stem)]
    for cut in reversed(cuts):
        if film := names.films.get(folder + slash + stem[:cut]):
            return film, stem[cut + 1 :]
    for cut in cuts:
        if film := names.films.get(folder + slash + stem[cut + 1 :]):
            return film, stem[:cut]
    for word in sorted(MASK_WORDS, key=len, reverse=True):
        if stem.endswith(word) and (film := names.films.get(folder + slash + stem[: -len(word)])):
            return film, word
    bare = names.bare.get(_without(key, MASK_WORDS))
    return (bare, "") if bare else (None, "")


def _structure(rest: str, numbers: bool = False) -> str:
    """Words of a name that say what a mask is of; a number counts the files of one film, where it is not kept."""
    words = []
    for word in words_of(rest):
        for mask_word in ("mask", "masks", "seg"):
            if word.endswith(mask_word) and word != mask_word:
                word = word[: -len(mask_word)]
        plain = word.rstrip("0123456789")
        if plain in MASK_WORDS | _SMALL_WORDS or (not plain and not numbers):
            continue
        if word:
            words.append(word)
    return "_".join(words)


def _pieces(found: dict[Path, dict[str, list[Path]]]) -> tuple[str, ...]:
    several = sum(any(len(paths) > 1 for paths in masks.values()) for masks in found.values())
    text = f"{counted(several, 'film')} with several mask files for one structure: they are pieces of it"
    return (text,) if several else ()


def _merge_plain(found: dict[Path, dict[str, list[Path]]]) -> tuple[str, ...]:
    """One structure where some masks have a word more in their names and no film has two masks.

    `f1_lungmask` beside `f2`: half of the films would be without an outline otherwise.
    """
    structures = sorted({name for masks in found.values() for name in masks})
    if len(structures) < 2 or "" not in structures or any(len(masks) > 1 for masks in found.values()):
        return ()
    for film, masks in found.items():
        found[film] = {"": [path for paths in masks.values() for path in paths]}
    words = ", ".join(name for name in structures if name)
    return (f"masks with and without `{words}` in their names are read as one structure",)
