"""The whole benchmark: accuracy and latency of several models in one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge_seg import RESEARCH_USE, Segmenter
from edge_seg.errors import UsageError
from edge_seg.model_file import ModelFile
from edge_seg_data import Dataset

from edge_seg_benchmarks.accuracy.agreement import measure_agreement
from edge_seg_benchmarks.accuracy.failures import worst_failures
from edge_seg_benchmarks.accuracy.film_gate import measure_film_gate
from edge_seg_benchmarks.accuracy.films import PHANTOM
from edge_seg_benchmarks.accuracy.masks import score_masks
from edge_seg_benchmarks.accuracy.reliability import measure_reliability
from edge_seg_benchmarks.accuracy.robustness import CLEAN, as_they_are, score_corrupted, summarise_corrupted
from edge_seg_benchmarks.accuracy.score_cache import ScoreCache
from edge_seg_benchmarks.accuracy.scores import FilmScore, dice_differences, main_region, subgroups, summarise
from edge_seg_benchmarks.accuracy.scoring import score_all
from edge_seg_benchmarks.accuracy.seen import seen_films
from edge_seg_benchmarks.configurations import (
    ConfigurationReport,
    describe_configuration,
    model_share,
    other_configurations,
)
from edge_seg_benchmarks.latency.cold_start import ColdStart, measure_cold_start
from edge_seg_benchmarks.latency.reference_timing import ReferenceTimes
from edge_seg_benchmarks.latency.stages import ALONE, Timing, measure_latency
from edge_seg_benchmarks.latency.sustained import measure_sustained
from edge_seg_benchmarks.machine import MachineState, machine_facts, machine_state
from edge_seg_benchmarks.models import ModelFacts, float_twin, labels, model_facts, most_accurate
from edge_seg_benchmarks.peak.roofline import Peak, measure_peak
from edge_seg_benchmarks.peers import open_engine
from edge_seg_benchmarks.schema import DatasetReport, Machine, ModelReport, Report

_COLD_STARTS = 3

_Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        split, limit: which films, and at most how many of each data set.
        engines: what runs the networks (see `peers.ENGINES`); the first also scores them and times whole films.
        threads: for inference; the first number also scores and times whole films.
        repeats: rounds of the latency measurement.
        robustness: films of each data set that are corrupted and scored, with the last model; 0 for none.
        should_reject: files, folders and globs of pictures that the last model's film gate should reject.
        masks: folders of masks from other programs, also scored: `FOLDER` or `STRUCTURE=FOLDER`.
        time_only: names of models that are timed but not scored: references that were never trained.
        peak: whether to measure this machine's peak, for each number of threads.
        sustained: minutes of segmenting films back to back with the last model; 0 for none.
        command: how to repeat the run.
    """

    split: str = "test"
    limit: int | None = None
    engines: tuple[str, ...] = ("litert",)
    threads: tuple[int, ...] = (1,)
    repeats: int = 30
    robustness: int = 0
    should_reject: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    time_only: tuple[str, ...] = ()
    peak: bool = True
    sustained: float = 0.0
    command: str = ""


@dataclass(frozen=True)
class _Subject:
    """A model on the first engine.

    Scores are the network's, so `segmenter` has no film gate and scores every film.
    """

    model: ModelFile
    facts: ModelFacts
    gated: Segmenter
    segmenter: Segmenter
    scored: bool


@dataclass(frozen=True)
class _Latency:
    """Times of all models and configurations, measured in the same rounds."""

    timings: list[Timing]
    configurations: list[list[ConfigurationReport]]
    reference: ReferenceTimes
    peaks: dict[int, Peak]
    during: MachineState


def run_benchmark(
    models: Sequence[ModelFile],
    datasets: Sequence[Dataset],
    settings: Settings = Settings(),
    *,
    cache: ScoreCache | None = None,
    say: _Say = lambda text: None,
) -> Report:
    """Score and time models; the first model is the reference of the speed-ups.

    Args:
        models: read from files; may be empty if there are masks to score.
        datasets: films with outlines; without any, only latency is measured.
        settings: what to measure.
        cache: receives scores as they are computed, and supplies those of a stopped run.
        say: receives progress messages.

    Raises:
        InputError: a data set has no films to score, or pictures to reject cannot be opened.
        UsageError: two data sets have one name, there are pictures to reject but the last model has no film gate, films
            to score but every model is only timed, masks but no films, or nothing to measure.
        DeviceError: an engine is not installed.
    """
    before = machine_state()
    _refuse_equal_names(datasets)
    if settings.masks and not datasets:
        raise UsageError("masks are scored against outlines: give the films that they are of by --data")
    if not models and not settings.masks:
        raise UsageError("there is nothing to measure: give a model, or --masks FOLDER")
    masks = tuple(score_masks(given, datasets, settings.split, settings.limit, say) for given in settings.masks)
    report = Report(
        notice=RESEARCH_USE,
        command=settings.command,
        machine=Machine(**vars(machine_facts()), before=before, during=before, after=before),
        datasets=tuple(DatasetReport(d.name, d.layout, settings.split, settings.limit, d.facts) for d in datasets),
        models=(),
        reference=None,
        masks=masks,
    )
    return _with_models(report, models, datasets, settings, cache, say) if models else report


def _refuse_equal_names(datasets: Sequence[Dataset]) -> None:
    """Rows of a report are told apart by the names of the data sets."""
    for name, count in Counter(dataset.name for dataset in datasets).items():
        if count > 1:
            folders = [one.report.folder for one in datasets if one.name == name and one.report is not None]
            where = f" ({', '.join(folders)})" if folders else ""
            raise UsageError(
                f"{count} data sets are called {name}{where}: give each once; rename a folder, or give a link to it of "
                "another name"
            )


def _with_models(
    report: Report,
    models: Sequence[ModelFile],
    datasets: Sequence[Dataset],
    settings: Settings,
    cache: ScoreCache | None,
    say: _Say,
) -> Report:
    """The report with all measurements of models."""
    subjects = _open(models, settings)
    if datasets and not any(subject.scored for subject in subjects):
        raise UsageError(
            "there are films to score, but every model is only timed: remove --time-only or --data, or give a manifest "
            "(edge-seg inspect --write-manifest) to a model that has none"
        )
    last, split, limit = subjects[-1], settings.split, settings.limit
    # First, since it reports problems with a folder within seconds.
    film_gate = measure_film_gate(last.gated, datasets, split, limit, settings.should_reject, say)
    scores = _score(subjects, datasets, settings, cache, say)
    agreement = measure_agreement(last.segmenter, datasets, split, limit, say)
    latency = _measure_latency(subjects, settings, say)
    reference = most_accurate(models, scores)
    entries = [_describe(i, subjects, scores, latency, reference, settings, say) for i in range(len(subjects))]
    sustained = measure_sustained(last.gated, settings.sustained, say)
    entries[-1] = replace(entries[-1], film_gate=film_gate, agreement=tuple(agreement), sustained=sustained)
    entries[-1] = _with_robustness(entries[-1], last.segmenter, datasets, settings, cache, say)
    return replace(
        report,
        machine=replace(report.machine, during=latency.during, after=machine_state()),
        models=tuple(entries),
        reference=None if reference is None else entries[reference].label,
        reference_timing=latency.reference,
        peak=tuple(latency.peaks.values()),
    )


def _open(models: Sequence[ModelFile], settings: Settings) -> list[_Subject]:
    subjects = []
    for model, label in zip(models, labels(models), strict=True):
        runtime = open_engine(settings.engines[0], model, settings.threads[0])
        scored = model.manifest.name not in settings.time_only
        gated, segmenter = Segmenter(model, runtime), Segmenter(model, runtime, gate=False)
        subjects.append(_Subject(model, model_facts(model, label), gated, segmenter, scored))
    return subjects


def _score(
    subjects: Sequence[_Subject], datasets: Sequence[Dataset], settings: Settings, cache: ScoreCache | None, say: _Say
) -> list[list[FilmScore]]:
    """Scores of each model; empty for those that are only timed."""
    segmenters = [subject.segmenter for subject in subjects if subject.scored]
    found = iter(score_all(segmenters, datasets, settings.split, settings.limit, cache, say))
    return [next(found) if subject.scored else [] for subject in subjects]


def _measure_latency(subjects: Sequence[_Subject], settings: Settings, say: _Say) -> _Latency:
    others = other_configurations([subject.model for subject in subjects], settings.engines, settings.threads)
    timings, other_timings, reference = measure_latency(
        [subject.gated for subject in subjects], [other.segmenter for other in others], settings.repeats, say
    )
    during = machine_state()
    if settings.peak:
        say("this machine's peak")
    peaks = {threads: measure_peak(threads) for threads in settings.threads if settings.peak}
    described: list[list[ConfigurationReport]] = [[] for _ in subjects]
    for other, timing in zip(others, other_timings, strict=True):
        subject = subjects[other.model]
        first = subject.segmenter if subject.scored else None
        described[other.model].append(
            describe_configuration(other, timing, subject.facts, first, peaks.get(other.threads))
        )
    return _Latency(timings, described, reference, peaks, during)


def _describe(
    place: int,
    subjects: Sequence[_Subject],
    scores: Sequence[Sequence[FilmScore]],
    latency: _Latency,
    reference: int | None,
    settings: Settings,
    say: _Say,
) -> ModelReport:
    """The measurements made of every model."""
    subject, films, timing = subjects[place], scores[place], latency.timings[place]
    runtime, summary, first = subject.segmenter.runtime, timing.summary(), latency.timings[0].summary()
    twin = float_twin(subject.model, [other.model for other in subjects])
    say(f"cold start of {subject.facts.label}")
    return ModelReport(
        **vars(subject.facts),
        engine=settings.engines[0],
        runtime=runtime.name,
        delegate=runtime.delegate,
        threads=runtime.threads,
        latency_ms=summary,
        samples_ms=timing.frozen(),
        warm_up=timing.warm_up,
        inference_speed_up=first["inference"].p50 / summary["inference"].p50,
        share_of_peak=model_share(
            subject.facts, settings.engines[0], summary[ALONE].p50, latency.peaks.get(settings.threads[0])
        ),
        cold_start=_cold_start(subject.model, settings),
        scores=tuple(summarise(films)),
        degradation=() if twin is None else tuple(dice_differences(films, scores[twin])),
        loss=() if reference is None else tuple(dice_differences(films, scores[reference])),
        subgroups=tuple(subgroups(films, main_region(score.region for score in films) or "")),
        films=tuple(films),
        seen=tuple(seen_films(subject.model, films)),
        configurations=tuple(latency.configurations[place]),
    )


def _cold_start(model: ModelFile, settings: Settings) -> ColdStart | None:
    if model.path is None:
        return None
    return measure_cold_start(str(model.path), settings.threads[0], min(_COLD_STARTS, settings.repeats))


def _with_robustness(
    entry: ModelReport,
    segmenter: Segmenter,
    datasets: Sequence[Dataset],
    settings: Settings,
    cache: ScoreCache | None,
    say: _Say,
) -> ModelReport:
    """A model's entry with its scores under corruptions, and the figures derived from them."""
    corrupted, failures = [], []
    for dataset in datasets if settings.robustness else ():
        found = score_corrupted(segmenter, dataset, settings.split, settings.robustness, say, cache)
        corrupted += found
        # By layout: a user's folder may be called phantom too.
        failures += worst_failures(found) if dataset.layout == PHANTOM else []
    # All uncorrupted films, not only those that were also corrupted.
    pairs = [*as_they_are(entry.films, settings.split), *(score for score in corrupted if score.corruption != CLEAN)]
    return replace(
        entry,
        robustness=tuple(summarise_corrupted(corrupted)),
        trust=measure_reliability(pairs, segmenter.low_trust),
        failures=tuple(failures),
    )
