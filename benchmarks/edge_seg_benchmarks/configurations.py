"""The same networks on other engines and with other numbers of threads: timed in the same rounds, not scored again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.runtime import ENGINES

from edge_seg_benchmarks.accuracy.scores import differing_pixels
from edge_seg_benchmarks.latency.stages import ALONE, FILM_SIDE, Timing
from edge_seg_benchmarks.peak.roofline import share_of_peak
from edge_seg_benchmarks.peers import EDGE_TPU, by_kind, open_engine, operator_profile

_COMPARED_FILMS = 4
_PROFILED = 5


@dataclass(frozen=True)
class Run:
    """A model on an engine.

    Attributes:
        model: which.
        place: of the model among those of the report.
        engine, threads: what runs it.
        segmenter: with it.
    """

    model: ModelFile
    place: int
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


def describe_run(
    run: Run, timing: Timing, facts: dict[str, Any], first: Segmenter | None, peak: dict[str, Any] | None
) -> dict[str, Any]:
    """A run as it stands in a report.

    Args:
        run: which.
        timing: of its inference.
        facts: `model_facts` of its model.
        first: the same model on the first engine, which its outlines are compared with; `None` of a model that is only
            timed, whose operators are not timed one by one either.
        peak: of the machine, with as many threads.
    """
    runtime = run.segmenter.runtime
    summary = timing.summary()[ALONE]
    return {
        "label": facts["label"],
        "engine": run.engine,
        "runtime": runtime.name,
        "delegate": runtime.delegate,
        "threads": runtime.threads,
        "inference_ms": summary,
        "samples_ms": timing.samples_ms,
        "differing_pixels": None if first is None else _differing(run.segmenter, first),
        "share_of_peak": model_share(facts, run.engine, summary["p50"], peak),
        "notes": list(runtime.notes),
        "operators": None if first is None else _operators(run.segmenter),
    }


def model_share(
    facts: dict[str, Any], engine: str, milliseconds: float, peak: dict[str, Any] | None
) -> dict[str, Any] | None:
    """See `peak.roofline.share_of_peak`; `None` where the peak was not measured."""
    # It is that of the device's own engines: others multiply int8 in ways that these do not.
    if peak is None or engine not in ENGINES:
        return None
    return share_of_peak(facts["macs"], facts["bytes_moved"], milliseconds, facts["quantisation"], peak)


def _differing(segmenter: Segmenter, other: Segmenter) -> float:
    films = [phantom(512, 512, seed=seed).film for seed in range(_COMPARED_FILMS)]
    return differing_pixels((segmenter(film).masks, other(film).masks) for film in films)


def _operators(segmenter: Segmenter) -> list[dict[str, Any]] | None:
    tensor = segmenter.prepare(phantom(FILM_SIDE, FILM_SIDE, seed=0).film)[0]
    profile = operator_profile(segmenter.runtime, tensor, _PROFILED)
    return by_kind(profile) if profile else None
