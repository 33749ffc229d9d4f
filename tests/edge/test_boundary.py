"""The boundary around a film: any error is that film's failure, and what stops the program still stops it."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Film, InputError, ModelError, OutputError
from edge_seg.boundary import film_boundary
from edge_seg.film import Arrival, Failure
from edge_seg.outputs.folder import OutputFolder, Written
from edge_seg.segmenter import Segmentation, Segmenter
from edge_seg.sources import Source, files, open_source
from edge_seg.station.session import run_session


class PanicException(BaseException):
    """As native codecs raise it: not an `Exception`."""


RAISED = [
    PanicException("index out of bounds"),
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    struct.error("unpack requires a buffer of 4 bytes"),
    zlib.error("Error -3"),
    OverflowError("int too large"),
    ZeroDivisionError("division by zero"),
    AssertionError(),
    StopIteration(),
    cv2.error("resize"),
    OSError(5, "Input/output error"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
]


def kinds(error: BaseException) -> str:
    return type(error).__name__


def throw(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", RAISED, ids=kinds)
def test_whatever_a_film_raises_is_its_failure_in_one_line(error: BaseException) -> None:
    failure = film_boundary("film.dcm", "films/film.dcm", lambda: throw(error))
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, InputError)
    assert str(failure.error).startswith("films/film.dcm: ")
    assert "\n" not in str(failure.error)


def test_texts_of_an_unforeseen_error_are_not_repeated() -> None:
    failure = film_boundary("f", "f", lambda: throw(ValueError("invalid value 'Doe^Jane' for PatientName")))
    assert isinstance(failure, Failure)
    assert "Doe" not in str(failure.error)
    assert "ValueError in test_boundary.py, line" in str(failure.error)


def test_an_error_of_ours_keeps_its_words() -> None:
    failure = film_boundary("f", "f", lambda: throw(ModelError("f: no model: give one")))
    assert isinstance(failure, Failure)
    assert str(failure.error) == "f: no model: give one"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), OutputError("full")], ids=kinds)
def test_what_stops_the_program_and_a_full_disk_pass(error: BaseException) -> None:
    with pytest.raises(type(error)):
        film_boundary("f", "f", lambda: throw(error))


class Few(Source):
    total = 3

    def __iter__(self) -> Iterator[Arrival]:
        for name in ("good.png", "poison.png", "last.png"):
            yield Arrival(Film(np.full((40, 60), len(name), np.uint8), name, name))


@pytest.mark.parametrize("error", RAISED[:6], ids=kinds)
@pytest.mark.parametrize("stage", ["segment", "write"])
def test_a_session_goes_on_whatever_a_film_raises_and_wherever(
    tiny_model: Path, tmp_path: Path, stage: str, error: BaseException
) -> None:
    class Poisoned(Segmenter):
        def __call__(self, film: Film | np.ndarray) -> Segmentation:
            if stage == "segment" and isinstance(film, Film) and film.name == "poison.png":
                raise error
            return super().__call__(film)

    class PoisonedFolder(OutputFolder):
        def write_files(self, segmentation: Segmentation, stem: str) -> Written:
            if stage == "write" and segmentation.film.name == "poison.png":
                raise error
            return super().write_files(segmentation, stem)

    summary = run_session(Few(), Poisoned.load(tiny_model, gate=False), PoisonedFolder(tmp_path))
    assert (summary.done, summary.failed, summary.exit_code) == (2, 1, 3)
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 3


def broken_lock() -> None:
    """The state after an interrupt while a condition releases its lock."""
    try:
        raise KeyboardInterrupt
    finally:
        threading.Lock().release()


def test_an_interrupt_that_breaks_a_lock_is_no_fault_of_the_film() -> None:
    with pytest.raises(KeyboardInterrupt):
        film_boundary("f", "f", broken_lock)


def test_an_interrupt_that_breaks_a_lock_stops_the_session(tiny_model: Path, tmp_path: Path) -> None:
    class Interrupted(Few):
        def __iter__(self) -> Iterator[Arrival]:
            yield next(super().__iter__())
            broken_lock()

    summary = run_session(Interrupted(), Segmenter.load(tiny_model, gate=False), OutputFolder(tmp_path))
    assert summary.interrupted
    assert (summary.done, summary.failed) == (1, 0)


def test_a_broken_lock_alone_is_an_error_of_the_program(tiny_model: Path, tmp_path: Path) -> None:
    class Broken(Few):
        def __iter__(self) -> Iterator[Arrival]:
            threading.Lock().release()
            yield from super().__iter__()

    with pytest.raises(RuntimeError, match="unlocked"):
        run_session(Broken(), Segmenter.load(tiny_model, gate=False), OutputFolder(tmp_path))


@pytest.mark.parametrize("error", RAISED[:6], ids=kinds)
def test_reading_ends_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    for name in ("a.png", "poison.png", "z.png"):
        cv2.imwrite(str(tmp_path / name), np.full((40, 60), 9, np.uint8))
    read = files.read_film
    monkeypatch.setattr(files, "read_film", lambda path: throw(error) if path.name == "poison.png" else read(path))
    contents = [arrival.content for arrival in open_source([str(tmp_path)]) if arrival is not None]
    assert [isinstance(content, Failure) for content in contents] == [False, True, False]
