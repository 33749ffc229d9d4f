"""Find films and masks in a folder as people lay it out; `pairing` decides which mask belongs to which film."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edge_seg_data.dataset import Outlines
from edge_seg_data.files import is_film_file, is_mask_file, key_of, list_files
from edge_seg_data.index import SPLIT_NAMES
from edge_seg_data.pairing import MASK_WORDS, Pairing, pair, structure_of, words_of
from edge_seg_data.report import NOTE, WARNING, Problem, counted

FILM_FOLDERS = [
    "images",
    "image",
    "imgs",
    "img",
    "films",
    "film",
    "cxr_png",
    "cxr",
    "xray",
    "xrays",
    "x-ray",
    "x-rays",
    "radiographs",
    "inputs",
    "input",
    "originals",
    "original",
    "pictures",
    "photos",
    "scans",
    "jpegimages",
    "img_dir",
]
MASK_FOLDERS = [
    "masks",
    "mask",
    "labels",
    "label",
    "ann",
    "anns",
    "annotation",
    "annotations",
    "segmentation",
    "segmentations",
    "seg",
    "segs",
    "gt",
    "groundtruth",
    "ground_truth",
    "targets",
    "target",
    "outlines",
    "manualmask",
    "segmentationclass",
    "ann_dir",
]

# Words in names of folders and files that sit beside masks but hold none.
_NO_STRUCTURES = frozenset(
    [
        "overlay",
        "overlays",
        "versions",
        "preview",
        "previews",
        "prediction",
        "predictions",
        "result",
        "results",
        "thumbnail",
        "thumbnails",
        "raw",
        "data",
        "output",
    ]
)
_PUT_ASIDE = frozenset(["old", "backup"])  # alone, or with a word for a mask: `old_fracture` is a structure

_DEEPEST = 4  # levels of nested folders
_SHOWN = 4  # kinds of files to list in a message


@dataclass
class Found:
    """Films of a folder with the files that outline them.

    Attributes:
        layout: name and title of the layout.
        masks: of each film, mask files by source: a structure, or empty if one file holds all structures.
        splits: of films whose folder gives it.
        drawn: of films outlined in an annotation program, a function from `(height, width)` to the outlines.
        drawn_structures: the structures of those outlines.
        problems: notes, warnings and errors.
        misnamed: most masks of one kind without a film, matched by as many films without a mask of that kind.
    """

    layout: str
    masks: dict[Path, dict[str, list[Path]]] = field(default_factory=dict)
    splits: dict[Path, str] = field(default_factory=dict)
    lonely_films: list[Path] = field(default_factory=list)
    lonely_masks: list[Path] = field(default_factory=list)
    drawn: dict[Path, partial[Outlines]] = field(default_factory=dict)
    drawn_structures: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    misnamed: int = 0

    def add(self, pairing: Pairing, structure: str | None = None) -> None:
        """Add films and masks; `structure` is the one the masks' folder is named after."""
        for film, sources in pairing.masks.items():
            own = self.masks.setdefault(film, {})
            for name, paths in sources.items():
                own.setdefault(structure if structure is not None else name, []).extend(paths)
        self.lonely_masks += pairing.lonely_masks
        self.misnamed = max(self.misnamed, min(len(pairing.lonely_films), len(pairing.lonely_masks)))
        problems = [Problem("names", NOTE, note) for note in pairing.notes]
        self.problems += [problem for problem in problems if problem not in self.problems]


@dataclass(frozen=True)
class Rooms:
    """The folders of a data set by role.

    Attributes:
        films: folder of films.
        masks: folder of masks, if any.
        structures: folders of masks of one structure each.
        ignored: all other folders.
    """

    films: Path
    masks: Path | None
    structures: dict[str, Path]
    ignored: tuple[Path, ...]


def folders_of(folder: Path) -> dict[str, Path]:
    """The folders in a folder, by lower-case name."""
    return {path.name.casefold(): path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."}


def film_folder(folders: dict[str, Path]) -> Path | None:
    """The folder of films among these, if any."""
    return next((folders[name] for name in FILM_FOLDERS if name in folders), None)


def is_no_structure(name: str) -> bool:
    """Whether a lower-case name as a whole is that of folders and files beside masks (`overlays`, `old_masks`)."""
    return name in _NO_STRUCTURES or structure_of(name) in _PUT_ASIDE


def structure_folders(folders: dict[str, Path]) -> dict[str, Path]:
    """Of these folders, the ones that may hold masks of one structure each, by structure."""
    return {
        structure_of(name): path
        for name, path in folders.items()
        if name not in MASK_FOLDERS and _may_hold_structure(name, path)
    }


def rooms_of(folder: Path) -> Rooms | None:
    """The rooms of a folder, `None` unless it has folders of films and of masks."""
    folders = folders_of(folder)
    films = film_folder(folders)
    if films is None:
        return None
    masks = next((folders[name] for name in MASK_FOLDERS if name in folders), None)
    others = {name: path for name, path in folders.items() if path not in (films, masks)}
    structures = structure_folders(others)
    if masks is not None:
        return make_rooms(films, masks, tuple(others.values()))
    ignored = tuple(path for path in others.values() if path not in structures.values())
    return Rooms(films, None, structures, ignored) if structures else None


def make_rooms(films: Path, masks: Path, ignored: tuple[Path, ...]) -> Rooms:
    """The rooms of films and masks; the masks may be in a folder per structure."""
    below = _structure_folders(masks, films)
    if below:
        ignored += tuple(path for path in folders_of(masks).values() if path not in below.values())
    return Rooms(films, None if below else masks, below, ignored)


def find_rooms(rooms: Rooms, layout: str) -> Found:
    """Films and masks in a folder's rooms."""
    found = Found(layout)
    films = [path for path in list_files(rooms.films) if is_film_file(path)]
    ignored = list(rooms.ignored)
    sources: list[tuple[str | None, Path]] = [(None, rooms.masks)] if rooms.masks is not None else []
    for structure, folder in [*sources, *rooms.structures.items()]:
        masks, aside = _masks_in(folder, rooms.films)
        found.add(pair(films, masks, rooms.films, folder), structure)
        ignored += aside
    found.masks = {film: found.masks[film] for film in films if film in found.masks}
    found.lonely_films = [film for film in films if film not in found.masks]
    found.splits = splits_by_folder(films, rooms.films)
    if ignored:
        names = ", ".join(path.relative_to(rooms.films.parent).as_posix() for path in ignored)
        found.problems.append(Problem("ignored-folders", NOTE, f"folders that are not read: {names}"))
    return found


def find_films(folder: Path, layout: str) -> Found:
    """Films of a folder without outlines."""
    return Found(layout, {path: {} for path in list_files(folder) if is_film_file(path)})


def find_flat(folder: Path, layout: str) -> Found | None:
    """Films and masks in one folder, distinguished by a word for a mask in the name."""
    files = [path for path in list_files(folder) if is_film_file(path) or is_mask_file(path)]
    masks = [path for path in files if _is_named_mask(path)]
    films = [path for path in files if path not in set(masks) and is_film_file(path)]
    if not masks or not films:
        return None
    found = Found(layout)
    pairing = pair(films, masks, folder, folder)
    found.add(pairing)
    found.lonely_films = list(pairing.lonely_films)
    found.splits = splits_by_folder(films, folder)
    return found if found.masks else None


def split_folders(folder: Path) -> list[tuple[str, Path]]:
    """Folders called train, val and test, each after its split, which may have several."""
    found = [(split_named(path.name), path) for path in sorted(folder.iterdir()) if path.is_dir()]
    return [(split, path) for split, path in found if split]


def merge(parts: Iterable[tuple[str, Found]], layout: str) -> Found:
    """Merge parts that each belong to a split into one set."""
    whole = Found(layout)
    for split, part in parts:
        whole.masks |= part.masks
        whole.splits |= dict.fromkeys(part.masks, split)
        whole.lonely_films += part.lonely_films
        whole.lonely_masks += part.lonely_masks
        whole.misnamed = max(whole.misnamed, part.misnamed)
        whole.problems += [problem for problem in part.problems if problem not in whole.problems]
    return whole


def split_named(name: str) -> str:
    """The split that a folder is named after (`train`, `Val`, `train2017`), empty if none."""
    return SPLIT_NAMES.get(name.casefold().rstrip("0123456789"), "")


def nested_folders(folder: Path) -> list[Path]:
    """The folder, and while a folder holds only one other, that one too: archives unpack into their own names."""
    found = [folder]
    while len(found) < _DEEPEST:
        inside = [path for path in found[-1].iterdir() if path.name[0] != "." and path.name.casefold() != "__macosx"]
        if len(inside) != 1 or not inside[0].is_dir():
            break
        found.append(inside[0])
    return found


def innermost_first(folder: Path) -> list[Path]:
    """The nested folders, the innermost first, since its index and splits count, except for those inside a role."""
    nested = nested_folders(folder)
    roles = [number for number, path in enumerate(nested) if number and _has_role(path.name)]
    outer = roles[0] if roles else len(nested)
    return [*reversed(nested[:outer]), *nested[outer:]]


def _has_role(name: str) -> bool:
    return bool(split_named(name)) or name.casefold() in FILM_FOLDERS


def find_parts(folder: Path, layout: str) -> Found | None:
    """The films of a split that has several sets of folders: `train/covid/images`, `train/normal/images`."""
    whole = Found(layout)
    for path in folders_of(folder).values():
        rooms = rooms_of(path)
        if rooms:
            part = find_rooms(rooms, layout)
            whole = merge([("", whole), (path.name, part)], layout)
    whole.splits = {}
    return whole if whole.masks else None


def contents(folder: Path) -> str:
    """A folder's content, for a message: files by folder and suffix, the commonest first."""
    counts = Counter(
        (path.parent.relative_to(folder).as_posix(), path.suffix.lower() or "without suffix")
        for path in list_files(folder)
    )
    shown = [f"{count} {suffix} in {where}/" for (where, suffix), count in counts.most_common(_SHOWN)]
    more = f" and {len(counts) - _SHOWN} more kinds" if len(counts) > _SHOWN else ""
    return ", ".join(shown).replace(" in ./", "") + more or "nothing"


def unmatched(found: Found) -> list[Problem]:
    """Films and masks left without a partner; many of both mean that the names were misunderstood."""
    films, masks = found.lonely_films, found.lonely_masks
    problems = []
    both = max(found.misnamed, min(len(films), len(masks)))
    wrong = both >= max(2, 0.05 * len(found.masks))
    if films:
        text = f"{counted(len(films), 'film')} without a mask, left out" + (": their names do not fit" if wrong else "")
        problems.append(Problem("unmatched-films", "error" if wrong else WARNING, text, tuple(map(str, films))))
    if masks:
        text = f"{counted(len(masks), 'mask')} without a film, left out"
        fix = ": name each mask like its film, or NAME_mask" if wrong else ""
        problems.append(Problem("unmatched-masks", "error" if wrong else WARNING, text + fix, tuple(map(str, masks))))
    return problems


def _masks_in(folder: Path, films: Path) -> tuple[list[Path], list[Path]]:
    """The masks in a folder, and the folders in it, such as `old`, whose masks are left out.

    None is left out that the films have too, or if no mask would be left.
    """
    masks = [path for path in list_files(folder) if is_mask_file(path)]
    aside = [
        path for name, path in folders_of(folder).items() if is_no_structure(name) and not (films / path.name).is_dir()
    ]
    kept = [path for path in masks if not set(aside).intersection(path.parents)]
    return (kept, aside) if kept else (masks, [])


def _may_hold_structure(name: str, path: Path) -> bool:
    if name in SPLIT_NAMES or name in FILM_FOLDERS or not structure_of(name):
        return False
    if is_no_structure(name) or _NO_STRUCTURES.intersection(words_of(name)):
        return False
    return any(is_mask_file(file) for file in list_files(path))


def _structure_folders(masks: Path, films: Path) -> dict[str, Path]:
    """Folders of one structure each in the folder of masks; a folder that the films have too is something else."""
    inside = [path for path in sorted(masks.iterdir()) if path.is_dir() and path.name[0] != "."]
    if any(is_mask_file(path) for path in masks.iterdir() if path.is_file()):
        return {}
    shared = {key_of(path.name) for path in films.iterdir() if path.is_dir()}
    return {
        structure_of(path.name): path
        for path in inside
        if key_of(path.name) not in shared and _may_hold_structure(path.name.casefold(), path)
    }


def splits_by_folder(films: Sequence[Path], root: Path) -> dict[Path, str]:
    """The splits of films in a folder called train, val or test below `root`, at any depth."""
    folders = {folder: folder.relative_to(root).parts for folder in {film.parent for film in films}}
    splits = {folder: next(filter(None, map(split_named, parts)), "") for folder, parts in folders.items()}
    return {film: splits[film.parent] for film in films if splits[film.parent]}


def _is_named_mask(path: Path) -> bool:
    words = words_of(path.name.partition(".")[0])
    return is_mask_file(path) and bool(set(words) & MASK_WORDS or words[-1].endswith("mask"))
