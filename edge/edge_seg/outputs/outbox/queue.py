"""The outbox: a folder of what waits for the archive, and the thread that sends it.

A result that waits is a link to its file in the folder `outbox`. What the archive will never take, and what is damaged,
lies in `outbox/refused`, with the reason in `reasons.txt` there; moved back, it is sent again.
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
"""After a vain attempt the next comes after the first pause, then after twice as long, up to the longest."""

REASONS_NAME = "reasons.txt"
"""Why files were set aside, a line each."""

_LONGEST_REASONS = 1_000_000
_MOST_AT_ONCE = 500
_LOOK_EVERY_S = 1.0


class Outbox:
    """Sends results on from a thread of its own.

    Args:
        folder: where what waits is kept; made if absent. On the disk of the results, or it holds copies.
        archive: where to.
        ae_title: of this device.

    Attributes:
        sent: how many results the archive has taken.
        last_refusal: why the last file was set aside.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, archive: Archive, ae_title: str) -> None:
        self.folder, self.archive = folder, archive
        self.sent = 0
        self.last_refusal: str | None = None
        self._title = ae_title
        self._in_the_way: str | None = None
        self._stuck: dict[tuple[str, int, int], str] = {}
        self._interrupted: dict[str, int] = {}
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
        """How many results wait."""
        return len(self._waiting())

    @property
    def refused(self) -> int:
        """How many results were set aside, and those that should be and cannot be moved."""
        held = sum(1 for reason in self._stuck.values() if reason)
        try:
            return held + sum(1 for path in (self.folder / "refused").iterdir() if path.name != REASONS_NAME)
        except OSError:
            return held

    @property
    def trouble(self) -> str | None:
        """What is in the way, for a person; `None` where nothing is."""
        if self._in_the_way is None and self._stuck:
            return f"{self.folder}: {len(self._stuck)} files that are done with cannot be moved away"
        return self._in_the_way

    def put(self, path: Path) -> None:
        """Send a file on, now or when the archive answers; when this returns that lasts through a power cut.

        Raises:
            OutputError: no note can be taken of it.
        """
        target = self.folder / path.name
        draft = self.folder / f".{path.name}{DRAFT_SUFFIX}"
        try:
            draft.unlink(missing_ok=True)
            try:
                os.link(path, draft)
            except OSError:
                _copy(path, draft)  # FAT knows no links
            draft.replace(target)
            # Of two links to one file, the replacement leaves both.
            draft.unlink(missing_ok=True)
            flush_folder(self.folder)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror or error}): free space") from error
        self._news.set()

    def put_bytes(self, name: str, data: bytes) -> None:
        """Send bytes on, under the name of a file; see `put`."""
        write_atomically(self.folder / name, data)
        self._news.set()

    def close(self) -> None:
        """Send what waits while the archive takes it, then stop; the rest goes when an outbox is opened there again."""
        while self._thread.is_alive() and not self._closing.is_set() and len(self) and self._in_the_way is None:
            self._news.set()
            time.sleep(0.05)
        self._closing.set()
        self._news.set()
        self._thread.join(PATIENCE_S)

    def _waiting(self) -> list[Path]:
        """What is to be sent, the oldest first, but first what was never on its way when a connection broke."""
        found = []
        with suppress(OSError):
            for path in self.folder.iterdir():
                # One that has just been sent, and a file that nobody may look at.
                with suppress(OSError):
                    facts = path.lstat()
                    key = path.name, facts.st_ino, facts.st_mtime_ns
                    # No pipe or device is opened, and drafts are not whole.
                    if stat.S_ISREG(facts.st_mode) and not path.name.startswith(".") and key not in self._stuck:
                        found.append((self._interrupted.get(path.name, 0), facts.st_mtime_ns, path))
        return [path for _, _, path in sorted(found)]

    def _work(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._closing.is_set():
            self._news.clear()
            try:
                self._in_the_way = self._send_some()
            # Whatever happens here must not end the thread: nothing would be sent any more, and nobody would know.
            except BaseException as error:
                self._in_the_way = f"sending to {self.archive} failed ({type(error).__name__}: {error})"
            if self._in_the_way is None:
                pause = FIRST_PAUSE_S
                if not len(self):
                    self._news.wait(_LOOK_EVERY_S)
                continue
            # New results do not hurry an archive that is away.
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _send_some(self) -> str | None:
        """Send what can be sent at once; what is in the way of the rest."""
        waiting = self._waiting()[:_MOST_AT_ONCE]
        if not waiting:
            return None
        trouble: Trouble | None = self.archive.deliver(waiting, self._title, self._settle, self._closing.is_set)
        if trouble is None:
            return None
        if trouble.parcel is not None:
            # Behind the others from now on: it may be what breaks the connection.
            name = trouble.parcel.name
            self._interrupted[name] = self._interrupted.get(name, 0) + 1
        return trouble.text

    def _settle(self, path: Path, reason: str | None) -> None:
        """Take a file off the list: it was taken, or set it aside for a reason."""
        self._interrupted.pop(path.name, None)
        if reason is None:
            self.sent += 1
        else:
            self.last_refusal = reason
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
        if reason is not None:
            with suppress(OSError):
                self._note(reason)

    def _note(self, reason: str) -> None:
        """Add a reason to the file of reasons, as long as that is of a size that somebody reads."""
        path = self.folder / "refused" / REASONS_NAME
        if path.exists() and path.stat().st_size > _LONGEST_REASONS:
            return
        # What an archive says may name a patient.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{datetime.now(timezone.utc).isoformat(timespec='seconds')} {' '.join(reason.split())}\n")


def _copy(source: Path, target: Path) -> None:
    """Copy a file, flushed."""
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
    shutil.copystat(source, target)
