"""The outbox: a folder of results waiting for the archive, and the thread that sends them.

A waiting result is a link in the folder `outbox` to its file. Damaged files and those that the archive will never take
go to `outbox/refused`, with the reason in `reasons.txt` there; moved back, they are sent again.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from edge_seg.errors import OutputError
from edge_seg.outputs.outbox.archive import PATIENCE_S, Archive, Trouble
from edge_seg.storage import DRAFT_SUFFIX, flush_folder, write_atomically

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
"""Pauses after failed attempts: the first, then twice as long each time, up to the longest."""

REASONS_NAME = "reasons.txt"
"""Why files were set aside, one line each."""

_LONGEST_REASONS = 1_000_000
_MOST_AT_ONCE = 500
_LOOK_EVERY_S = 1.0


class Outbox:
    """Sends results from its own thread.

    Args:
        folder: holds waiting results; created if absent. On another disk than the results, it holds copies.
        archive: the destination.
        ae_title: of this device.

    Attributes:
        sent: how many results the archive has taken.
        last_refusal: why the last file was set aside.

    Raises:
        OutputError: the folder cannot be created.
    """

    def __init__(self, folder: Path, archive: Archive, ae_title: str) -> None:
        self.folder, self.archive = folder, archive
        self.sent = 0
        self.last_refusal: str | None = None
        self._title = ae_title
        self._in_the_way: str | None = None
        self._stuck: dict[tuple[str, int, int], str] = {}
        self._interrupted: dict[str, int] = {}
        self._changing = threading.Lock()
        self._renewed: set[str] = set()
        try:
            (folder / "refused").mkdir(parents=True, exist_ok=True)
            for draft in folder.glob(f"*{DRAFT_SUFFIX}"):
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}): choose another --out") from error
        self._closing = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"send to {archive}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many results are waiting."""
        return len(self._waiting())

    @property
    def refused(self) -> int:
        """How many results were set aside, including those that could not be moved."""
        held = sum(1 for reason in self._stuck.values() if reason)
        try:
            return held + sum(1 for path in (self.folder / "refused").iterdir() if path.name != REASONS_NAME)
        except OSError:
            return held

    @property
    def trouble(self) -> str | None:
        """What prevents sending, for a person to read; `None` if nothing does."""
        if self._in_the_way is None and self._stuck:
            return f"{self.folder}: {len(self._stuck)} files that are done with cannot be moved away"
        return self._in_the_way

    def put(self, path: Path) -> None:
        """Send a file, now or when the archive answers; once this returns, not even a power cut loses it.

        Raises:
            OutputError: it cannot be queued.
        """
        target = self.folder / path.name
        draft = self.folder / f".{path.name}{DRAFT_SUFFIX}"
        try:
            draft.unlink(missing_ok=True)
            try:
                os.link(path, draft)
            except OSError:
                _copy(path, draft)  # FAT has no links
            with self._changing:
                draft.replace(target)
                self._renewed.add(path.name)
            # Replacing one link to a file with another leaves both.
            draft.unlink(missing_ok=True)
            flush_folder(self.folder)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror or error}): free space") from error
        self._news.set()

    def put_bytes(self, name: str, data: bytes) -> None:
        """Send bytes under a file name; see `put`."""
        with self._changing:
            write_atomically(self.folder / name, data)
            self._renewed.add(name)
        self._news.set()

    def close(self) -> None:
        """Send what is waiting while the archive takes it, then stop; the next outbox in this folder sends the rest."""
        while self._thread.is_alive() and not self._closing.is_set() and len(self) and self._in_the_way is None:
            self._news.set()
            time.sleep(0.05)
        self._closing.set()
        self._news.set()
        self._thread.join(PATIENCE_S)

    def _waiting(self) -> list[Path]:
        """What to send, oldest first, but last what was being sent when a connection broke."""
        found = []
        with suppress(OSError):
            for path in self.folder.iterdir():
                # It may just have been sent, or be unreadable.
                with suppress(OSError):
                    facts = path.lstat()
                    key = path.name, facts.st_ino, facts.st_mtime_ns
                    # Pipes and devices must not be opened, and drafts are incomplete.
                    if stat.S_ISREG(facts.st_mode) and not path.name.startswith(".") and key not in self._stuck:
                        found.append((self._interrupted.get(path.name, 0), facts.st_mtime_ns, path))
        return [path for _, _, path in sorted(found)]

    def _work(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._closing.is_set():
            self._news.clear()
            try:
                self._in_the_way = self._send_some()
            # Nothing may end the thread: sending would stop without anyone noticing.
            except BaseException as error:
                self._in_the_way = f"sending to {self.archive} failed ({type(error).__name__}: {error})"
            if self._in_the_way is None:
                pause = FIRST_PAUSE_S
                if not len(self):
                    self._news.wait(_LOOK_EVERY_S)
                continue
            # New results do not shorten the wait for an archive that is down.
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _send_some(self) -> str | None:
        """Send one batch; returns what keeps the rest from being sent."""
        with self._changing:
            self._renewed.clear()
            waiting = self._waiting()[:_MOST_AT_ONCE]
        if not waiting:
            return None
        trouble: Trouble | None = self.archive.deliver(waiting, self._title, self._settle, self._closing.is_set)
        if trouble is None:
            return None
        if trouble.parcel is not None:
            # It goes behind the others from now on: it may be what breaks the connection.
            name = trouble.parcel.name
            self._interrupted[name] = self._interrupted.get(name, 0) + 1
        return trouble.text

    def _settle(self, path: Path, reason: str | None) -> None:
        """Take a delivered file off the queue, or set it aside if there is a reason; a newer version of it stays."""
        self._interrupted.pop(path.name, None)
        with self._changing:
            if path.name in self._renewed:
                # The archive may have seen only the older version: at worst it gets this one twice, with the same UID.
                return
            if reason is None:
                self.sent += 1
            else:
                self.last_refusal = reason
            self._put_away(path, reason)
        if reason is not None:
            with suppress(OSError):
                self._note(reason)

    def _put_away(self, path: Path, reason: str | None) -> None:
        facts = None
        try:
            facts = path.lstat()
            if reason is None:
                path.unlink(missing_ok=True)
            else:
                path.replace(self.folder / "refused" / path.name)
        except OSError:
            # It stays where it is, and is not sent a second time.
            if facts is not None:
                self._stuck[path.name, facts.st_ino, facts.st_mtime_ns] = reason or ""

    def _note(self, reason: str) -> None:
        """Append a reason to the file of reasons, unless that is already too long to read."""
        path = self.folder / "refused" / REASONS_NAME
        if path.exists() and path.stat().st_size > _LONGEST_REASONS:
            return
        # What an archive says may name a patient.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{datetime.now(timezone.utc).isoformat(timespec='seconds')} {' '.join(reason.split())}\n")


def _copy(source: Path, target: Path) -> None:
    """Copy a file and flush it."""
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
    shutil.copystat(source, target)
