"""Results on their way to an archive: kept until it has taken them, however long the network is away.

Needs `pip install 'edge-seg[clinic]'`. A result that waits is a link to its file in the folder `outbox`; one that the
archive refused lies in `outbox/refused`.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import OutputError, UsageError
from edge_seg.storage import flush_folder

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
"""After a vain attempt the next comes after the first pause, then after twice as long, up to the longest."""

_PATIENCE_S = 20.0
_LOOK_EVERY_S = 1.0
_ACCEPTED = (0x0000, 0xB000, 0xB006, 0xB007)  # success, and warnings: the object is kept (PS3.4 table B.2-1)


@dataclass(frozen=True)
class Archive:
    """A PACS: AE title, host, port.

    >>> Archive.parse("PACS@10.0.0.5:104")
    Archive(title='PACS', host='10.0.0.5', port=104)
    """

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Archive:
        """An archive from `AE@HOST:PORT`.

        Raises:
            UsageError: it is none.
        """
        title, _, where = text.partition("@")
        host, _, port = where.rpartition(":")
        if not (0 < len(title) <= 16 and host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"--send {text}: give AE@HOST:PORT, such as PACS@10.0.0.5:104")
        return cls(title, host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


class Outbox:
    """Sends results on from a thread of its own.

    Args:
        folder: where what waits is kept; made if absent. On the disk of the results, or it holds copies.
        archive: where to.
        ae_title: of this device.

    Raises:
        OutputError: the folder cannot be made.
        ModuleNotFoundError: pynetdicom is not installed.
    """

    def __init__(self, folder: Path, archive: Archive, ae_title: str) -> None:
        import pynetdicom

        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        self.folder, self.archive = folder, archive
        self.sent = 0
        self.trouble: str | None = None
        self._entity = pynetdicom.AE(ae_title)
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = _PATIENCE_S
        try:
            (folder / "refused").mkdir(parents=True, exist_ok=True)
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
        """How many results the archive would not have."""
        return sum(1 for _ in (self.folder / "refused").iterdir())

    def put(self, path: Path) -> None:
        """Send a file on, now or when the archive answers; when this returns that lasts through a power cut.

        Raises:
            OutputError: no note can be taken of it.
        """
        target = self.folder / path.name
        try:
            target.unlink(missing_ok=True)
            try:
                os.link(path, target)
            except OSError:
                # FAT knows no links.
                shutil.copyfile(path, target)
            flush_folder(self.folder)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror or error}): free space") from error
        self._news.set()

    def close(self) -> None:
        """Send what waits while the archive takes it, then stop; the rest goes when an outbox is opened there again."""
        while self._thread.is_alive() and not self._closing.is_set() and len(self) and self.trouble is None:
            self._news.set()
            time.sleep(0.05)
        self._closing.set()
        self._news.set()
        self._thread.join(_PATIENCE_S)

    def _waiting(self) -> list[Path]:
        try:
            found = [(p.stat().st_mtime_ns, p) for p in self.folder.iterdir() if p.is_file()]
        except OSError:
            return []
        return [path for _, path in sorted(found)]

    def _work(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._closing.is_set():
            self._news.clear()
            waiting = self._waiting()
            if not waiting:
                self._news.wait(_LOOK_EVERY_S)
                continue
            self.trouble = self._send(waiting)
            if self.trouble is None:
                pause = FIRST_PAUSE_S
                continue
            # New results do not hurry an archive that is away.
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _send(self, paths: list[Path]) -> str | None:
        """Send what can be sent; what is in the way of the rest."""
        import pydicom
        from pydicom.errors import InvalidDicomError

        contexts = set()
        for path in paths:
            try:
                meta = pydicom.filereader.read_file_meta_info(path)
                contexts.add((str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)))
            except (InvalidDicomError, AttributeError, OSError):
                # Cut off by a disk that died, say; nobody could read it.
                self._refuse(path)
        self._entity.requested_contexts = []
        for storage, syntax in contexts:
            self._entity.add_requested_context(storage, syntax)
        association = self._entity.associate(self.archive.host, self.archive.port, ae_title=self.archive.title)
        if not association.is_established:
            return f"{self.archive} {'refuses this device' if association.is_rejected else 'does not answer'}"
        try:
            for path in paths:
                if self._closing.is_set():
                    return None
                if not path.exists():
                    continue
                status = self._send_one(association, path)
                if status is None:
                    return f"{self.archive} hung up"
                if status in _ACCEPTED:
                    path.unlink(missing_ok=True)
                    self.sent += 1
                elif status & 0xFF00 == 0xA700:
                    return f"{self.archive} is out of resources"
                else:
                    self._refuse(path)
        finally:
            if association.is_established:
                association.release()
        return None

    def _send_one(self, association: Any, path: Path) -> int | None:
        """The archive's status; `None` where it hung up."""
        import pydicom

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                answer = association.send_c_store(pydicom.dcmread(path))
            except (RuntimeError, OSError):
                return None
            except ValueError:
                # It takes no objects of this class.
                return 0x0122
        return int(answer.Status) if "Status" in answer else None

    def _refuse(self, path: Path) -> None:
        path.replace(self.folder / "refused" / path.name)
