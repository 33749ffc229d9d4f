"""Guards against films that crash or hang the process: they are segmented in a child process."""

from __future__ import annotations

import base64
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edge_seg.archive.contents import Archive, PlannedFilm
from edge_seg.errors import DeviceError, EdgeSegError, InputError, ModelError
from edge_seg.film import Failure
from edge_seg.record import record_of_failure

TIMEOUT_S = 120.0
"""Seconds for one film; the largest take a few."""

TRIES = 2
"""Crashes or time-outs after which a film fails: a single one may be the machine's fault."""

_START_S = 120.0
"""Seconds for a process to be ready; Python and LiteRT load in two, or far more from a busy network disk."""

CHILD = (sys.executable, "-m", "edge_seg.archive.child")
"""Command of the child process."""


class _Lost(Exception):
    """The process is gone, or was given up; the text says how."""


class Guard:
    """Segments films in a child process, and starts another if that is lost.

    The process starts with the first film. One guard serves one thread at a time.

    Args:
        archive: whose films they are.
        timeout_s: seconds for one film.
        command: started in place of `CHILD`; it speaks the same protocol.
    """

    def __init__(self, archive: Archive, timeout_s: float = TIMEOUT_S, command: Sequence[str] = ()) -> None:
        self._timeout_s, self._command = timeout_s, command or CHILD
        self._folder = tempfile.TemporaryDirectory(prefix="edge-seg-")
        model = Path(self._folder.name) / "model.tflite"
        model.write_bytes(archive.model.to_bytes())
        self._settings = {
            "model": str(model),
            "lung": archive.settings.lung,
            "gate": archive.settings.gate,
            "timeout_s": timeout_s,
        }
        self._child: subprocess.Popen[bytes] | None = None

    def segment(self, film: PlannedFilm, file: Path | None = None) -> dict[str, Any]:
        """A film's row: its record as JSON, its `number`, and its `masks`.

        Args:
            film: as it was planned.
            file: where its bytes are, if they were fetched.

        Raises:
            DeviceError, ModelError: the process does not become ready; no film is at fault.
            DeviceError: the film's store does not answer, or denies access; no film is at fault.
        """
        if film.problem is not None:
            return failed(film, film.problem)
        how = ""
        for _ in range(TRIES):
            if self._child is None:
                self._start()
            try:
                row = self._ask(
                    {
                        "source": film.source,
                        "size": film.size,
                        "modified_ns": film.modified_ns,
                        "file": None if file is None else str(file),
                    }
                )
            except _Lost as lost:
                self._end()
                how = str(lost)
                continue
            if row.get("exit_code") == DeviceError.exit_code:
                raise DeviceError(row["error"])
            for mask in row["masks"].values():
                mask["runs"] = np.frombuffer(base64.b64decode(mask["runs"]), np.uint32)
            return {**row, "number": film.number}
        return failed(film, f"{film.source}: {how}, {TRIES} times: look at this file elsewhere")

    def close(self) -> None:
        """End the process."""
        self._end()
        self._folder.cleanup()

    def _start(self) -> None:
        with tempfile.TemporaryFile() as said:
            # In its own session: Ctrl-C reaches only the parent, and killing the group ends all that the child started.
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, start_new_session=True
            )
            self._rest = b""
            try:
                reply = self._ask(self._settings, _START_S)
            except _Lost as lost:
                self._end()
                said.seek(0)
                last = (said.read().decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
                raise DeviceError(
                    f"the process that segments films cannot start: {lost} ({last}): run edge-seg doctor"
                ) from lost
        if not reply.get("ready"):
            self._end()
            kind: type[EdgeSegError] = ModelError if reply["exit_code"] == ModelError.exit_code else DeviceError
            raise kind(f"the process that segments films cannot start: {reply['error']}")

    def _ask(self, request: dict[str, Any], within_s: float | None = None) -> dict[str, Any]:
        """The reply to a request."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        # A process that has ended may have sent the reason before this request.
        with suppress(OSError):
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        reply: dict[str, Any] = json.loads(self._line(within_s or self._timeout_s))
        return reply

    def _line(self, within_s: float) -> bytes:
        child, deadline = self._child, time.monotonic() + within_s
        assert child is not None
        assert child.stdout is not None
        parts = [self._rest]
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise _Lost(f"took longer than {within_s:.0f} s")
                parts.append(os.read(child.stdout.fileno(), 1 << 20))
                if not parts[-1]:
                    raise _Lost(self._how_it_ended())
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def _how_it_ended(self) -> str:
        assert self._child is not None
        try:
            code = self._child.wait(5)
        except subprocess.TimeoutExpired:
            return "closed its process"
        with suppress(ValueError):
            return f"ended its process ({signal.Signals(-code).name})"
        return f"ended its process (exit code {code})"

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                # Buffered data has nowhere to go.
                with suppress(OSError):
                    pipe.close()


def failed(film: PlannedFilm, reason: str) -> dict[str, Any]:
    """The row of a film that is not segmented."""
    name = film.source.rpartition("/")[2]
    record = record_of_failure(Failure(name, film.source, InputError(reason)))
    return {**record.to_json(), "number": film.number, "masks": {}}
