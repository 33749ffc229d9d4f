"""The sending side: films sent as by a modality, and a ledger of what became of each."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_seg.outputs.journal import RECORDS_NAME, REMOVED_NAME
from edge_seg.phantom import phantom, write_dicom

from edge_seg_lab.device_week.outcome import Load

_DISTINCT = 16
"""Films that are drawn; the others differ from them in UID and one pixel."""
_ASSOCIATION = 50


class Ledger:
    """Every record ever written: it follows the journal of records and that of removed ones as they grow.

    A record may come and go between two looks: retention moves it to the other journal.

    Args:
        out: results folder.
    """

    def __init__(self, out: Path) -> None:
        self._records, self._removed = _Journal(out / RECORDS_NAME), _Journal(out / REMOVED_NAME)
        self._recorded: dict[str, set[str]] = defaultdict(set)
        self._buried: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()
        self.failed: set[str] = set()

    def follow(self) -> int:
        """Read new records and return the number seen so far."""
        for record in self._records.new():
            # Where the journal was written anew, records read before are recognised by film and time.
            times = self._recorded[record["source"]]
            times.add(record["recorded_at"])
            self._settle(record, len(times))
        for record in self._removed.new():
            self._buried[record["source"]] += 1
            self._settle(record, self._buried[record["source"]])
        return self.settled.total()

    def _settle(self, record: dict[str, Any], times: int) -> None:
        source = str(record["source"])
        self.settled[source] = max(self.settled[source], times)
        if record["status"] != "done":
            self.failed.add(source)


class _Journal:
    """A journal that is read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file_id, self._read = 0, 0

    def new(self) -> list[dict[str, Any]]:
        """The records that were not returned before; all of them where the file is another than at the last look."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            state = os.fstat(file.fileno())
            # A new file may have the number of the one before the last.
            if state.st_ino != self._file_id or state.st_size < self._read:
                self._file_id, self._read = state.st_ino, 0
            file.seek(self._read)
            lines = file.read().rpartition(b"\n")[0]
            self._read += len(lines) + bool(lines)
            return [json.loads(line) for line in lines.splitlines()]
        return []


class Scanner:
    """Sends some dozens of films per association, and refused ones again, as a modality does.

    Args:
        port: of the station.
        load: what to send.
        folder: for the drawn films.
    """

    def __init__(self, port: int, load: Load, folder: Path) -> None:
        import pydicom
        from pynetdicom import AE

        self._port = port
        self._entity = AE("SCANNER")
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = 120
        self._painted = []
        for seed in range(min(_DISTINCT, load.films)):
            write_dicom(phantom(load.side, load.side, seed=seed), folder / "painted.dcm")
            self._painted.append(pydicom.dcmread(folder / "painted.dcm"))
        first = self._painted[0]
        self._entity.add_requested_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
        self._association: Any = None
        self._sent = 0

    def uid(self, number: int) -> Any:
        """UID of a film."""
        from pydicom.uid import generate_uid

        return generate_uid(entropy_srcs=[f"device week {number}"])

    def send(self, number: int) -> bool:
        """Send a film and return whether the station acknowledged it."""
        dataset, uid = self._painted[number % len(self._painted)], self.uid(number)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.PixelData = number.to_bytes(4, "little") + dataset.PixelData[4:]
        if self._association is None or not self._association.is_established or self._sent >= _ASSOCIATION:
            self.hang_up()
            self._association, self._sent = self._entity.associate("127.0.0.1", self._port, ae_title="EDGESEG"), 0
            if not self._association.is_established:
                return False
        self._sent += 1
        answer = self._association.send_c_store(dataset)
        return "Status" in answer and answer.Status == 0

    def hang_up(self) -> None:
        """End the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None
