"""Pictures of a report: latency against Dice degradation, estimated against true Dice, films with their outlines."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib
import numpy as np
from edge_seg import Segmenter, pixels
from edge_seg.datasets import Dataset, truth_regions

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_FILM_HEIGHT = 300
TRUTH, FOUND = (120, 220, 120), (60, 140, 255)
"""Colours of outlines: blue, green, red."""


def data_uri(png: bytes) -> str:
    """A PNG as a `data:` address, for a page that needs no other file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def plot_degradation(models: Sequence[dict[str, Any]], region: str) -> bytes | None:
    """PNG: median inference time against the Dice lost to quantisation on one region; bars are 95 % intervals.

    Args:
        models: entries of a report.
        region: which.

    Returns:
        `None` where no model has a float twin to be compared with.
    """
    compared = [m for m in models if any(row["region"] == region for row in m["degradation"])]
    if not compared:
        return None
    datasets = list(dict.fromkeys(row["dataset"] for m in compared for row in m["degradation"]))
    figure, axis = plt.subplots(figsize=(7.2, 3.8), dpi=130, layout="constrained")
    colours = plt.get_cmap("tab10")
    for i, model in enumerate(compared):
        for j, dataset in enumerate(datasets):
            row = next((r for r in model["degradation"] if (r["dataset"], r["region"]) == (dataset, region)), None)
            if row is None:
                continue
            milliseconds = model["latency_ms"]["inference"]["p50"] * (1 + 0.012 * (j - (len(datasets) - 1) / 2))
            bars = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
            axis.errorbar(
                milliseconds, row["mean"], bars, fmt="os^Dv"[j % 5], color=colours(i), capsize=4,
                label=f"{model['label']}, {dataset} (n = {row['n']})",
            )  # fmt: skip
    references = {m["name"] for m in compared}
    for model in models:
        if model["quantisation"] == "float32" and model["name"] in references:
            axis.axvline(model["latency_ms"]["inference"]["p50"], color="0.6", linestyle=":", label=model["label"])
    axis.axhline(0, color="0.4", linewidth=0.8)
    axis.set_xlabel("inference, median (ms)")
    axis.set_ylabel(f"Dice minus float32, {region.replace('_', ' ')}")
    axis.grid(alpha=0.25)
    axis.legend(fontsize=7.5)
    return _png(figure)


def plot_reliability(trust: dict[str, Any]) -> bytes:
    """PNG: true against estimated Dice, a panel for each data set; a point is one film under one corruption.

    Args:
        trust: of `measure_reliability`.
    """
    datasets, low = trust["datasets"], trust["low_trust"]
    # From the lowest tenth that holds a point: most films lie close to 1.
    lowest = min(low, *(min(pair["estimate"], pair["dice"]) for pair in trust["pairs"]))
    limits = np.floor(lowest * 10) / 10, 1.0
    figure, axes = plt.subplots(
        1, len(datasets), figsize=(1.2 + 3.2 * len(datasets), 3.6), dpi=130,
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis, row in zip(axes[0], datasets, strict=True):
        pairs = [p for p in trust["pairs"] if (p["dataset"], p["split"]) == (row["dataset"], row["split"])]
        estimates, truths = [p["estimate"] for p in pairs], [p["dice"] for p in pairs]
        axis.plot((0, 1), (0, 1), color="0.4", linewidth=0.8, label="estimate = truth")
        axis.axvline(low, color="0.6", linestyle=":", linewidth=1)
        axis.axhline(low, color="0.6", linestyle=":", linewidth=1, label=f"{low:g}, low trust")
        axis.scatter(estimates, truths, s=9, alpha=0.35, linewidths=0, label="film under a corruption")
        bins = row["bins"]
        axis.plot(
            [b["estimate"] for b in bins], [b["dice"] for b in bins], "o-", color="C1", ms=4, label="tenths, mean"
        )
        axis.set_title(f"{row['dataset']} {row['split']} (n = {row['with_corruptions']})", fontsize=9)
        axis.set_xlabel("estimated Dice")
        axis.set(xlim=limits, ylim=limits, aspect="equal")
        axis.grid(alpha=0.25)
    axes[0, 0].set_ylabel("true Dice, whole lung")
    axes[0, 0].legend(fontsize=6.5, loc="upper left")
    return _png(figure)


def outlines_of(mask: np.ndarray, size: tuple[int, int]) -> Sequence[np.ndarray]:
    """Curves around a bool mask on a picture of another size, `(width, height)` in pixels, as OpenCV draws them."""
    small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def draw_examples(segmenter: Segmenter, dataset: Dataset, films: Sequence[tuple[str, float]], region: str) -> bytes:
    """PNG: best, median and worst film side by side with truth (green) and prediction (orange).

    Args:
        segmenter: the model.
        dataset: of the films.
        films: `(name, Dice)` of all of them.
        region: whose outline is drawn.
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


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()
