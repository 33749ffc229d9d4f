"""Runs a station as a separate process, optionally in its own control group, to measure, stop or kill it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.outputs.journal import RECORDS_NAME

PATIENCE_S = 1800.0
"""How long to wait for an event on a busy machine."""

_ROOT = Path("/sys/fs/cgroup")
_INTERRUPTED = 130  # exit code of a run that was asked to stop


@dataclass(frozen=True)
class ControlGroup:
    """A control group with a memory limit and no swap.

    Attributes:
        folder: the group's folder.
        peak_file: file with its peak memory in bytes.
    """

    folder: Path
    peak_file: Path

    @property
    def peak_mb(self) -> float:
        """Peak memory of its processes in MiB, page cache included."""
        return int(self.peak_file.read_text()) / 2**20


@contextmanager
def control_group(megabytes: int) -> Iterator[ControlGroup]:
    """A control group with a limit in MiB, removed afterwards; version 1 or 2, whichever the machine has.

    Raises:
        OSError: this machine does not allow it.
    """
    old = (_ROOT / "memory" / "memory.limit_in_bytes").exists()
    folder = (_ROOT / "memory" if old else _ROOT) / f"edge-seg-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(megabytes * 2**20))
        yield ControlGroup(folder, folder / ("memory.max_usage_in_bytes" if old else "memory.peak"))
    finally:
        folder.rmdir()


class StationProcess:
    """`edge-seg run` as a process that writes to a folder.

    Args:
        out: results folder.
        words: other arguments of `edge-seg run`.
        group: control group to run in.
        log: file that its standard error is appended to; by default a pipe, which holds 64 KiB.
        before: wrapper that runs the station's command, which is appended to it.
    """

    def __init__(
        self,
        out: Path,
        words: list[str],
        group: ControlGroup | None = None,
        log: Path | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.out = out
        self._group, self._log = group, log
        self.started = time.monotonic()
        command = [sys.executable, "-m", "edge_seg.cli.main", "run", *words, "--out", str(out), "--quiet"]
        with nullcontext() if log is None else log.open("a") as said:
            self._process = subprocess.Popen(
                [*before, *command],
                stdout=subprocess.DEVNULL,
                stderr=said or subprocess.PIPE,
                text=True,
                preexec_fn=None if group is None else self._enter,
            )

    def _enter(self) -> None:
        assert self._group is not None
        (self._group.folder / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def resident_mb(self) -> float:
        """Peak resident memory in MiB."""
        return self._status("VmHWM") / 1024

    @property
    def now_mb(self) -> float:
        """Current resident memory in MiB."""
        return self._status("VmRSS") / 1024

    @property
    def is_alive(self) -> bool:
        """Whether it is running."""
        return self._process.poll() is None

    @property
    def processor_s(self) -> float:
        """Processor time used so far, in seconds."""
        facts = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def threads(self) -> int:
        """Number of threads."""
        return self._status("Threads")

    @property
    def descriptors(self) -> int:
        """Number of open files and sockets."""
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def wait_for(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done()` is true.

        Raises:
            RuntimeError: the process ended first, or it took longer than `PATIENCE_S`.
        """
        end = time.monotonic() + PATIENCE_S
        while not done():
            if self._process.poll() is not None:
                raise RuntimeError(f"the station ended before {what}: {self._last_words()}")
            if time.monotonic() > end:
                raise RuntimeError(f"{what}: not within {PATIENCE_S:.0f} s")
            time.sleep(0.01)

    def wait_for_port(self, port: int) -> None:
        """Wait until something listens on a port."""

        def listens() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    return True
            except OSError:
                return False

        self.wait_for(listens, f"something listens at port {port}")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        """Stop it with SIGTERM, as systemd does.

        Raises:
            RuntimeError: it exited with another code than a stopped run.
        """
        self._process.send_signal(signal.SIGTERM)
        said = self._process.communicate(timeout=PATIENCE_S)[1]
        if self._process.returncode != _INTERRUPTED:
            raise RuntimeError(f"the station ended with {self._process.returncode}: {self._last_words(said)}")

    def _last_words(self, said: str | None = None) -> str:
        if self._log is not None:
            said = self._log.read_text(errors="replace")
        elif said is None and self._process.stderr is not None:
            said = self._process.stderr.read()
        return (said or "")[-1000:]


def whole_records(out: Path) -> list[dict[str, Any]]:
    """The records of a folder's complete lines; none before the first film is done."""
    path = out / RECORDS_NAME
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]
