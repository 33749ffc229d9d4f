"""The outcome of the last adaptation of a folder of results, for the page and for the next adaptation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_seg.adaptation.kept import FOLDER, KeptModels
from edge_seg.storage import write_atomically
from edge_seg.typed_json import parse_object, read_fields

STATUS_NAME = "adaptation.json"

ACCEPTED, REFUSED, TOO_FEW, NOTHING_NEW = "accepted", "refused", "too few", "nothing new"
TAKEN_BACK = "taken back"


@dataclass(frozen=True)
class Status:
    """The outcome of an adaptation.

    Attributes:
        when: ISO 8601, by the machine's clock.
        outcome: `accepted`, `refused`, `too few`, `taken back` or `nothing new`; the last is never kept.
        why: one line.
        last_correction: number of the newest correction that was considered.
        asked: SHA-256 of the flatbuffer that was to be adapted.
        model: file name of the new model if it was accepted.
    """

    when: str
    outcome: str
    why: str
    last_correction: int = 0
    asked: str = ""
    model: str = ""

    def to_json(self) -> dict[str, object]:
        """The status as a JSON object."""
        return asdict(self)


def read_status(results: Path) -> Status | None:
    """The outcome of the last adaptation, `None` if there was none or it cannot be read."""
    try:
        return read_fields(Status, parse_object((results / FOLDER / STATUS_NAME).read_text()), newer=True)
    except (OSError, ValueError):
        return None


def keep_status(results: Path, status: Status) -> Status:
    """Store the outcome of an adaptation.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(results / FOLDER / STATUS_NAME, json.dumps(status.to_json(), indent=2).encode() + b"\n")
    return status


def lines_of_learning(results: Path, name: str, version: str, sha256: str) -> list[str]:
    """What a page says about learning: which model waits for the next start, and how the last adaptation ended.

    Args:
        results: folder of results.
        name, version, sha256: of the model that runs; the checksum is of its flatbuffer.
    """
    kept, running = KeptModels(results), f"{name} {version}"
    waiting, status = kept.waiting(name, version, sha256), read_status(results)
    lines = []
    if waiting is not None and (damage := kept.damage(waiting)) is not None:
        lines.append(f"{waiting} cannot be used ({damage}): {running} runs; edge-seg adapt --back, or --again")
    elif waiting is not None:
        lines.append(f"{waiting} waits for the next start; until then {running} runs")
    if status is not None:
        lines.append(f"last learned {status.when[:16].replace('T', ' ')} UTC, {status.outcome}: {status.why}")
    return lines
