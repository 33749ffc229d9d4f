"""The pictures of `docs/explanation/architecture.md`: boxes and arrows as self-contained SVG.

python -m edge_seg_lab.diagrams docs/explanation
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

_COLUMN, _ROW = 190, 96
_WIDTH, _LINE, _PADDING = 158, 17, 9
_MARGIN = 12

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {top} {width} {height}" width="{width}" height="{height}" \
role="img" aria-label="{title}">
<style>
text {{ font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1d2b33; }}
.name {{ font-weight: 600; }}
.label {{ font-size: 12px; fill: #37525c; stroke: #fff; stroke-width: 4px; paint-order: stroke; }}
.box {{ fill: #e3f1f0; stroke: #00796b; }}
.arrow {{ stroke: #37525c; stroke-width: 1.4; marker-end: url(#head); }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0 8 4 0 8z" fill="#37525c"/></marker></defs>
<rect y="{top}" width="100%" height="100%" fill="#fff"/>
"""


@dataclass(frozen=True)
class Box:
    """A box; columns and rows may be fractions, and it spans `span` columns.

    Attributes:
        text: its name, and lines below it.
    """

    column: float
    row: float
    text: tuple[str, ...]
    span: float = 1.0

    @property
    def centre(self) -> tuple[float, float]:
        """In pixels."""
        x = _MARGIN + self.column * _COLUMN + (_WIDTH + (self.span - 1) * _COLUMN) / 2
        return x, _MARGIN + self.row * _ROW + _ROW / 2

    @property
    def half(self) -> tuple[float, float]:
        """Half of its width and height, in pixels."""
        return (_WIDTH + (self.span - 1) * _COLUMN) / 2, (_LINE * len(self.text)) / 2 + _PADDING

    def edge_towards(self, x: float, y: float) -> tuple[float, float]:
        """Where the line from its centre to a point crosses its edge."""
        (cx, cy), (half_x, half_y) = self.centre, self.half
        dx, dy = x - cx, y - cy
        share = min(half_x / abs(dx) if dx else 1e9, half_y / abs(dy) if dy else 1e9)
        return cx + dx * share, cy + dy * share


@dataclass(frozen=True)
class Picture:
    """Boxes by name, and arrows between them: from, to and a label, which may be empty."""

    title: str
    boxes: dict[str, Box]
    arrows: tuple[tuple[str, str, str], ...]

    def svg(self) -> str:
        """The picture as SVG."""
        right = max(box.centre[0] + box.half[0] for box in self.boxes.values()) + _MARGIN
        top = min(box.centre[1] - box.half[1] for box in self.boxes.values()) - _MARGIN
        bottom = max(box.centre[1] + box.half[1] for box in self.boxes.values()) + _MARGIN
        head = _HEAD.format(top=round(top), width=round(right), height=round(bottom - top), title=escape(self.title))
        arrows = "".join(self._arrow(self.boxes[start], self.boxes[end], label) for start, end, label in self.arrows)
        return f"{head}{''.join(map(_box, self.boxes.values()))}{arrows}</svg>\n"

    def _arrow(self, start: Box, end: Box, label: str) -> str:
        (x0, y0), (x1, y1) = _ends(start, end)
        line = f'<line class="arrow" x1="{x0:.0f}" y1="{y0:.0f}" x2="{x1:.0f}" y2="{y1:.0f}"/>\n'
        if label:
            line += f'<text class="label" x="{(x0 + x1) / 2:.0f}" y="{(y0 + y1) / 2 + 4:.0f}">{escape(label)}</text>\n'
        return line


def _ends(start: Box, end: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """A vertical line where one is above the other, else from centre to centre."""
    (sx, _), (ex, _) = start.centre, end.centre
    left, right = max(sx - start.half[0], ex - end.half[0]), min(sx + start.half[0], ex + end.half[0])
    if start.row != end.row and left < right:
        narrow = min(start, end, key=lambda box: box.span)
        x = narrow.centre[0] if left <= narrow.centre[0] <= right else (left + right) / 2
        down = 1 if end.row > start.row else -1
        return (x, start.centre[1] + down * start.half[1]), (x, end.centre[1] - down * end.half[1])
    return start.edge_towards(*end.centre), end.edge_towards(*start.centre)


def _box(box: Box) -> str:
    (x, y), (half_x, half_y) = box.centre, box.half
    found = f'<rect class="box" x="{x - half_x:.0f}" y="{y - half_y:.0f}" width="{2 * half_x:.0f}" '
    found += f'height="{2 * half_y:.0f}" rx="5"/>\n'
    for number, line in enumerate(box.text):
        top = y - half_y + _PADDING + _LINE * number + 13
        name = ' class="name"' if number == 0 else ""
        found += f'<text{name} x="{x:.0f}" y="{top:.0f}">{escape(line)}</text>\n'
    return found


def _chain(*names: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((start, end, "") for start, end in pairwise(names))


PICTURES = {
    "floors": Picture(
        "The floors of the device part, from the command line down to the film",
        {
            "cli": Box(0, 0, ("cli/", "one thin file per verb"), 3),
            "archive": Box(0, 1, ("archive/", "plan, guard,", "parts, engines")),
            "station": Box(1, 1, ("station/", "configuration, session, retention,", "health, service, page"), 2),
            "adaptation": Box(1, 2, ("adaptation/", "learning from corrections in numpy,", "the gate, models kept"), 2),
            "corrections": Box(1, 3, ("corrections/", "outlines that people put right,", "what to look at next"), 2),
            "interface": Box(1, 4, ("interface.py", "Segmenter: any film in;", "results that show themselves"), 2),
            "outputs": Box(0, 5, ("outputs/", "folder, names, masks, overlay, DICOM, outbox"), 3),
            "record": Box(0, 6, ("record.py", "the typed record of a film"), 3),
            "segmenter": Box(0, 7, ("segmenter.py", "one film in, one segmentation out"), 3),
            "sources": Box(0, 8, ("sources/", "files, watched folders,", "listener, cameras")),
            "assessment": Box(1, 8, ("assessment/", "film gate, trust,", "measurements")),
            "inspection": Box(2, 8, ("inspection/", "flatbuffer, cost,", "Edge TPU rules")),
            "pixels": Box(0, 9, ("pixels.py", "geometry and grey values"), 1.5),
            "runtime": Box(1.5, 9, ("runtime/", "LiteRT, tflite-runtime, Edge TPU"), 1.5),
            "film": Box(0, 10, ("film.py", "pixels and what is known about them"), 3),
        },
        (
            ("cli", "archive", ""),
            ("cli", "station", ""),
            ("archive", "outputs", ""),
            *_chain("station", "adaptation", "corrections", "interface", "outputs", "record", "segmenter"),
            *(("segmenter", room, "") for room in ("sources", "assessment", "inspection")),
            *(("sources", "pixels", ""), ("inspection", "runtime", "")),
            *(("pixels", "film", ""), ("runtime", "film", "")),
        ),
    ),
    "film": Picture(
        "The way of a film, from its source to its record and back",
        {
            "source": Box(0, 0, ("source", "file, camera, sender")),
            "gate": Box(1.3, 0, ("film gate",)),
            "in": Box(2.6, 0, ("pixels in", "letterbox, int8")),
            "network": Box(3.9, 0, ("runtime", "the network")),
            "out": Box(3.9, 1.2, ("pixels out", "full-size masks")),
            "measure": Box(2.6, 1.2, ("measurements", "and trust")),
            "outputs": Box(1.3, 1.2, ("outputs", "mask, overlay, DICOM")),
            "record": Box(0, 1.2, ("record", "on disk, flushed")),
        },
        (
            ("source", "gate", "Arrival"),
            ("gate", "in", "accepted"),
            ("gate", "record", "rejected"),
            ("in", "network", ""),
            ("network", "out", "logits"),
            *_chain("out", "measure", "outputs", "record"),
            ("record", "source", "settle"),
        ),
    ),
    "batch": Picture(
        "The way of a batch, from a folder to weights",
        {
            "folder": Box(0, 0, ("folder", "of a data set")),
            "dataset": Box(1.3, 0, ("Dataset", "LabelledFilm,", "split by patient")),
            "packed": Box(2.6, 0, ("PackedFilms", "uint8, at the", "network's size")),
            "batch": Box(3.9, 0, ("batch", "grey, labels,", "127 = ignore")),
            "network": Box(3.9, 1.4, ("network", "build(keras, config)")),
            "loss": Box(2.6, 1.4, ("loss", "in keras.ops")),
            "weights": Box(1.3, 1.4, ("weights", "checkpoint, best")),
        },
        (
            ("folder", "dataset", "layout"),
            ("dataset", "packed", "pixels.py"),
            ("packed", "batch", "vary"),
            *_chain("batch", "network", "loss", "weights"),
        ),
    ),
    "model": Picture(
        "The way of a model, from a training run to one file",
        {
            "run": Box(0, 0.6, ("training run", "config.json, weights")),
            "legacy": Box(1.3, 0.6, ("legacy Keras", "the same function")),
            "float": Box(2.6, 0, ("without training", "float32, float16,", "dynamic range, PTQ")),
            "qat": Box(2.6, 1.2, ("QAT", "fine-tuning, then", "int8 at batch 1")),
            "accept": Box(3.9, 0.6, ("acceptance", "int8 throughout,", "Dice within budget")),
            "trust": Box(3.9, 1.9, ("calibration", "film gate, trust")),
            "file": Box(2.6, 2.3, ("model.tflite", "one file")),
            "manifest": Box(1.3, 2.3, ("beside it, as a zip", "manifest, card,", "licence")),
        },
        (
            ("run", "legacy", ""),
            ("legacy", "float", ""),
            ("legacy", "qat", ""),
            ("float", "accept", ""),
            ("qat", "accept", ""),
            ("accept", "trust", "yes"),
            ("trust", "file", ""),
            ("manifest", "file", ""),
        ),
    ),
    "measurement": Picture(
        "The way of a measurement, from models and films to a report and a comparison",
        {
            "models": Box(0, 0, ("models",)),
            "films": Box(0, 1, ("films", "with outlines")),
            "machine": Box(2.6, 2, ("machine", "facts,", "reference timing")),
            "rounds": Box(1.3, 0, ("rounds", "every model in turn,", "there and back")),
            "score": Box(1.3, 1, ("scores of each film", "Dice, IoU, HD95, ASD")),
            "latency": Box(2.6, 0, ("latency", "percentiles of", "each stage")),
            "summary": Box(2.6, 1, ("summary", "mean, 95 % interval", "over patients")),
            "report": Box(3.9, 1, ("report.json", "typed")),
            "page": Box(3.9, 0, ("page", "HTML, Markdown, plot")),
            "compare": Box(3.9, 2, ("compare", "limits, exit code")),
        },
        (
            ("models", "rounds", ""),
            ("models", "score", ""),
            ("films", "score", ""),
            ("rounds", "latency", ""),
            ("score", "summary", "cache"),
            ("latency", "report", ""),
            ("summary", "report", ""),
            ("machine", "report", ""),
            ("report", "page", ""),
            ("report", "compare", ""),
        ),
    ),
}
"""Each picture by its subject."""


def write_pictures(folder: Path) -> None:
    """Write `architecture-NAME.svg` of each picture into a folder."""
    for name, picture in PICTURES.items():
        (folder / f"architecture-{name}.svg").write_text(picture.svg())


if __name__ == "__main__":
    write_pictures(Path(sys.argv[1]))
