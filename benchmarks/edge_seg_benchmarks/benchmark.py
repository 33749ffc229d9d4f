"""The whole benchmark: accuracy and latency of several models in one run, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_seg import RESEARCH_USE, Segmenter
from edge_seg.errors import UsageError
from edge_seg.model_file import ModelFile
from edge_seg_data import Dataset

from edge_seg_benchmarks.accuracy.agreement import measure_agreement
from edge_seg_benchmarks.accuracy.failures import worst_failures
from edge_seg_benchmarks.accuracy.film_gate import measure_gate
from edge_seg_benchmarks.accuracy.films import PHANTOM
from edge_seg_benchmarks.accuracy.reliability import measure_reliability
from edge_seg_benchmarks.accuracy.robustness import CorruptedScore, score_corrupted, summarise_corrupted
from edge_seg_benchmarks.accuracy.score_cache import Journal
from edge_seg_benchmarks.accuracy.scores import degradation, main_region, subgroups, summarise
from edge_seg_benchmarks.accuracy.scoring import score_all
from edge_seg_benchmarks.configurations import describe_run, model_share, runs_elsewhere
from edge_seg_benchmarks.latency.cold_start import measure_cold_start
from edge_seg_benchmarks.latency.stages import ALONE, measure_latency
from edge_seg_benchmarks.latency.sustained import measure_sustained
from edge_seg_benchmarks.machine import machine_facts, machine_state
from edge_seg_benchmarks.models import float_twin, labels, model_facts, most_accurate
from edge_seg_benchmarks.peak.roofline import measure_peak
from edge_seg_benchmarks.peers import open_engine

SCHEMA = 2


@dataclass(frozen=True)
class Settings:
    """What to measure beside the models and films themselves.

    Attributes:
        split, limit: which films, and at most how many of each data set.
        engines: what runs the networks (see `peers.ENGINES`); the first also scores them and times whole films.
        threads: for inference; the first as above.
        repeats: rounds of the latency measurement.
        robustness: at most so many films of each data set are corrupted and scored, with the last model; 0 is none.
        should_reject: files, folders and globs of pictures that the last model's gate should reject.
        time_only: names of models that are not scored: references that nobody trained.
        peak: whether this machine's peak is measured, for each number of threads.
        sustained: minutes of films one after another, with the last model; 0 is none.
        command: how to repeat this.
    """

    split: str = "test"
    limit: int | None = None
    engines: tuple[str, ...] = ("litert",)
    threads: tuple[int, ...] = (1,)
    repeats: int = 30
    robustness: int = 0
    should_reject: tuple[str, ...] = ()
    time_only: tuple[str, ...] = ()
    peak: bool = True
    sustained: float = 0.0
    command: str = ""


def run_benchmark(
    models: Sequence[ModelFile],
    datasets: Sequence[Dataset],
    settings: Settings = Settings(),
    *,
    journal: Journal | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Score and time models; the first model is the reference of the speed-ups.

    Args:
        models: read from files.
        datasets: films with outlines; none measures latency alone.
        settings: what else.
        journal: keeps scores as they are found, and gives those of a run that was stopped.
        say: told of progress.

    Returns:
        The report as plain data, `schema` first.

    Raises:
        InputError: a data set has no films to score, or what should be rejected cannot be opened.
        UsageError: there are pictures to reject, and the last model has no gate; or films to score, and no model is
            scored.
        DeviceError: an engine is not installed.
    """
    split, limit, before = settings.split, settings.limit, machine_state()
    runtimes = [open_engine(settings.engines[0], model, settings.threads[0]) for model in models]
    segmenters = [Segmenter(model, runtime) for model, runtime in zip(models, runtimes, strict=True)]
    # Scores are the network's: a film that the gate would turn away is scored like every other.
    ungated = [Segmenter(model, runtime, gate=False) for model, runtime in zip(models, runtimes, strict=True)]
    scored = [i for i, model in enumerate(models) if model.manifest.name not in settings.time_only]
    if datasets and not scored:
        raise UsageError("there are films to score and every model is only timed: leave away --time-only or --data")
    # First, since it is quick to say what is wrong with a folder.
    gate = measure_gate(segmenters[-1], datasets, split, limit, settings.should_reject, say)
    found = dict(
        zip(scored, score_all([ungated[i] for i in scored], datasets, split, limit, journal, say), strict=True)
    )
    scores = [found.get(i, []) for i in range(len(models))]
    agreement = measure_agreement(ungated[-1], datasets, split, limit, say)
    elsewhere = runs_elsewhere(models, settings.engines, settings.threads)
    timings, timings_elsewhere, yardstick = measure_latency(
        segmenters, [run.segmenter for run in elsewhere], settings.repeats, say
    )
    latencies, during = [timing.summary() for timing in timings], machine_state()
    say("this machine's peak")
    peaks = {threads: measure_peak(threads) for threads in settings.threads if settings.peak}
    reference = most_accurate(models, scores)
    names = labels(models)
    facts = [{**model_facts(model), "label": name} for model, name in zip(models, names, strict=True)]
    entries = []
    for i, (model, segmenter) in enumerate(zip(models, segmenters, strict=True)):
        say(f"cold start of {names[i]}")
        twin = float_twin(model, models)
        entries.append(
            {
                **facts[i],
                "engine": settings.engines[0],
                "runtime": segmenter.runtime.name,
                "delegate": segmenter.runtime.delegate,
                "threads": segmenter.runtime.threads,
                "latency_ms": latencies[i],
                "samples_ms": timings[i].samples_ms,
                "warm_up": timings[i].warm_up,
                "inference_speed_up": latencies[0]["inference"]["p50"] / latencies[i]["inference"]["p50"],
                "share_of_peak": model_share(
                    facts[i], settings.engines[0], latencies[i][ALONE]["p50"], peaks.get(settings.threads[0])
                ),
                "cold_start": measure_cold_start(str(model.path), settings.threads[0], min(3, settings.repeats))
                if model.path
                else None,
                "scores": summarise(scores[i]),
                "degradation": [] if twin is None else degradation(scores[i], scores[twin]),
                "loss": [] if reference is None else degradation(scores[i], scores[reference]),
                "subgroups": subgroups(scores[i], main_region(s.region for s in scores[i]) or ""),
                "films": [asdict(score) for score in scores[i]],
            }
        )
    runs = [
        describe_run(
            run,
            timing,
            facts[run.place],
            ungated[run.place] if run.place in scored else None,
            peaks.get(run.threads),
        )
        for run, timing in zip(elsewhere, timings_elsewhere, strict=True)
    ]
    sustained = measure_sustained(segmenters[-1], settings.sustained, say) if settings.sustained else []
    corrupted: list[CorruptedScore] = []
    failures = []
    for dataset in datasets if settings.robustness else ():
        found_there = score_corrupted(ungated[-1], dataset, split, settings.robustness, say, journal)
        corrupted += found_there
        # By layout: a folder of somebody's films may be called phantom too.
        failures += worst_failures(found_there) if dataset.layout == PHANTOM else []
    trust, last = measure_reliability(corrupted), names[-1]
    return {
        "schema": SCHEMA,
        "notice": RESEARCH_USE,
        "command": settings.command,
        "machine": {**machine_facts(), "before": before, "during": during, "after": machine_state()},
        "datasets": [{"name": d.name, "layout": d.layout, "split": split, "limit": limit, **d.facts} for d in datasets],
        "models": entries,
        "reference": None if reference is None else names[reference],
        "runs": runs,
        "yardstick": yardstick.to_json(),
        "peak": [peaks[threads] for threads in peaks],
        "sustained": {"model": last, "curve": sustained} if sustained else None,
        "robustness": [{"model": last, **row} for row in summarise_corrupted(corrupted)],
        "trust": {"model": last, **trust} if trust else None,
        "agreement": [{"model": last, **row} for row in agreement],
        "gate": {"model": last, **gate} if gate else None,
        "failures": [{"model": last, **failure} for failure in failures],
        "instructions": None,
    }
