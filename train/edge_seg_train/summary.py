"""Results of a finished run: Dice of each structure, curves, and a page with both, the data and the settings."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edge_seg.storage import write_atomically
from edge_seg_data import evenly_spaced
from edge_seg_data.report import counted
from edge_seg_data.scores import dice

from edge_seg_train.config import read_config
from edge_seg_train.packing import PackedFilms
from edge_seg_train.pictures import COLUMNS, write_picture
from edge_seg_train.schedule import History, best_epoch

CURVES_NAME, PICTURE_NAME, REPORT_NAME = "curves.png", "best.png", "report.html"

PICTURED = 4
"""Number of films in a picture."""

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em}img{max-width:100%}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
)


@dataclass(frozen=True)
class StructureDice:
    """Dice of one structure or region on the validation films.

    Attributes:
        name: of it.
        mean: over the films; NaN if none has an outline of it.
        films: number with an outline of it.
    """

    name: str
    mean: float
    films: int


def dice_of_structures(outlined: Sequence[str], films: PackedFilms, masks: np.ndarray) -> list[StructureDice]:
    """Dice of each structure, and of each region derived from them, at the network's size.

    Args:
        outlined: names, in order.
        films: to score.
        masks: `(films, height, width, outlined)` bool.
    """
    found = []
    for k, name in enumerate(outlined):
        labels = films.labels[..., k]
        scores = [
            dice(truth == 1, mask, truth != 127)
            for truth, mask in zip(labels, masks[..., k], strict=True)
            if (truth != 127).any()
        ]
        found.append(StructureDice(name, float(np.mean(scores)) if scores else float("nan"), len(scores)))
    return found


def summary_lines(run: Path, history: History, scores: Sequence[StructureDice]) -> list[str]:
    """Lines to print at the end of a run."""
    best = best_epoch(history)
    validated = "val_dice" in history[best]
    lines = [f"best epoch: {best + 1} of {len(history)}" + ("" if validated else " (the last: no validation films)")]
    lines += [
        f"  {one.name}: Dice {one.mean:.3f} on {counted(one.films, 'validation film')}"
        if one.films
        else f"  {one.name}: outlined on no validation film"
        for one in scores
        if validated
    ]
    written = (run / name for name in (REPORT_NAME, CURVES_NAME, PICTURE_NAME))
    lines.append("look at: " + ", ".join(str(path) for path in written if path.is_file()))
    if (run / "tensorboard").is_dir():
        lines.append(f"or: tensorboard --logdir {run / 'tensorboard'}")
    return lines


def write_best_picture(run: Path, films: PackedFilms, masks: np.ndarray, outlined: tuple[str, ...]) -> None:
    """Write `best.png`: the best weights' outlines on a few validation films.

    Args:
        run: folder of the run.
        films: validation films.
        masks: `(films, height, width, outlined)` bool.
        outlined: names of the structures, then of regions derived from them.

    Raises:
        OutputError: it cannot be written.
    """
    chosen = evenly_spaced(range(len(films)), PICTURED)
    write_picture(run / PICTURE_NAME, films.grey[chosen], films.labels[chosen], masks[chosen], outlined)


def write_summary(run: Path, history: History, scores: Sequence[StructureDice]) -> None:
    """Write `curves.png` and `report.html` of a run.

    Raises:
        OutputError: they cannot be written.
    """
    write_atomically(run / CURVES_NAME, _curves(history))
    write_atomically(run / REPORT_NAME, _page(run, history, scores).encode())


def _curves(history: History) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    epochs = np.arange(1, len(history) + 1)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "dice"), strict=True):
        for key, title in ((name, "training"), (f"val_{name}", "validation")):
            if key in history[-1]:
                axes.plot(epochs, [entry.get(key, np.nan) for entry in history], marker=".", label=title)
        axes.set(xlabel="epoch", ylabel="Dice" if name == "dice" else name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data)
    return data.getvalue()


def _page(run: Path, history: History, scores: Sequence[StructureDice]) -> str:
    config, record = read_config(run)
    rows = "".join(f"<tr><td>{html.escape(one.name)}<td>{one.mean:.3f}<td>{one.films}" for one in scores if one.films)
    data = "".join(
        f"<tr><td>{html.escape(one['name'])}<td>{html.escape(one['layout'])}"
        f"<td>{one['train']}<td>{one['val']}<td>{one['test']}"
        for one in record["data"]
    )
    picture = run / PICTURE_NAME
    shown = f"<h2>{', '.join(COLUMNS)}</h2>{_image(picture)}" if picture.is_file() else ""
    settings = "".join(
        f"<tr><td>{html.escape(name)}<td>{html.escape(value)}" for name, value in _settings(config.to_json())
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(run.name)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(run.name)}</h1><p>Best epoch: {best_epoch(history) + 1} of {len(history)}. "
        f"edge-seg {html.escape(str(record['code_version']))}."
        f"<table><tr><th>structure<th>Dice<th>validation films{rows}</table>{_image(run / CURVES_NAME)}{shown}"
        f"<h2>Films</h2><table><tr><th>data set<th>layout<th>train<th>val<th>test{data}</table>"
        f"<h2>Settings</h2><table>{settings}</table><p>Research use only, not for diagnosis."
    )


def _settings(values: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    """Name and value of each setting in words, except empty ones."""
    for name, value in values.items():
        words = f"{group} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from _settings(value, name)
        elif isinstance(value, bool):
            yield words, "yes" if value else "no"
        elif isinstance(value, list | tuple):
            if value:
                yield words, ", ".join("=".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in value)
        elif value != "":
            yield words, str(value)


def _image(path: Path) -> str:
    return f"<img alt='{path.stem}' src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
