"""How a running session is: what it did last, what waits, what is wrong. For the page, the metrics and the watchdog."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_seg.assessment.film_gate import ACCEPT, REJECT, WARN
from edge_seg.assessment.kinds import INVERTED
from edge_seg.errors import EdgeSegError
from edge_seg.film import Failure, Film, inverted
from edge_seg.hardware import HOT_C, LITTLE_SPACE_BYTES, board_name, temperature_c, throttling
from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.outbox import REASONS_NAME, Outbox
from edge_seg.record import AnyRecord, DoneRecord, FailedRecord
from edge_seg.segmenter import Segmenter
from edge_seg.sources import Source
from edge_seg.station.layers import Layers
from edge_seg.station.session import Observer, Summary
from edge_seg.version import __version__

RECENT = 30
"""Films that the page lists."""

_PASSED = 8
"""Frames that gave way to newer ones and can still be asked for: a browser asks a moment after it was told of one."""

STUCK_S = 60.0
"""A session that has not stirred for so long hangs; the largest film takes a few seconds on the slowest board."""


class Health(Observer):
    """Watches a session. What it tells may be asked from other threads.

    Args:
        segmenter, source, output: of the session.
    """

    def __init__(self, segmenter: Segmenter, source: Source, output: OutputFolder) -> None:
        self._segmenter, self._source, self._output = segmenter, source, output
        self._lock = threading.Lock()
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self._passed: deque[dict[str, Any]] = deque(maxlen=_PASSED)
        self._layers: dict[int, Layers] = {}
        self._summary = Summary()
        self._started = self._ticked = time.monotonic()
        self._started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._waiting: str | None = None
        self._inference_s = 0.0

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """See `Observer.film`."""
        layers = self._in_layers(content, record)
        with self._lock:
            self._waiting = None
            self._summary = summary
            if record is not None:
                if isinstance(record, DoneRecord):
                    self._inference_s += record.timings_ms.get("inference", 0.0) / 1000
                self._add({"number": summary.count, **_in_short(record), "layers": layers is not None}, layers)

    def _in_layers(self, content: Film | Failure, record: AnyRecord | None) -> Layers | None:
        """The layers of a film, `None` where its outlines are not written."""
        if isinstance(content, Failure) or not isinstance(record, DoneRecord):
            return None
        written = {file.name for file in record.files}
        masks = {name: f"{record.stem}.{name}.png" for name in record.structures}
        if not (record.rejected or written >= set(masks.values())):
            return None
        exchanged = any(one.code == INVERTED and one.verdict != REJECT for one in record.quality.findings)
        shown = inverted(content) if exchanged else content
        layers = Layers(shown, {name: self._output.folder / file for name, file in masks.items() if file in written})
        if not _is_of_a_camera(record.source):
            # A frame soon gives way to the next one; a large film must not stay in memory.
            layers.picture()
        return layers

    def _add(self, film: dict[str, Any], layers: Layers | None) -> None:
        """Note a film; frames of a camera are one entry for each state, or they would crowd the films out."""
        film["frames"] = 1
        if _is_of_a_camera(film["source"]):
            for older in self._recent:
                if (older["source"], older["status"]) == (film["source"], film["status"]):
                    film["frames"] += older["frames"]
                    self._recent.remove(older)
                    self._passed.append(older)
                    break
        self._recent.appendleft(film)
        listed = {one["number"] for one in (*self._recent, *self._passed)}
        self._layers = {number: one for number, one in self._layers.items() if number in listed}
        if layers is not None:
            self._layers[film["number"]] = layers

    def tick(self) -> None:
        """See `Observer.tick`."""
        self._ticked = time.monotonic()

    def waiting(self, error: EdgeSegError) -> None:
        """See `Observer.waiting`."""
        self._waiting = str(error)

    @property
    def alive(self) -> bool:
        """Whether the session stirs."""
        return time.monotonic() - self._ticked < STUCK_S

    def recent(self) -> list[dict[str, Any]]:
        """The newest films in short, newest first."""
        with self._lock:
            return list(self._recent)

    def overlay(self, number: int) -> Path | None:
        """The overlay of a recent film by its number, `None` where there is none."""
        with self._lock:
            names = [film["overlay"] for film in (*self._recent, *self._passed) if film["number"] == number]
        return self._output.folder / names[0] if names and names[0] else None

    def picture(self, number: int) -> bytes | None:
        """A recent film without outlines, as JPEG; `None` where there is none, or its results were removed."""
        with self._lock:
            layers = self._layers.get(number)
        overlay = self.overlay(number)
        if layers is None or (overlay is not None and not overlay.exists()):
            return None
        return layers.picture()

    def outlines(self, number: int) -> dict[str, Any] | None:
        """The outlines of a recent film, see `Layers.outlines`; `None` where there are none."""
        with self._lock:
            layers = self._layers.get(number)
        return None if layers is None else layers.outlines(self._segmenter.manifest.structures)

    def state(self) -> dict[str, Any]:
        """All of it, as JSON has it; see `docs/reference/service.md`."""
        with self._lock:
            summary, recent, waiting = self._summary, list(self._recent), self._waiting
        manifest, runtime = self._segmenter.manifest, self._segmenter.runtime
        state: dict[str, Any] = {
            "notice": RESEARCH_USE,
            "edge_seg": __version__,
            "started_at": self._started_at,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "model": {"name": manifest.name, "version": manifest.version, "sha256": manifest.flatbuffer_sha256},
            "lung": self._segmenter.lung,
            "runtime": runtime.name,
            "delegate": runtime.delegate,
            "films": {
                "done": summary.done,
                "rejected": summary.rejected,
                "failed": summary.failed,
                "skipped": summary.skipped,
            },
            "inference_s": round(self._inference_s, 3),
            "sources": [vars(one) for one in self._source.state()],
            "outbox": _of_outbox(self._output.outbox),
            "notices": _of_outbox(self._output.notices),
            "free_bytes": _free(self._output.folder),
            "board": board_name(),
            "temperature_c": temperature_c(),
            "throttling": throttling(),
            "recent": recent,
        }
        state["problems"] = self._problems(state, waiting)
        return state

    def _problems(self, state: dict[str, Any], waiting: str | None) -> list[str]:
        found = [] if self.alive else [f"nothing has stirred for over {STUCK_S:.0f} s: start it again"]
        found += [waiting] if waiting else []
        found += self._output.troubles
        found += [f"{one['name']} {one['trouble']}" for one in state["sources"] if one["trouble"]]
        for name, what in (("outbox", "results"), ("notices", "records")):
            sending = state[name]
            if sending and sending["trouble"]:
                found.append(f"{what} wait: {sending['trouble']}")
            if sending and sending["refused"]:
                reason = sending["last_refusal"]
                found.append(
                    f"{sending['refused']} {what} were set aside: see {name}/refused/{REASONS_NAME}"
                    f"{f' (the last: {reason})' if reason else ''}"
                )
        if state["free_bytes"] is not None and state["free_bytes"] < LITTLE_SPACE_BYTES:
            found.append(f"only {state['free_bytes'] / 1e6:.0f} MB of disk are free")
        if state["temperature_c"] is not None and state["temperature_c"] >= HOT_C:
            found.append(f"{state['temperature_c']:.0f} degrees Celsius: it slows down; let air in")
        found += [f"the board says: {reason}" for reason in (state["throttling"] or {}).get("now", [])]
        return found


def _is_of_a_camera(source: str) -> bool:
    return source.startswith("camera ")


def _in_short(record: AnyRecord) -> dict[str, Any]:
    """What a list of films says of one."""
    short: dict[str, Any] = {
        "name": record.name,
        "source": record.source,
        "patient": None,
        "recorded_at": record.recorded_at,
        "status": record.status,
        "overlay": None,
        "notes": [],
    }
    if isinstance(record, FailedRecord):
        return {**short, "notes": [record.error]}
    overlays = [file.name for file in record.files if file.name.endswith((".overlay.jpg", ".overlay.png"))]
    return {
        **short,
        "patient": asdict(record.patient) if record.patient else None,
        "status": {REJECT: "rejected", WARN: "check", ACCEPT: "done"}[record.quality.verdict],
        "overlay": overlays[0] if overlays else None,
        "notes": list(record.warnings),
        "low_trust": bool(record.flagged),
        "estimated_dice": record.estimated_dice,
        # Of a rejected film nothing was measured; zeros would look like findings.
        "areas": {} if record.rejected else {name: asdict(area) for name, area in record.areas.items()},
        "ratios": {} if record.rejected else record.ratios,
        "age_s": record.film.age_s,
        "taken_at": record.film.taken_at,
    }


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _of_outbox(outbox: Outbox | None) -> dict[str, Any] | None:
    if outbox is None:
        return None
    return {
        "waiting": len(outbox),
        "refused": outbox.refused,
        "sent": outbox.sent,
        "trouble": outbox.trouble,
        "last_refusal": outbox.last_refusal,
    }
