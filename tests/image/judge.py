"""Judges results after a power cut: each acknowledged film exactly once, nothing torn, no good film set aside."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pydicom


def faults(results: Path, acknowledged: dict[str, str], sent: Iterable[str]) -> list[str]:
    """What a power cut damaged; empty if nothing.

    Args:
        results: results folder, as the cut left it or after the device has finished with it.
        acknowledged: checksum of the pixels, by SOP instance, of the films acknowledged to their sender.
        sent: SOP instances of all films sent, all of them good.
    """
    found = []
    kept: Counter[str] = Counter()
    for state in ("received", "done", "failed"):
        for path in sorted((results / "inbox" / state).glob("*.dcm")):
            try:
                film = pydicom.dcmread(path)
                uid, checksum = str(film.SOPInstanceUID), hashlib.sha256(film.PixelData).hexdigest()
            except (OSError, ValueError, AttributeError, pydicom.errors.InvalidDicomError) as error:
                found.append(f"torn: {state}/{path.name} ({error})")
                continue
            kept[uid] += 1
            if acknowledged.get(uid, checksum) != checksum:
                found.append(f"torn: {state}/{path.name} holds other pixels")
            if state == "failed" and uid in sent:
                found.append(f"set aside: {path.name} is a good film")
    found += [f"lost: {uid} was acknowledged" for uid in acknowledged if not kept[uid]]
    found += [f"doubled: {uid} is there {count} times" for uid, count in kept.items() if count > 1]
    return found + _faults_of_records(results)


def _faults_of_records(results: Path) -> list[str]:
    path = results / "records.jsonl"
    if not path.exists():
        return []
    found = []
    # A line without a newline is not a record yet.
    for line in path.read_bytes().rpartition(b"\n")[0].splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            found.append("torn: a record")
            continue
        for file in record.get("files", []):
            try:
                right = hashlib.sha256((results / file["name"]).read_bytes()).hexdigest() == file["sha256"]
            except OSError:
                right = False
            if not right:
                found.append(f"torn: {file['name']} is recorded and damaged or absent")
    return found


def settled(results: Path) -> Counter[str]:
    """Number of records of each received film, by its source."""
    path = results / "records.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(json.loads(line)["source"] for line in lines)
