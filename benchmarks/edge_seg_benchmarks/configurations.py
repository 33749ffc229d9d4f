"""Configurations: the same networks on other engines and numbers of threads, timed in the same rounds, not scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.runtime import ENGINES

from edge_seg_benchmarks.accuracy.scores import differing_pixels
from edge_seg_benchmarks.latency.stages import ALONE, FILM_SIDE, Percentiles, Timing
from edge_seg_benchmarks.models import ModelFacts
from edge_seg_benchmarks.peak.roofline import Peak, PeakShare, share_of_peak
from edge_seg_benchmarks.peers import EDGE_TPU, OperatorKind, by_kind, open_engine, operator_profile

_COMPARED_FILMS = 4
_PROFILED_RUNS = 5


@dataclass(frozen=True)
class Configuration:
    """A model on an engine.

    Attributes:
        model: index of the model in the report.
        engine, threads: what runs it.
        segmenter: with this engine, without film gate.
    """

    model: int
    engine: str
    threads: int
    segmenter: Segmenter


@dataclass(frozen=True)
class ConfigurationReport:
    """What a report says about a configuration.

    Attributes:
        engine, runtime, delegate, threads: what ran the network.
        inference_ms: of inference alone.
        samples_ms: the times, in order, by stage.
        differing_pixels: share of outlined pixels that differ from the first engine's; `None` for a model that is only
            timed.
        share_of_peak: `None` if the peak was not measured or is not comparable.
        notes: what the engine does differently.
        operators: time per kind of operator, if the engine reports it.
    """

    engine: str
    runtime: str
    delegate: str
    threads: int
    inference_ms: Percentiles
    samples_ms: dict[str, tuple[float, ...]]
    differing_pixels: float | None
    share_of_peak: PeakShare | None
    notes: tuple[str, ...]
    operators: tuple[OperatorKind, ...] | None


def other_configurations(
    models: Sequence[ModelFile], engines: Sequence[str], threads: Sequence[int]
) -> list[Configuration]:
    """Every model on every engine with every number of threads, except the first engine with the first number.

    An Edge TPU runs only models compiled for it, and only once: it has no threads.

    Raises:
        DeviceError: an engine is not installed.
        ModelError: an engine cannot run a model.
    """
    found = []
    for engine, count, (place, model) in product(engines, threads, enumerate(models)):
        if engine == EDGE_TPU and (model.manifest.edge_tpu is None or count != threads[0]):
            continue
        if (engine, count) != (engines[0], threads[0]):
            runtime = open_engine(engine, model, count)
            found.append(Configuration(place, engine, count, Segmenter(model, runtime, gate=False)))
    return found


def describe_configuration(
    configuration: Configuration, timing: Timing, facts: ModelFacts, first: Segmenter | None, peak: Peak | None
) -> ConfigurationReport:
    """Figures of a configuration.

    Args:
        configuration: what ran.
        timing: of its inference.
        facts: of its model.
        first: the same model on the first engine, to compare masks with; `None` for a model that is only timed, whose
            operators are not profiled either.
        peak: of the machine, with as many threads.
    """
    segmenter = configuration.segmenter
    runtime, summary = segmenter.runtime, timing.summary()[ALONE]
    return ConfigurationReport(
        engine=configuration.engine,
        runtime=runtime.name,
        delegate=runtime.delegate,
        threads=runtime.threads,
        inference_ms=summary,
        samples_ms=timing.frozen(),
        differing_pixels=None if first is None else _differing(segmenter, first),
        share_of_peak=model_share(facts, configuration.engine, summary.p50, peak),
        notes=tuple(runtime.notes),
        operators=None if first is None else _operators(segmenter),
    )


def model_share(facts: ModelFacts, engine: str, milliseconds: float, peak: Peak | None) -> PeakShare | None:
    """Share of the machine's peak; `None` if it was not measured or the engine is not one of the device's own.

    The peak is measured with the device's engines; others multiply int8 in their own ways.
    """
    if peak is None or engine not in ENGINES:
        return None
    return share_of_peak(facts.macs, facts.bytes_moved, milliseconds, facts.quantisation, peak)


def _differing(segmenter: Segmenter, other: Segmenter) -> float:
    films = [phantom(512, 512, seed=seed).film for seed in range(_COMPARED_FILMS)]
    return differing_pixels((segmenter(film).masks, other(film).masks) for film in films)


def _operators(segmenter: Segmenter) -> tuple[OperatorKind, ...] | None:
    tensor = segmenter.prepare(phantom(FILM_SIDE, FILM_SIDE, seed=0).film)[0]
    profile = operator_profile(segmenter.runtime, tensor, _PROFILED_RUNS)
    return tuple(by_kind(profile)) if profile else None
