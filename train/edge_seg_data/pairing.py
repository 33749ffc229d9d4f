"""Pair masks with films by name."""

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
"""Words in a file name that mark it as a mask."""

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
"""Words in a file name that mark it as a film."""

_SEPARATORS = re.compile(r"[\s_.()\-]+")
_SMALL_WORDS = frozenset({"of", "for", "the", "png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "dcm"})
_CHANNEL = "_0000"  # nnU-Net appends it to a film's name, but not to its mask's


@dataclass(frozen=True)
class Pairing:
    """Films with their masks.

    Attributes:
        masks: of each film, the mask files by structure, which is empty if the names give none.
        lonely_films, lonely_masks: files without a partner.
        notes: for the user, on how the names were read.
    """

    masks: dict[Path, dict[str, list[Path]]]
    lonely_films: tuple[Path, ...]
    lonely_masks: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Names:
    """Films by key, and by the key without the words for a film, `None` if several share it; and all who share one."""

    films: dict[str, Path | None]
    bare: dict[str, Path | None] = field(default_factory=dict)
    alike: frozenset[Path] = frozenset()


def pair(films: Sequence[Path], masks: Iterable[Path], film_root: Path, mask_root: Path) -> Pairing:
    """Pair films and masks: equal names, a mask's name that contains the film's, or equal numbers.

    `f_mask`, `f_mask_1`, `mask_f` and `f_lungmask` belong to `f`, and `mask_7` to `image_7`. The rest of a mask's name
    is its structure (`f_right_lung_mask`); files that differ only in a number are pieces of one structure.

    Args:
        films, masks: files.
        film_root, mask_root: folders that contain them; the subfolder distinguishes files of equal names.
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
    lonely_films = tuple(film for film in films if film not in found)
    notes = (*_merge_plain(found), *_pieces(found), *_alike(names.alike.intersection(lonely_films)))
    return Pairing({film: found[film] for film in films if film in found}, lonely_films, tuple(lonely), notes)


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case.

    >>> words_of("Right-Lung_mask 1")
    ['right', 'lung', 'mask', '1']
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return [word for word in _SEPARATORS.split(spaced.casefold()) if word]


def structure_of(name: str) -> str:
    """The structure that a folder or part of a name stands for: its words, without those for a mask."""
    return _structure(name, numbers=True)


def _names(films: Sequence[Path], root: Path) -> _Names:
    nested = not _unique(films)
    keys = {film: _key(film, root, nested) for film in films}
    names = _Names(_sole((key, film) for film, key in keys.items()))
    names.alike = frozenset(film for film, key in keys.items() if names.films[key] is None)
    if names.films and all(key.endswith(_CHANNEL) for key in names.films):
        names.films = {key.removesuffix(_CHANNEL): film for key, film in names.films.items()}
    bare = [(_without(key, FILM_WORDS), film) for key, film in names.films.items()]
    names.bare = _sole((key, film) for key, film in bare if key)
    # The suffix tells `001.jpg` from `001.png` where the masks are called `001.jpg.png` and `001.png.png`.
    whole = _sole((keys[film] + key_of(film.name[len(stem_of(film.name)) :]), film) for film in films)
    names.films = {**{key: film for key, film in whole.items() if film in names.alike}, **names.films}
    return names


def _sole(named: Iterable[tuple[str, Path | None]]) -> dict[str, Path | None]:
    """Each key's file, `None` if several have the key."""
    found: dict[str, Path | None] = {}
    for key, path in named:
        found[key] = None if key in found else path
    return found


def _unique(films: Sequence[Path]) -> bool:
    keys = [key_of(stem_of(film.name)) for film in films]
    return len(set(keys)) == len(keys)


def _key(path: Path, root: Path, nested: bool) -> str:
    stem = key_of(stem_of(path.name))
    if not nested:
        return stem
    return "/".join([*map(key_of, path.relative_to(root).parts[:-1]), stem])


def _without(key: str, words: frozenset[str]) -> str:
    """The key without these words; `007` and `7` are the same number."""
    left = (word for word in re.split(r"[\s_.()\-/]+", key) if word and word not in words)
    return " ".join(str(int(word)) if word.isdecimal() else word for word in left)


def _match(key: str, names: _Names) -> tuple[Path | None, str]:
    """The film that a mask's key belongs to, and the rest of the key."""
    if key in names.films:
        return names.films[key], ""
    folder, slash, stem = key.rpartition("/")
    cuts = [found.start() for found in re.finditer(r"[\s_.()\-]", stem)]
    for cut in reversed(cuts):
        if (part := folder + slash + stem[:cut]) in names.films:
            return names.films[part], stem[cut + 1 :]
    for cut in cuts:
        if (part := folder + slash + stem[cut + 1 :]) in names.films:
            return names.films[part], stem[:cut]
    for word in sorted(MASK_WORDS, key=len, reverse=True):
        if stem.endswith(word) and (part := folder + slash + stem[: -len(word)]) in names.films:
            return names.films[part], word
    bare = names.bare.get(_without(key, MASK_WORDS))
    return (bare, "") if bare else (None, "")


def _structure(rest: str, numbers: bool = False) -> str:
    """Words of a name that say what a mask shows; numbers, which count a film's files, go unless `numbers` is true."""
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


def _alike(films: Iterable[Path]) -> tuple[str, ...]:
    names = sorted(film.name for film in films)
    text = f"films of one name, so that no mask can be told to be theirs: rename them ({', '.join(names[:2])})"
    return (text,) if names else ()


def _pieces(found: dict[Path, dict[str, list[Path]]]) -> tuple[str, ...]:
    several = sum(any(len(paths) > 1 for paths in masks.values()) for masks in found.values())
    text = f"{counted(several, 'film')} with several mask files for one structure: they are pieces of it"
    return (text,) if several else ()


def _merge_plain(found: dict[Path, dict[str, list[Path]]]) -> tuple[str, ...]:
    """Merge the structures into one if some masks have an extra word in their names and no film has two masks.

    With `f1_lungmask` beside `f2`, half of the films would otherwise lack an outline.
    """
    structures = sorted({name for masks in found.values() for name in masks})
    if len(structures) < 2 or "" not in structures or any(len(masks) > 1 for masks in found.values()):
        return ()
    for film, masks in found.items():
        found[film] = {"": [path for paths in masks.values() for path in paths]}
    words = ", ".join(name for name in structures if name)
    return (f"masks with and without `{words}` in their names are read as one structure",)
