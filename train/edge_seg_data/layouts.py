"""The layouts of data sets, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edge_seg.errors import InputError

from edge_seg_data import chest, finding, montgomery, tumour
from edge_seg_data.annotations import reading as drawn
from edge_seg_data.dataset import Dataset
from edge_seg_data.finding import Found
from edge_seg_data.reading import Layout, Options, read_dataset
from edge_seg_data.report import SHOWN
from edge_seg_data.split_rooms import split_rooms

_PAIRS = "images/ and masks/ (or imgs, CXR_png, img; labels, ann, ...), names alike or with a word such as _mask"
_STRUCTURES = "images/ and a folder of masks for each structure"
_SPLITS = "train/, val/ and test/, each with images/ and masks/, or train_images/, train_masks/, val_images/, ..."
_ALONE = "a folder called unlabelled: images/ without masks, to be learned from other networks (--distill)"
_FLAT = "one folder: NAME.png and NAME_mask.png"


def _pairs(folder: Path) -> Found | None:
    rooms = finding.rooms_of(folder)
    return finding.find_rooms(rooms, _PAIRS) if rooms and rooms.masks and not split_rooms(folder) else None


def _structures(folder: Path) -> Found | None:
    rooms = finding.rooms_of(folder)
    return finding.find_rooms(rooms, _STRUCTURES) if rooms and rooms.structures else None


def _split_folders(folder: Path) -> Found | None:
    parts = [(split, finding.find_rooms(rooms, _SPLITS)) for split, rooms in split_rooms(folder).items()]
    if parts:
        found = finding.merge(parts, _SPLITS)
        # One split alone does not tell which films to keep out of training.
        found.splits = found.splits if len(parts) > 1 else {}
        return found
    for split, path in finding.split_folders(folder):
        rooms = finding.rooms_of(path)
        part = finding.find_rooms(rooms, _SPLITS) if rooms else finding.find_parts(path, _SPLITS)
        part = part or finding.find_flat(path, _SPLITS)
        if part and part.masks:
            parts.append((split, part))
    return finding.merge(parts, _SPLITS) if parts else None


def _flat(folder: Path) -> Found | None:
    return finding.find_flat(folder, _FLAT)


def _films_alone(folder: Path) -> Found | None:
    films = finding.film_folder(finding.folders_of(folder))
    return finding.find_films(films, _ALONE) if films else None


LAYOUTS: dict[str, Layout] = {
    "chest": Layout(
        "right_lung/, left_lung/, cardiomediastinum/ or heart/ beside images/",
        chest.find,
        finish=chest.finish,
        optional=(chest.WHOLE, chest.VISIBLE),
        hidden=(chest.WHOLE,),
    ),
    "whole-lung": Layout(
        "index.csv with match_score, images/, masks/ of whole lungs",
        chest.find_whole,
        structure="whole_lung",
        finish=chest.finish_whole,
        structures=chest.LUNGS,
    ),
    "visible-lung": Layout(
        "a folder called visible-lung, or in one called adult-visible: images/, masks/ without the heart shadow",
        chest.find_visible,
        structure="visible_lung",
        default_split="test",
        folder_names=chest.VISIBLE_FOLDERS,
        unscored=chest.NOT_VISIBLE,
        finish=chest.finish,
    ),
    "montgomery": Layout(
        "CXR_png/, ManualMask/leftMask/, ManualMask/rightMask/",
        montgomery.find,
        facts={"lung": "visible lung"},
        attributes=montgomery.finding,
    ),
    "brain-tumour": Layout("MATLAB files with cjdata (figshare 1512427)", tumour.find, reader=tumour.read),
    "pairs": Layout(_PAIRS, _pairs),
    "structures": Layout(_STRUCTURES, _structures),
    "splits": Layout(_SPLITS, _split_folders),
    "annotations": Layout(drawn.TITLE, drawn.find),
    "flat": Layout(_FLAT, _flat),
    "unlabelled": Layout(_ALONE, _films_alone, default_split="train", folder_names=("unlabelled",)),
}
"""Known layouts, tried in this order."""


def open_dataset(path: str | Path, layout: str | None = None, options: Options = Options()) -> Dataset:  # noqa: B008
    """The data set in a folder; the layout is recognised, or named as `layout` or `LAYOUT=PATH`.

    Raises:
        InputError: the folder does not exist, no reader recognises it, it has no films, or something would make
            training wrong; `edge-seg check` lists all of it.
    """
    dataset = inspect_dataset(path, layout, options)
    report = dataset.report
    if report is not None and report.errors:
        first, rest = report.errors[0], len(report.errors) - 1
        named = first.named(Path(report.folder), SHOWN) if len(first.files) > 1 else ""
        hidden = f"and {rest} more" if rest else "all files" if len(first.files) > SHOWN else ""
        more = f"{named}; {hidden}: edge-seg check {report.folder}" if hidden else named
        raise InputError(
            f"{first.text}{more}" if report.folder in first.text else f"{report.folder}: {first.text}{more}"
        )
    if not dataset.films:
        raise InputError(f"{path}: no films with outlines were found: check the folder against `{dataset.layout}`")
    return dataset


def inspect_dataset(path: str | Path, layout: str | None = None, options: Options = Options()) -> Dataset:  # noqa: B008
    """The data set in a folder, with everything wrong with it in its report.

    Raises:
        InputError: the folder does not exist, or no reader recognises it.
    """
    named, folder = split_name(path)
    layout = layout or named
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder: give the folder of a data set")
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"{folder}: no layout is called {layout}: choose from {', '.join(LAYOUTS)}")
    for where in finding.innermost_first(folder):
        for name, kind in _asked(layout, where):
            found = kind.find(where)
            if found is not None and kind.reader is not None:
                return _named_after(folder, kind.reader(where, options))
            if found is not None and (found.masks or layout):
                return _named_after(folder, read_dataset(where, name, kind, found, options))
    if layout:
        raise InputError(f"{folder}: is not laid out as `{layout}` ({LAYOUTS[layout].title}): name another layout")
    below = [path for path in finding.folders_of(folder).values() if finding.rooms_of(path)]
    if len(below) == 1:
        raise InputError(f"{folder}: the data set lies in a folder below: name that ({below[0]})")
    if below:
        raise InputError(f"{folder}: holds several data sets: name each ({' '.join(map(str, below))})")
    raise InputError(
        f"{folder}: no layout fits, it holds {finding.contents(folder)}: put films into images/ and masks of the same "
        f"names into masks/, or see the layouts in `edge-seg check --help`{drawn.not_understood(folder)}"
    )


def split_name(path: str | Path) -> tuple[str | None, Path]:
    """Layout and folder of `LAYOUT=PATH`; an existing path is taken as a path even if it contains `=`.

    >>> split_name("pairs=films")
    ('pairs', PosixPath('films'))
    >>> split_name("films")
    (None, PosixPath('films'))
    """
    text = str(path)
    name, equals, rest = text.partition("=")
    if equals and name in LAYOUTS and not Path(text).expanduser().exists():
        return name, Path(rest).expanduser()
    return None, Path(text).expanduser()


def _named_after(folder: Path, dataset: Dataset) -> Dataset:
    """The data set with the name of the folder that was given, not of one inside it or of `.`."""
    return replace(dataset, name=(folder.resolve() if folder.name == ".." else folder.absolute()).name)


def _asked(layout: str | None, folder: Path) -> Iterable[tuple[str, Layout]]:
    if layout:
        return [(layout, LAYOUTS[layout])]
    # A link may bear any name; the folder behind it has the one that identifies the layout.
    around = {name for path in (folder.absolute(), folder.resolve()) for name in (path.name, path.parent.name)}
    return [(name, kind) for name, kind in LAYOUTS.items() if not kind.folder_names or around & set(kind.folder_names)]
