"""Instructions of models on emulated cores, per inference and per stage, as plain data."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from edge_seg import RESEARCH_USE, Segmenter
from edge_seg.assessment.film_gate import REJECT
from edge_seg.errors import DeviceError, ModelError
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.runtime import TFLiteRuntime
from edge_seg.version import __version__
from edge_seg_benchmarks.accuracy.scores import differing_pixels
from edge_seg_benchmarks.models import float_twin, label, model_facts

from edge_seg_lab.instructions.bench import Bench
from edge_seg_lab.instructions.emulator import device_requirements, prepare

SCHEMA = 1
FILM_SIDE = 1024
STAGES = ("pixels_in", "gate", "inference", "pixels_out", "trust", "measure")
"""As in `Segmentation.timings_ms`; `decode` is left out, since the film is read before."""

REPEATABLE = 0.005
"""Two runs differ by less; so does what counts as a difference between models."""

_MOST_DIFFERING = 0.01


def count_instructions(
    models: Sequence[ModelFile],
    cores: Sequence[str],
    folder: Path,
    *,
    runs: int = 2,
    repeats: int = 3,
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Count what one film costs each model on each core, on one thread.

    Args:
        models: the models.
        cores: names of cores that the emulator knows, with what is switched on or off (`max,sme=off`).
        folder: keeps the emulator and its Python; filled the first time.
        runs: processes for each model and core, two or more; their spread is in the report.
        repeats: films that are counted in each process, whose mean is taken.
        command: how to repeat this.
        say: told of progress.

    Returns:
        The report as plain data, `schema` first. Instructions are means of a film.

    Raises:
        DeviceError: the emulator cannot be had here, or a core computes something else than this machine does.
        ModelError: a model cannot be run, or turns the phantom's film away.
        UsageError: the emulator knows no such core.
    """
    say("the emulator")
    python = prepare(folder, device_requirements())
    known = [python.core(name) for name in cores]
    pixels = phantom(FILM_SIDE, FILM_SIDE, seed=0).film.pixels
    expected = [_outlines(model, pixels) for model in models]
    rows, versions = [], {}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(python, Path(name), pixels)
        for core in known:
            for model, masks in zip(models, expected, strict=True):
                counted = []
                for run in range(runs):
                    say(f"{label(model)} on {core.name}, run {run + 1} of {runs}")
                    found = bench.count(model, core.name, repeats)
                    versions = found["versions"]
                    counted.append(_mean(found["films"]))
                differing = _differing(masks, bench.masks)
                if differing > _MOST_DIFFERING:
                    raise DeviceError(
                        f"{label(model)}: {differing:.0%} of the outlines differ between {core.name} and here, so "
                        "something else was counted: choose another core, or switch its extensions off (max,sme=off)"
                    )
                rows.append({**model_facts(model), "core": core.name, "dot_product": core.dot_product, **_row(counted)})
                rows[-1] |= {"differing_pixels": differing, "instructions_per_mac": _per_mac(rows[-1])}
    return {
        "schema": SCHEMA,
        "notice": RESEARCH_USE,
        "command": command,
        "machine": {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "emulator": python.version,
            "threads": 1,
            "versions": {"edge-seg": __version__, **versions},
        },
        "film": {"height": FILM_SIDE, "width": FILM_SIDE, "bits": 8},
        "runs": runs,
        "repeats": repeats,
        "cores": [{"name": c.name, "dot_product": c.dot_product, "features": list(c.features)} for c in known],
        "rows": rows,
        "comparisons": [row for name in cores for row in compare_with_float32(models, name, rows)],
    }


def compare_with_float32(
    models: Sequence[ModelFile], core: str, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What quantisation saves on a core: each model against the float32 one of its name, where there is one.

    Returns:
        `core`, `label`, `float32` (its label), `saved` and `bytes_saved`, shares of float32's instructions per
        inference and of its bytes moved, and `saves`, whether the first is more than two runs differ by.
    """
    of_core = [row for row in rows if row["core"] == core]
    found = []
    for index, model in enumerate(models):
        twin = float_twin(model, models)
        if twin is not None:
            ours, theirs = of_core[index], of_core[twin]
            saved = 1 - ours["instructions"]["inference"] / theirs["instructions"]["inference"]
            found.append(
                {
                    "core": core,
                    "label": ours["label"],
                    "float32": theirs["label"],
                    "saved": saved,
                    "saves": saved > REPEATABLE,
                    "bytes_saved": 1 - ours["bytes_moved"] / theirs["bytes_moved"],
                }
            )
    return found


def _outlines(model: ModelFile, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What this machine finds, to hold the emulated cores against."""
    result = Segmenter(model, TFLiteRuntime(model.flatbuffer, threads=1))(pixels)
    if result.quality.verdict == REJECT:
        reason = result.quality.findings[0].text
        raise ModelError(f"{label(model)} turns the phantom's film away ({reason}): give a model of the chest")
    return result.masks


def _differing(ours: dict[str, np.ndarray], theirs: Path) -> float:
    """Share of the outlined pixels that are in one alone."""
    with np.load(theirs) as found:
        return differing_pixels([(ours, found)])


def _mean(films: Sequence[dict[str, int]]) -> dict[str, float]:
    """Of the films of one process; `other` is what no stage has."""
    mean = {name: statistics.fmean(film[name] for film in films) for name in (*STAGES, "film")}
    other = mean["film"] - sum(mean[stage] for stage in STAGES)
    # Were the segmenter's clock not the counter, the stages would be microseconds.
    if not 0 <= other < 0.1 * mean["film"]:
        raise DeviceError("the stages do not add up to the film: the segmenter no longer times by `time.perf_counter`")
    return {**{stage: mean[stage] for stage in STAGES}, "other": other, "film": mean["film"]}


def _row(counted: Sequence[dict[str, float]]) -> dict[str, Any]:
    values = {name: [run[name] for run in counted] for name in counted[0]}
    mean = {name: statistics.fmean(found) for name, found in values.items()}
    spread = {name: (max(found) - min(found)) / mean[name] if mean[name] else 0.0 for name, found in values.items()}
    return {"instructions": mean, "spread": spread, "runs": list(counted)}


def _per_mac(row: dict[str, Any]) -> float | None:
    return row["instructions"]["inference"] / row["macs"] if row["macs"] else None
