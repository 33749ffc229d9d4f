"""Reports are read as written, also those of the previous version; a wrong value is refused by its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import edge_seg_benchmarks
import pytest
from edge_seg.errors import InputError
from edge_seg_benchmarks.schema import Report

TIMES = {"p50": 2.0, "p95": 3.0, "p99": 4.0, "mad": 0.1, "n": 3}
STATE = {"load_average": 0.5, "clock_mhz": None, "governor": None, "temperature_c": None, "throttled": None}


def version_2() -> dict[str, Any]:
    """A report in version 2's layout: runs and the last model's sections beside the models."""
    model = {
        "label": "m int8", "name": "m", "version": "1", "quantisation": "int8-qat", "sha256": "0", "input": [64, 64, 1],
        "parameters": 1, "macs": 1, "bytes_moved": 1, "file_bytes": 1, "int8_violations": [], "engine": "litert",
        "runtime": "litert 2", "delegate": "cpu", "threads": 1, "latency_ms": {"inference": TIMES},
        "samples_ms": {"inference": [1, 2.5]}, "warm_up": 6, "inference_speed_up": 1.0, "share_of_peak": None,
        "cold_start": None, "scores": [], "degradation": [], "loss": [], "subgroups": [], "films": [],
    }  # fmt: skip
    run = {
        "label": "m int8", "engine": "litert", "runtime": "litert 2", "delegate": "cpu", "threads": 2,
        "inference_ms": TIMES, "samples_ms": {"inference_alone": [1.0]}, "differing_pixels": 0.0, "share_of_peak": None,
        "notes": [], "operators": None,
    }  # fmt: skip
    row = {"mean": 0.9, "low": 0.8, "high": 1.0, "n": 2, "patients": 2, "dataset": "d", "split": "test"}
    corrupted = {**row, "region": "whole_lung", "corruption": "blur", "severity": 1, "dose": 1, "model": "m int8"}
    machine: dict[str, object] = {
        "date": "2026", "board": None, "processor": "p", "extensions": [], "architecture": "a", "cores": 2,
        "memory_gib": 4.0, "system": "Linux", "python": "3.11", "versions": {}, "before": STATE, "during": STATE,
        "after": STATE,
    }  # fmt: skip
    return {
        "schema": 2, "notice": "Research use only", "command": "", "machine": machine, "models": [model], "runs": [run],
        "datasets": [{"name": "d", "layout": "chest", "split": "test", "limit": None, "licence": "CC"}],
        "reference": None, "peak": [], "instructions": None, "robustness": [corrupted], "agreement": [], "failures": [],
        "yardstick": {"what": "products", "samples_ms": [1.0], "p5": 1.0, "p50": 1.0, "p95": 1.0}, "trust": None,
        "gate": {"model": "m int8", "datasets": [], "should_reject": []},
        "sustained": {"model": "m int8", "curve": [
            {**STATE, "minute": 1.0, "films_per_second": 2.0, "end_to_end_ms": TIMES, "inference_ms": TIMES}
        ]},
    }  # fmt: skip


def test_version_2_is_read_with_everything_in_its_place() -> None:
    report = Report.from_json(version_2())
    (model,) = report.models
    assert [(one.engine, one.threads) for one in model.configurations] == [("litert", 2)]
    assert [row.corruption for row in model.robustness] == ["blur"]
    assert model.film_gate is not None
    assert [point.minute for point in model.sustained] == [1.0]
    assert report.datasets[0].facts == {"licence": "CC"}
    assert report.reference_timing is not None
    assert Report.from_json(report.to_json()) == report


def test_a_report_is_as_its_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    written = json.loads(Report.from_json(version_2()).to_text())
    schema = json.loads((Path(edge_seg_benchmarks.__file__).parent / "schemas" / "report.json").read_text())
    jsonschema.validate(written, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "models": [{}]}, schema)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 1}, "schema is 1"),
        ({"runs": None}, "of another type"),
        ({"reference": 3}, "reference is 3"),
        ({"machine": {}}, "machine.date is missing"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**version_2(), **change}))
    with pytest.raises(InputError, match=said) as caught:
        Report.read(path)
    assert "\n" not in str(caught.value)
