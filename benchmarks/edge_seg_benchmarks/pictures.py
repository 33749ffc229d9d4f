"""Pictures of a report: the plot of latency against Dice degradation, and films with truth and prediction."""

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

_FILM_HEIGHT = 300
_TRUTH, _FOUND = (120, 220, 120), (60, 140, 255)


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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()


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
        for mask, colour in ((truth, _TRUTH), (found, _FOUND)):
            small = cv2.resize(mask.astype(np.uint8), (width, _FILM_HEIGHT), interpolation=cv2.INTER_NEAREST)
            curves, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(panel, curves, -1, colour, 1, cv2.LINE_AA)
        strip = np.full((26, width, 3), 24, np.uint8)
        cv2.putText(
            strip, f"{title}: Dice {score:.3f}", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235,) * 3, 1, cv2.LINE_AA
        )
        panels.append(np.vstack([panel, strip]))
    return cv2.imencode(".png", np.hstack(panels))[1].tobytes()
