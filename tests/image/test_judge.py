"""The judge of power cuts finds each kind of fault, and none in good results."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pydicom
import pytest
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom

from .judge import faults


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for state in ("received", "done", "failed"):
        (tmp_path / "inbox" / state).mkdir(parents=True)
    return tmp_path


def put(path: Path) -> tuple[dict[str, str], str]:
    """A film that was acknowledged, and its name."""
    write_dicom(phantom(64, 64, seed=1), path)
    film = pydicom.dcmread(path)
    return {film.SOPInstanceUID: hashlib.sha256(film.PixelData).hexdigest()}, film.SOPInstanceUID


def test_what_is_in_order(results: Path) -> None:
    acknowledged, name = put(results / "inbox" / "done" / "a.dcm")
    (results / "a.png").write_bytes(b"mask")
    record = {"source": "a", "files": [{"name": "a.png", "sha256": hashlib.sha256(b"mask").hexdigest()}]}
    # The power failed while the second record was written.
    (results / "records.jsonl").write_text(json.dumps(record) + '\n{"source": "b", "fi')
    assert faults(results, acknowledged, [name]) == []
    assert faults(results, {}, []) == []


def test_each_kind_of_fault(results: Path) -> None:
    inbox = results / "inbox"
    acknowledged, name = put(inbox / "received" / "a.dcm")
    assert faults(results, {**acknowledged, "1.2.3": "x"}, [name]) == ["lost: 1.2.3 was acknowledged"]
    assert "holds other pixels" in faults(results, {name: "x"}, [name])[0]
    put(inbox / "done" / "b.dcm")
    assert faults(results, acknowledged, [name]) == [f"doubled: {name} is there 2 times"]
    (inbox / "done" / "b.dcm").rename(inbox / "failed" / "b.dcm")
    (inbox / "received" / "a.dcm").unlink()
    assert faults(results, acknowledged, [name]) == ["set aside: b.dcm is a good film"]
    (inbox / "failed" / "b.dcm").unlink()
    (inbox / "done" / "c.dcm").write_bytes(b"half")
    assert faults(results, {}, [])[0].startswith("torn: done/c.dcm")
    (inbox / "done" / "c.dcm").unlink()
    (results / "records.jsonl").write_text('{"files": [{"name": "a.png", "sha256": "0"}]}\nnonsense\n')
    assert faults(results, {}, []) == ["torn: a.png is recorded and damaged or absent", "torn: a record"]
