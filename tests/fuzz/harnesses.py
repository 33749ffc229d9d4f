"""Each reader of bytes from outside, as a function of bytes that may raise only what its callers expect.

`python tests/fuzz/harnesses.py NAME -max_total_time=20 CORPUS` fuzzes one, guided by coverage (atheris, libFuzzer);
`python tests/fuzz/harnesses.py NAME FILE` runs one input.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SEED_SIDE = 32
"""Side in pixels: small inputs are mutated faster, and more mutations hit something other than pixels."""


def _folder() -> Path:
    """A folder in memory if possible: opening a file on disk takes longer than reading it."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))


@dataclass(frozen=True)
class Harness:
    """One entry point for bytes.

    Attributes:
        modules: packages whose branches guide the fuzzer.
        make: imports the fuzzed code and returns the function.
        seeds: inputs to start from.
    """

    modules: tuple[str, ...]
    make: Callable[[], Callable[[bytes], None]]
    seeds: Callable[[], list[bytes]]


def _read_film(name: str) -> Callable[[bytes], None]:
    from edge_seg.boundary import film_boundary
    from edge_seg.sources.files import film_in

    def run(data: bytes) -> None:
        film_boundary(name, name, lambda: film_in(data, Path(name)))

    return run


def _picture_seeds() -> list[bytes]:
    import cv2
    import numpy as np
    from edge_seg.phantom import phantom

    grey = phantom(SEED_SIDE, SEED_SIDE, seed=1).film.pixels
    deep = grey.astype(np.uint16) << 4
    alpha = np.dstack([grey] * 4)
    kinds = [(".png", grey), (".png", deep), (".png", alpha), (".jpg", grey), (".tiff", deep), (".bmp", grey)]
    kinds += [(".webp", np.dstack([grey] * 3))]
    return [cv2.imencode(suffix, picture)[1].tobytes() for suffix, picture in kinds]


def _dicom_seeds() -> list[bytes]:
    import pydicom
    from edge_seg.phantom import phantom, write_dicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

    path = _folder() / "film.dcm"
    found = []
    for monochrome1 in (False, True):
        write_dicom(phantom(SEED_SIDE, SEED_SIDE, seed=1), path, monochrome1=monochrome1)
        found.append(path.read_bytes())
    for syntax in (RLELossless, DeflatedExplicitVRLittleEndian):
        dataset = pydicom.dcmread(io.BytesIO(found[0]))
        if syntax == RLELossless:
            dataset.compress(syntax)
        dataset.file_meta.TransferSyntaxUID = syntax
        target = io.BytesIO()
        dataset.save_as(target)
        found.append(target.getvalue())
    return found


def _read_model() -> Callable[[bytes], None]:
    from edge_seg.errors import ModelError
    from edge_seg.inspection import inspect_model
    from edge_seg.model_file import Manifest, ModelFile

    def run(data: bytes) -> None:
        # The text alone first: behind a checksum and a zip no mutation would ever reach it.
        with contextlib.suppress(ModelError):
            Manifest.from_json(data.decode("utf-8", "replace"))
        with contextlib.suppress(ModelError):
            inspect_model(ModelFile.from_bytes(data))

    return run


def _model_seeds() -> list[bytes]:
    from edge_seg.model_file import Manifest, ModelFile
    from edge_seg.structures import CHEST

    manifest = Manifest("m", "1", CHEST, 64, 64, thresholds=(0.5,) * len(CHEST))
    return [manifest.to_json().encode(), ModelFile(manifest, bytes(64), "# Card", "Licence").to_bytes()]


def _read_mjpeg() -> Callable[[bytes], None]:
    from edge_seg.sources.cameras.mjpeg import MjpegFeed
    from edge_seg.sources.cameras.stream import BrokenFrame, FeedEnded

    def run(data: bytes) -> None:
        sent = io.BytesIO(data)
        feed = MjpegFeed(SimpleNamespace(read1=sent.read, close=sent.close), b"frame")  # type: ignore[arg-type]
        with contextlib.suppress(FeedEnded):
            while True:
                with contextlib.suppress(BrokenFrame):
                    feed.decode(feed.read())

    return run


def _mjpeg_seeds() -> list[bytes]:
    jpeg = _picture_seeds()[3]
    sized = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)
    unsized = b"--frame\r\n\r\n" + jpeg + b"\r\n"
    return [sized * 2, unsized * 2]


def _read_request() -> Callable[[bytes], None]:
    from edge_seg.station.page.access import Access, Entry, is_for_this_machine
    from edge_seg.station.page.request import BadRequest, parse_request

    access = Access("only the owner knows", secure=False)

    def run(data: bytes) -> None:
        with contextlib.suppress(BadRequest):
            request = parse_request(data)
            is_for_this_machine(request)
            if access.entry(request) is not Entry.REFUSED:
                raise AssertionError("let in without the token")

    return run


def _request_seeds() -> list[bytes]:
    return [
        b"GET /healthz?token= HTTP/1.1\r\nHost: device\r\n\r\n",
        b"GET /overlay/1?xtoken=1&token=%20a;b HTTP/1.1\r\nCookie: edge-seg-session=abc; a=b\r\n\r\n",
        b"GET /state HTTP/1.0\r\nAuthorization: Bearer abc\r\nHost: [::1]:8080\r\n\r\n",
    ]


def _read_pdus() -> Callable[[bytes], None]:
    from edge_seg.sources.upper_layer import HEAD_BYTES, P_DATA, Messages, ProtocolError, check_head

    def run(data: bytes) -> None:
        messages, at, first = Messages(), 0, True
        with contextlib.suppress(ProtocolError):
            while len(data) - at >= HEAD_BYTES:
                kind, length = check_head(data[at : at + HEAD_BYTES], first=first)
                at += HEAD_BYTES
                if kind == P_DATA:
                    messages.take(data[at : at + length])
                at, first = at + length, False

    return run


def _pdu_seeds() -> list[bytes]:
    import struct

    # C-ECHO-RQ in Implicit VR Little Endian (PS3.7 section 9.3.5.1): group length, class, field, id, no dataset.
    elements = [
        (0x0002, b"1.2.840.10008.1.1\0"),
        (0x0100, b"\x30\0"),
        (0x0110, b"\1\0"),
        (0x0800, b"\x01\x01"),
    ]
    command = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in elements)
    fragment = struct.pack(">LBB", len(command) + 2, 1, 3) + command
    request = struct.pack(">BBL", 1, 0, 68) + struct.pack(">HH", 1, 0) + b"EDGESEG".ljust(16) * 2 + bytes(32)
    return [request, request + struct.pack(">BBL", 4, 0, len(fragment)) + fragment]


def _receive_object() -> Callable[[bytes], None]:
    from edge_seg.errors import InputError
    from edge_seg.sources.listener import _check, _Damaged
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    def run(data: bytes) -> None:
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            with contextlib.suppress(InputError, _Damaged):
                _check("1.2.3", io.BytesIO(data), syntax)

    return run


def _object_seeds() -> list[bytes]:
    import pydicom
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    found = []
    for implicit in (False, True):
        dataset = pydicom.dcmread(io.BytesIO(_dicom_seeds()[0]))
        dataset.SOPInstanceUID = "1.2.3"
        target = DicomBytesIO()
        target.is_little_endian, target.is_implicit_VR = True, implicit
        write_dataset(target, dataset)
        found.append(target.getvalue())
    return found


def _read_journal() -> Callable[[bytes], None]:
    from edge_seg.errors import OutputError
    from edge_seg.outputs.journal import RECORDS_NAME, Journal

    folder = _folder()

    def run(data: bytes) -> None:
        for path in (*folder.glob("*"), *folder.glob(".edge-seg/*")):
            if path.is_file():
                path.unlink()
        (folder / RECORDS_NAME).write_bytes(data)
        # A file that is plainly another program's is refused; a damaged line is not.
        with contextlib.suppress(OutputError):
            journal = Journal(folder)
            for _ in journal:
                pass

    return run


def _journal_seeds() -> list[bytes]:
    from edge_seg.errors import InputError
    from edge_seg.film import Failure
    from edge_seg.outputs.folder import OutputFolder
    from edge_seg.phantom import phantom
    from edge_seg.record import record_of_failure
    from edge_seg.segmenter import Segmenter

    out = _folder()
    output = OutputFolder(out)
    output.write(Segmenter.load("lungs-nano")(phantom(SEED_SIDE, SEED_SIDE, seed=1).film))
    output.keep(record_of_failure(Failure("a.png", "a.png", InputError("a.png: no picture"))))
    output.close()
    return [(out / "records.jsonl").read_bytes()]


HARNESSES = {
    "pictures": Harness(("edge_seg",), lambda: _read_film("film.png"), _picture_seeds),
    "dicom": Harness(("edge_seg", "pydicom"), lambda: _read_film("film.dcm"), _dicom_seeds),
    "model": Harness(("edge_seg", "zipfile"), _read_model, _model_seeds),
    "mjpeg": Harness(("edge_seg",), _read_mjpeg, _mjpeg_seeds),
    "http": Harness(("edge_seg", "urllib"), _read_request, _request_seeds),
    "pdu": Harness(("edge_seg",), _read_pdus, _pdu_seeds),
    "journal": Harness(("edge_seg",), _read_journal, _journal_seeds),
    "object": Harness(("edge_seg", "pydicom"), _receive_object, _object_seeds),
}


def main(words: list[str]) -> None:
    """Fuzz the harness that the first word names; the other words are libFuzzer's."""
    import atheris

    name, *options = words
    harness = HARNESSES[name]
    with atheris.instrument_imports(include=list(harness.modules)):
        run = harness.make()
        # Modules imported at the first input are instrumented too, and no time limit interrupts their import.
        for seed in harness.seeds():
            run(seed)

    def once(data: Any) -> None:
        run(bytes(data))

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
