"""Counts the instructions of models on emulated cores, per inference and per stage."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from edge_seg import RESEARCH_USE, Segmenter
from edge_seg.assessment.film_gate import REJECT
from edge_seg.errors import DeviceError, ModelError
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.runtime import TFLiteRuntime
from edge_seg.version import __version__
from edge_seg_benchmarks.accuracy.scores import differing_pixels
from edge_seg_benchmarks.instruction_counts import (
    SCHEMA,
    CoreFacts,
    Emulation,
    FilmSize,
    InstructionCounts,
    ModelCounts,
    Saving,
)
from edge_seg_benchmarks.models import float_twin, label, model_facts

from edge_seg_lab.instructions.bench import Bench
from edge_seg_lab.instructions.cores import Core
from edge_seg_lab.instructions.emulator import Arm64Python, device_requirements, prepare

FILM_SIDE = 1024
STAGES = ("pixels_in", "gate", "inference", "pixels_out", "trust", "measure")
"""As in `Segmentation.timings_ms`, without `decode`: the film is already decoded."""

REPEATABLE = 0.005
"""Two runs differ by less than this share, so a larger difference is between models."""

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
) -> InstructionCounts:
    """Count the instructions of one film for each model on each core, on one thread.

    Args:
        models: to count.
        cores: names of the emulator's cores, with features switched on or off (`max,sme=off`).
        folder: keeps the emulator and its Python; filled the first time.
        runs: processes for each model and core, two or more; the counts report their spread.
        repeats: films counted and averaged in each process.
        command: command that repeats this.
        say: receives progress messages.

    Raises:
        DeviceError: the emulator cannot be installed, or a core's masks differ from this machine's.
        ModelError: a model cannot run, or its film gate rejects the phantom's film.
        UsageError: the emulator has no such core.
    """
    say("the emulator")
    python = prepare(folder, device_requirements())
    known = [python.core(name) for name in cores]
    pixels = phantom(FILM_SIDE, FILM_SIDE, seed=0).film.pixels
    expected = [_outlines(model, pixels) for model in models]
    rows, versions = _count_all(_Cases(models, known, expected, runs, repeats), python, pixels, say)
    return InstructionCounts(
        schema=SCHEMA,
        notice=RESEARCH_USE,
        command=command,
        machine=Emulation(
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            python.version,
            1,
            {"edge-seg": __version__, **versions},
        ),
        film=FilmSize(FILM_SIDE, FILM_SIDE, 8),
        runs=runs,
        repeats=repeats,
        cores=tuple(CoreFacts(core.name, core.dot_product, core.features) for core in known),
        rows=tuple(rows),
        comparisons=tuple(row for name in cores for row in compare_with_float32(models, name, rows)),
    )


@dataclass(frozen=True)
class _Cases:
    """What to count: every model on every core, in `runs` processes of `repeats` films, with the expected masks."""

    models: Sequence[ModelFile]
    cores: Sequence[Core]
    expected: Sequence[dict[str, np.ndarray]]
    runs: int
    repeats: int


def _count_all(
    cases: _Cases, python: Arm64Python, pixels: np.ndarray, say: Callable[[str], None]
) -> tuple[list[ModelCounts], dict[str, str]]:
    """Counts of all cases, and the versions of the packages that ran."""
    rows, versions = [], {}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(python, Path(name), pixels)
        for core in cases.cores:
            for model, masks in zip(cases.models, cases.expected, strict=True):
                counted = []
                for run in range(cases.runs):
                    say(f"{label(model)} on {core.name}, run {run + 1} of {cases.runs}")
                    found = bench.count(model, core.name, cases.repeats)
                    versions = found.versions
                    counted.append(_mean(found.films))
                rows.append(_counts(model, core, counted, _differing(model, core, masks, bench.masks)))
    return rows, versions


def compare_with_float32(models: Sequence[ModelFile], core: str, rows: Sequence[ModelCounts]) -> list[Saving]:
    """What quantisation saves on a core: each model against the float32 model of the same name, if any."""
    of_core = [row for row in rows if row.core == core]
    found = []
    for index, model in enumerate(models):
        twin = float_twin(model, models)
        if twin is not None:
            ours, theirs = of_core[index], of_core[twin]
            saved = 1 - ours.instructions["inference"] / theirs.instructions["inference"]
            bytes_saved = 1 - ours.bytes_moved / theirs.bytes_moved
            found.append(Saving(core, ours.label, theirs.label, saved, saved > REPEATABLE, bytes_saved))
    return found


def _outlines(model: ModelFile, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The masks on this machine, to compare with those of the emulated cores."""
    result = Segmenter(model, TFLiteRuntime(model.flatbuffer, threads=1))(pixels)
    if result.quality.verdict == REJECT:
        reason = result.quality.findings[0].text
        raise ModelError(f"{label(model)} rejects the phantom's film ({reason}): give a model of the chest")
    return result.masks


def _differing(model: ModelFile, core: Core, ours: dict[str, np.ndarray], theirs: Path) -> float:
    """Share of the outlined pixels that differ between this machine and a core."""
    with np.load(theirs) as found:
        differing = differing_pixels([(ours, found)])
    if differing > _MOST_DIFFERING:
        raise DeviceError(
            f"{label(model)}: {differing:.0%} of the outlines differ between {core.name} and this machine, so other "
            "work was counted: choose another core, or switch its extensions off (max,sme=off)"
        )
    return differing


def _mean(films: Sequence[dict[str, int]]) -> dict[str, float]:
    """Mean over the films of one process; `other` is the rest outside all stages."""
    mean = {name: statistics.fmean(film[name] for film in films) for name in (*STAGES, "film")}
    other = mean["film"] - sum(mean[stage] for stage in STAGES)
    # If the segmenter's clock were not the counter, the stages would be microseconds.
    if not 0 <= other < 0.1 * mean["film"]:
        raise DeviceError("the stages do not add up to the film: the segmenter no longer times by `time.perf_counter`")
    return {**{stage: mean[stage] for stage in STAGES}, "other": other, "film": mean["film"]}


def _counts(model: ModelFile, core: Core, counted: Sequence[dict[str, float]], differing: float) -> ModelCounts:
    facts = model_facts(model, label(model))
    values = {name: [run[name] for run in counted] for name in counted[0]}
    mean = {name: statistics.fmean(found) for name, found in values.items()}
    spread = {name: (max(found) - min(found)) / mean[name] if mean[name] else 0.0 for name, found in values.items()}
    return ModelCounts(
        **vars(facts),
        core=core.name,
        dot_product=core.dot_product,
        instructions=mean,
        spread=spread,
        runs=tuple(counted),
        differing_pixels=differing,
        instructions_per_mac=mean["inference"] / facts.macs if facts.macs else None,
    )
