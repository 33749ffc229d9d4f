"""Pictures of a report: latency against Dice lost, estimated against true Dice, films with their outlines."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import numpy as np
from edge_seg import Segmenter, pixels
from edge_seg_data import Dataset, truth_regions

from edge_seg_benchmarks.accuracy.reliability import TrustFigures
from edge_seg_benchmarks.accuracy.scores import DiceDifference
from edge_seg_benchmarks.latency.sustained import SustainedPoint
from edge_seg_benchmarks.schema import ModelReport

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

_FILM_HEIGHT = 300
_MARKERS = "os^Dv"
TRUTH, FOUND = (120, 220, 120), (60, 140, 255)
"""Colours of outlines: blue, green, red."""


def data_uri(picture: bytes, form: str = "png") -> str:
    """A picture (`png`, `svg+xml`) as a `data:` address, for a page that needs no other file."""
    return f"data:image/{form};base64,{base64.b64encode(picture).decode()}"


def plot_pareto(
    models: Sequence[ModelReport], region: str, reference: str, form: str, only: str | None = None
) -> bytes | None:
    """Median inference time against Dice lost on one region, a panel for each data set; bars are 95 % intervals.

    The line joins the models that no other model beats on both.

    Args:
        models: of a report.
        region: to plot.
        reference: label of the reference model for losses.
        form: `png` or `svg`.
        only: a data set, to draw its panel alone.

    Returns:
        `None` if no model was scored.
    """
    points = [(m, row) for m in models for row in m.loss if row.region == region and only in (None, row.dataset)]
    if not points:
        return None
    datasets = list(dict.fromkeys((row.dataset, row.split) for _, row in points))
    styles = _Styles(
        list(dict.fromkeys(m.name for m, _ in points)), list(dict.fromkeys(m.quantisation for m, _ in points))
    )
    figure, axes = plt.subplots(
        1, len(datasets), figsize=(1.4 + 3.6 * len(datasets), 4.4), dpi=130, squeeze=False, layout="constrained"
    )
    for axis, key in zip(axes[0], datasets, strict=True):
        _draw_panel(axis, [(m, row) for m, row in points if (row.dataset, row.split) == key], styles)
    axes[0, 0].set_ylabel(f"Dice minus {reference},\n{region.replace('_', ' ')}", fontsize=9)
    handles = styles.handles()
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5), fontsize=8)
    return _save(figure, form)


@dataclass(frozen=True)
class _Styles:
    """A colour for each model name, a marker for each form of quantisation."""

    names: list[str]
    forms: list[str]

    def colour(self, name: str) -> Any:
        return plt.get_cmap("tab10")(self.names.index(name))

    def marker(self, form: str) -> str:
        return _MARKERS[self.forms.index(form) % len(_MARKERS)]

    def handles(self) -> list[Line2D]:
        names = [Line2D([], [], marker="o", linestyle="", color=self.colour(n), label=n) for n in self.names]
        forms = [Line2D([], [], marker=self.marker(f), linestyle="", color="0.4", label=f) for f in self.forms]
        return [*names, *forms, Line2D([], [], color="0.35", linewidth=1, label="front")]


def _draw_panel(axis: Axes, points: Sequence[tuple[ModelReport, DiceDifference]], styles: _Styles) -> None:
    for model, row in points:
        bars = [[row.mean - row.low], [row.high - row.mean]]
        axis.errorbar(
            model.latency_ms["inference"].p50, row.mean, bars, fmt=styles.marker(model.quantisation),
            color=styles.colour(model.name), ms=6, capsize=3, alpha=0.85,
        )  # fmt: skip
    best = front([(model.latency_ms["inference"].p50, row.mean) for model, row in points])
    axis.plot(*zip(*best, strict=True), color="0.35", linewidth=1, zorder=0, drawstyle="steps-post")
    axis.axhline(0, color="0.7", linewidth=0.8, linestyle=":")
    _, row = points[0]
    axis.set(xscale="log", xlabel="inference, median (ms)", title=f"{row.dataset} {row.split} (n = {row.n})")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.title.set_fontsize(9)
    axis.grid(alpha=0.25, which="both")


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point beats in both time and Dice (Pareto).

    Args:
        points: `(milliseconds, Dice)`.

    Returns:
        Fastest first.

    >>> front([(2, 0.90), (8, 0.95), (9, 0.94)])
    [(2, 0.9), (8, 0.95)]
    """
    best: list[tuple[float, float]] = []
    for time, dice in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or dice > best[-1][1]:
            best.append((time, dice))
    return best


def plot_sustained(curve: Sequence[SustainedPoint], model: str) -> bytes:
    """PNG: time per film over the minutes, with the temperature if the machine reports it.

    Args:
        curve: from `measure_sustained`.
        model: its label.
    """
    figure, axis = plt.subplots(figsize=(7.2, 3.2), dpi=130, layout="constrained")
    minutes = [point.minute for point in curve]
    axis.plot(minutes, [point.end_to_end_ms.p50 for point in curve], color="C0", label="whole film, median")
    axis.plot(minutes, [point.end_to_end_ms.p95 for point in curve], color="C0", linestyle=":", label="p95")
    axis.set(xlabel="minute", ylabel="ms", title=model, ylim=(0, None))
    axis.grid(alpha=0.25)
    temperatures = [point.temperature_c for point in curve if point.temperature_c is not None]
    if len(temperatures) == len(curve):
        beside = axis.twinx()
        beside.plot(minutes, temperatures, color="C3", label="temperature")
        beside.set_ylabel("degrees Celsius")
        beside.legend(fontsize=7.5, loc="upper right")
    axis.legend(fontsize=7.5, loc="lower right")
    return _save(figure, "png")


def plot_reliability(trust: TrustFigures) -> bytes:
    """PNG: true against estimated Dice, a panel for each data set; each point is one film under one corruption."""
    low = trust.low_trust
    # Start at the lowest tenth that holds a point: most films are close to 1.
    lowest = min(low, *(min(pair.estimate, pair.dice) for pair in trust.pairs))
    limits = np.floor(lowest * 10) / 10, 1.0
    figure, axes = plt.subplots(
        1, len(trust.datasets), figsize=(1.2 + 3.2 * len(trust.datasets), 3.6), dpi=130,
        sharex=True, sharey=True, squeeze=False, layout="compressed",
    )  # fmt: skip
    for axis, row in zip(axes[0], trust.datasets, strict=True):
        pairs = [pair for pair in trust.pairs if (pair.dataset, pair.split) == (row.dataset, row.split)]
        estimates, truths = [pair.estimate for pair in pairs], [pair.dice for pair in pairs]
        axis.plot((0, 1), (0, 1), color="0.4", linewidth=0.8, label="estimate = truth")
        axis.axvline(low, color="0.6", linestyle=":", linewidth=1)
        axis.axhline(low, color="0.6", linestyle=":", linewidth=1, label=f"{low:g}, low trust")
        axis.scatter(estimates, truths, s=9, alpha=0.35, linewidths=0, label="film under a corruption")
        tenths = [b.estimate for b in row.bins], [b.dice for b in row.bins]
        axis.plot(*tenths, "o-", color="C1", ms=4, label="tenths, mean")
        title = f"{row.dataset} {row.split} (n = {row.with_corruptions})\n{row.region.replace('_', ' ')}"
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("estimated Dice")
        axis.set(xlim=limits, ylim=limits, aspect="equal")
        axis.grid(alpha=0.25)
    axes[0, 0].set_ylabel("true Dice of the lungs")
    axes[0, 0].legend(fontsize=6.5, loc="upper left")
    return _save(figure, "png")


def outlines_of(mask: np.ndarray, size: tuple[int, int]) -> Sequence[np.ndarray]:
    """Contours of a bool mask, for OpenCV to draw on a picture of another size (`(width, height)` in pixels)."""
    small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def draw_examples(segmenter: Segmenter, dataset: Dataset, films: Sequence[tuple[str, float]], region: str) -> bytes:
    """PNG: best, median and worst film side by side with truth (green) and prediction (orange).

    Args:
        segmenter: the model.
        dataset: of the films.
        films: `(name, Dice)` of all films.
        region: the one whose outline is drawn.
    """
    ordered = sorted(films, key=lambda item: item[1])
    chosen = (("best", ordered[-1]), ("median", ordered[len(ordered) // 2]), ("worst", ordered[0]))
    by_name = {film.name: film for film in dataset.films}
    panels = []
    for title, (name, score) in chosen:
        picture, outlines = by_name[name].load()
        truth, found = truth_regions(outlines)[region][0], segmenter(picture).regions[region]
        width = max(1, round(_FILM_HEIGHT * picture.shape[1] / picture.shape[0]))
        panel = cv2.cvtColor(cv2.resize(pixels.to_grey8(picture), (width, _FILM_HEIGHT)), cv2.COLOR_GRAY2BGR)
        for mask, colour in ((truth, TRUTH), (found, FOUND)):
            cv2.drawContours(panel, outlines_of(mask, (width, _FILM_HEIGHT)), -1, colour, 1, cv2.LINE_AA)
        strip = np.full((26, width, 3), 24, np.uint8)
        cv2.putText(
            strip, f"{title}: Dice {score:.3f}", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235,) * 3, 1, cv2.LINE_AA
        )
        panels.append(np.vstack([panel, strip]))
    return cv2.imencode(".png", np.hstack(panels))[1].tobytes()


def _save(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    # Without a date or random names, the same figures give the same SVG file.
    with matplotlib.rc_context({"svg.hashsalt": "edge-seg"}):
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else None)
    plt.close(figure)
    return buffer.getvalue()
