"""The same networks on other engines and with other numbers of threads: timed in the same rounds, not scored again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from edge_seg import Segmenter
from edge_seg.flatbuffer import read_graph
from edge_seg.inspection import inspect_model
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.runtime import ENGINES

from edge_seg_benchmarks.latency import ALONE, FILM_SIDE, Timing
from edge_seg_benchmarks.models import label
from edge_seg_benchmarks.peak import share_of_peak
from edge_seg_benchmarks.peers import EDGE_TPU, by_kind, open_engine, operator_profile
from edge_seg_benchmarks.traffic import bytes_moved

_COMPARED_FILMS = 4
_PROFILED = 5


@dataclass(frozen=True)
class Run:
    """A model on an engine.

    Attributes:
        model: which.
        scored: place of the model among those that are scored and timed as a whole.
        engine, threads: what runs it.
        segmenter: with it.
    """

    model: ModelFile
    scored: int
    engine: str
    threads: int
    segmenter: Segmenter


def runs_elsewhere(models: Sequence[ModelFile], engines: Sequence[str], threads: Sequence[int]) -> list[Run]:
    """Every model on every engine with every number of threads, but for the first engine with the first number.

    On an Edge TPU those that were compiled for it, once: it has no threads.

    Raises:
        DeviceError: an engine is not installed.
        ModelError: it cannot run a model.
    """
    found = []
    for engine, count, (place, model) in product(engines, threads, enumerate(models)):
        if engine == EDGE_TPU and (model.manifest.edge_tpu is None or count != threads[0]):
            continue
        if (engine, count) != (engines[0], threads[0]):
            runtime = open_engine(engine, model, count)
            found.append(Run(model, place, engine, count, Segmenter(model, runtime, gate=False)))
    return found


def describe_run(run: Run, timing: Timing, first: Segmenter, peak: dict[str, Any] | None) -> dict[str, Any]:
    """A run as it stands in a report.

    Args:
        run: which.
        timing: of its inference.
        first: the same model on the first engine.
        peak: of the machine, with as many threads.
    """
    runtime = run.segmenter.runtime
    tensor = run.segmenter.prepare(phantom(FILM_SIDE, FILM_SIDE, seed=0).film)[0]
    summary = timing.summary()[ALONE]
    return {
        "label": label(run.model),
        "engine": run.engine,
        "runtime": runtime.name,
        "threads": runtime.threads,
        "inference_ms": summary,
        "samples_ms": timing.samples_ms,
        "differing_pixels": differing_pixels(run.segmenter, first),
        # The peak is that of the device's own engines: others multiply int8 in ways that these do not.
        "share_of_peak": model_share(run.model, summary["p50"], peak) if run.engine in ENGINES else None,
        "notes": list(runtime.notes),
        "operators": by_kind(profile) if (profile := operator_profile(runtime, tensor, _PROFILED)) else None,
    }


def model_share(model: ModelFile, milliseconds: float, peak: dict[str, Any] | None) -> dict[str, Any] | None:
    """See `peak.share_of_peak`; `None` where the peak was not measured."""
    if peak is None:
        return None
    moved = bytes_moved(read_graph(model.flatbuffer))
    return share_of_peak(inspect_model(model).macs, moved, milliseconds, model.manifest.quantisation, peak)


def differing_pixels(segmenter: Segmenter, other: Segmenter) -> float:
    """Share of the pixels of both segmenters' outlines, on films of the phantom, that are in one alone."""
    differing = outlined = 0
    for seed in range(_COMPARED_FILMS):
        film = phantom(512, 512, seed=seed).film
        ours, theirs = segmenter(film).masks, other(film).masks
        for name, mask in ours.items():
            differing += int(np.count_nonzero(mask != theirs[name]))
            outlined += int(np.count_nonzero(mask | theirs[name]))
    return differing / outlined if outlined else 0.0
