"""Checks a model already made from the same run and settings against another budget, without training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from edge_seg.errors import ModelError
from edge_seg.model_file import ModelFile
from edge_seg.storage import write_atomically
from edge_seg_train.checkpoint import WEIGHTS_NAME

from edge_seg_quantize.acceptance import AcceptanceReport
from edge_seg_quantize.own import OWN_NAME
from edge_seg_quantize.settings import QuantizeSettings

REFUSED = "refused"
"""Kind of a model that was not accepted, see `beside`."""

_NOT_OF_THE_MODEL = ("dice_budget", "quiet")


def origin_of(run: Path, settings: QuantizeSettings) -> str:
    """A hash of all that determines the quantised model: the run's weights, and the settings except the budget."""
    weights = next((path for path in (run / OWN_NAME, run / f"best.{WEIGHTS_NAME}") if path.is_file()), run)
    data = weights.read_bytes() if weights.is_file() else b""
    chosen = {name: value for name, value in asdict(settings).items() if name not in _NOT_OF_THE_MODEL}
    return hashlib.sha256(data + json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:16]


def beside(out: Path, kind: str) -> Path:
    """Path of another form of the model in `out`: `lungs.ptq.tflite` beside `lungs.tflite`."""
    return out.with_name(f"{out.stem}.{kind}{out.suffix}")


def made_before(out: Path, made_from: str) -> Path | None:
    """The existing model of that origin, accepted or refused; `None` if there is none."""
    return next((path for path in (out, beside(out, REFUSED)) if _made_from(path) == made_from), None)


def answer(made: Path, out: Path, budget: float, say: Callable[[str], None]) -> AcceptanceReport:
    """Check an existing model against another budget, and move it to where it then belongs.

    Args:
        made: from `made_before`.
        out: path of the model once it is accepted.
        budget: see `AcceptanceReport`.
        say: receives progress messages.

    Raises:
        ModelError: the model is over that budget.
    """
    file = ModelFile.read(made)
    report = replace(AcceptanceReport.from_json(file.manifest.checks), budget=budget)
    say(f"{made} was made from this run with these settings: it is not trained again (remove it for that)")
    data = replace(file, manifest=replace(file.manifest, checks=report.to_json())).to_bytes()
    try:
        report.check()
    except ModelError as error:
        _put(data, beside(out, REFUSED), out)
        raise ModelError(f"{error}; the model is in {beside(out, REFUSED)}") from error
    _put(data, out, beside(out, REFUSED))
    say(f"wrote {out} ({out.stat().st_size / 1000:.0f} kB)")
    return report


def _put(data: bytes, place: Path, other: Path) -> None:
    write_atomically(place, data)
    other.unlink(missing_ok=True)


def _made_from(path: Path) -> str:
    """What the model in a file was made from; empty if the file is missing or holds something else."""
    if not path.is_file():
        return ""
    try:
        return str(ModelFile.read(path).manifest.checks.get("made_from", ""))
    except ModelError:
        return ""
