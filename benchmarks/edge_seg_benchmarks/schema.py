"""The report of `edge-seg benchmark`: versioned, typed, to JSON and back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import InputError
from edge_seg.typed_json import parse_object, read_fields

from edge_seg_benchmarks.accuracy.agreement import RatioAgreement
from edge_seg_benchmarks.accuracy.failures import KnownFailure
from edge_seg_benchmarks.accuracy.film_gate import FilmGateFigures
from edge_seg_benchmarks.accuracy.masks import MaskReport
from edge_seg_benchmarks.accuracy.reliability import TrustFigures
from edge_seg_benchmarks.accuracy.robustness import CorruptedDice
from edge_seg_benchmarks.accuracy.scores import DiceDifference, FilmScore, RegionScores, SubgroupDice
from edge_seg_benchmarks.accuracy.seen import SeenFilms
from edge_seg_benchmarks.configurations import ConfigurationReport
from edge_seg_benchmarks.instruction_counts import InstructionCounts
from edge_seg_benchmarks.latency.cold_start import ColdStart
from edge_seg_benchmarks.latency.reference_timing import ReferenceTimes
from edge_seg_benchmarks.latency.stages import Percentiles
from edge_seg_benchmarks.latency.sustained import SustainedPoint
from edge_seg_benchmarks.machine import MachineFacts, MachineState
from edge_seg_benchmarks.models import ModelFacts
from edge_seg_benchmarks.peak.roofline import Peak, PeakShare

SCHEMA = 3
"""Version of the report's fields. Version 2, which keeps parts of each model's entry outside it, is still read."""


@dataclass(frozen=True)
class Machine(MachineFacts):
    """The machine, and its state before, during and after the run."""

    before: MachineState
    during: MachineState
    after: MachineState


@dataclass(frozen=True)
class DatasetReport:
    """A data set, which of its films were used, and its facts (sources, licences)."""

    name: str
    layout: str
    split: str
    limit: int | None
    facts: dict[str, str]


@dataclass(frozen=True)
class ModelReport(ModelFacts):
    """All measurements of one model.

    Attributes:
        engine, runtime, delegate, threads: what ran the network.
        latency_ms: percentiles per stage.
        samples_ms: the times themselves, in order.
        warm_up: films and inferences run before the times were steady.
        inference_speed_up: over the first model.
        share_of_peak: `None` if the peak was not measured or is not comparable.
        cold_start: `None` for a model without a file.
        scores: per data set and region; empty for a model that is only timed.
        degradation: Dice minus that of the float32 model of the same name.
        loss: Dice minus that of the report's `reference`.
        subgroups: Dice of the main region by attributes of the films.
        films: the scores of every film.
        seen: scored films that the model was trained with, per data set; empty if none is known.
        configurations: other engines and numbers of threads.
        robustness, trust, agreement, film_gate, failures, sustained: for the last model only.
    """

    engine: str
    runtime: str
    delegate: str
    threads: int
    latency_ms: dict[str, Percentiles]
    samples_ms: dict[str, tuple[float, ...]]
    warm_up: int
    inference_speed_up: float
    share_of_peak: PeakShare | None = None
    cold_start: ColdStart | None = None
    scores: tuple[RegionScores, ...] = ()
    degradation: tuple[DiceDifference, ...] = ()
    loss: tuple[DiceDifference, ...] = ()
    subgroups: tuple[SubgroupDice, ...] = ()
    films: tuple[FilmScore, ...] = ()
    seen: tuple[SeenFilms, ...] = ()
    configurations: tuple[ConfigurationReport, ...] = ()
    robustness: tuple[CorruptedDice, ...] = ()
    trust: TrustFigures | None = None
    agreement: tuple[RatioAgreement, ...] = ()
    film_gate: FilmGateFigures | None = None
    failures: tuple[KnownFailure, ...] = ()
    sustained: tuple[SustainedPoint, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        notice: research use only.
        command: how to repeat the run.
        machine: where it ran.
        datasets: those that were scored.
        models: in the order given; the first is the reference for the speed-ups; empty if only masks were scored.
        reference: label of the most accurate model, the reference for losses; `None` without scores.
        reference_timing: how fast the machine was during the run; `None` in old reports.
        peak: of the machine, for each number of threads.
        instructions: on emulated ARM cores, if they were counted.
        masks: scores of masks from other programs.
        schema: version of these fields.
    """

    notice: str
    command: str
    machine: Machine
    datasets: tuple[DatasetReport, ...]
    models: tuple[ModelReport, ...]
    reference: str | None
    reference_timing: ReferenceTimes | None = None
    peak: tuple[Peak, ...] = ()
    instructions: InstructionCounts | None = None
    masks: tuple[MaskReport, ...] = ()
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Plain data, `schema` first."""
        return {"schema": self.schema, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Report:
        """A report from plain data.

        Raises:
            ValueError: it is not a report of a known schema; the message names the field.
        """
        version = data.get("schema")
        if version == 2:
            data = _from_version_2(data)
        elif version != SCHEMA:
            raise ValueError(f"its schema is {version}, not {SCHEMA}")
        return read_fields(cls, data)

    @classmethod
    def read(cls, path: Path) -> Report:
        """A report from its `report.json`.

        Raises:
            InputError: it cannot be read, or is not a report of a known schema.
        """
        try:
            return cls.from_json(parse_object(path.read_text()))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}): give a report.json") from error
        except ValueError as error:
            problem = f"{path}: not a report of this version of `edge-seg benchmark` ({error})"
            raise InputError(f"{problem}: run the benchmark again") from error

    def to_text(self) -> str:
        """The content of `report.json`."""
        return json.dumps(self.to_json(), indent=1) + "\n"


def _from_version_2(data: dict[str, Any]) -> dict[str, Any]:
    """Move the sections outside the models into the models, under their current names."""
    try:
        entries = [{**model, "configurations": []} for model in data["models"]]
        models = {entry["label"]: entry for entry in reversed(entries)}
        for run in data["runs"]:
            models[run["label"]]["configurations"].append(_without(run, "label"))
        for name in ("robustness", "agreement", "failures"):
            for row in data[name]:
                models[row["model"]].setdefault(name, []).append(_without(row, "model"))
        for name, now in (("trust", "trust"), ("gate", "film_gate")):
            if data[name]:
                models[data[name]["model"]][now] = _without(data[name], "model")
        if data["sustained"]:
            models[data["sustained"]["model"]]["sustained"] = data["sustained"]["curve"]
        datasets = [
            {"facts": _without(one, *_DATASET_FIELDS), **{name: one[name] for name in _DATASET_FIELDS}}
            for one in data["datasets"]
        ]
        kept = {name: data[name] for name in ("notice", "command", "machine", "reference", "peak", "instructions")}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{error} is missing or of another type") from error
    return {
        **kept,
        "datasets": datasets,
        "models": entries,
        "reference_timing": data.get("yardstick"),
        "schema": SCHEMA,
    }


_DATASET_FIELDS = ("name", "layout", "split", "limit")


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}
