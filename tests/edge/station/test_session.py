"""A session writes results while it segments the next film, and settles every film with its own source."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from edge_seg import Film
from edge_seg.errors import OutputError
from edge_seg.film import Arrival, Outcome
from edge_seg.outputs.folder import OutputFolder, Written
from edge_seg.phantom import phantom
from edge_seg.record import AnyRecord, DoneRecord
from edge_seg.segmenter import Segmentation, Segmenter
from edge_seg.sources.ahead import one_ahead
from edge_seg.sources.source import Source
from edge_seg.sources.together import Together
from edge_seg.station.session import run_session


class Few(Source):
    """Films from memory; remembers what it was told."""

    def __init__(self, count: int, mark: str = "film") -> None:
        self.total = count
        self._mark = mark
        self.story: list[str] = []

    def __iter__(self) -> Iterator[Arrival]:
        for number in range(self.total or 0):
            self.story.append(f"taken {number}")
            made = Film(phantom(96, 80, seed=number).film.pixels, name=f"{self._mark}-{number}.png", source=self._mark)
            yield Arrival(made, partial(self._settled, made))

    def _settled(self, film: Film, record: Outcome | None) -> None:
        assert isinstance(record, DoneRecord)
        assert record.stem == Path(film.name).stem
        self.story.append(f"settled {record.stem[-1]}")


class Told(Segmenter):
    """Counts the films that it has started."""

    calls = 0
    news: threading.Condition

    def __call__(self, film: Film | np.ndarray) -> Segmentation:
        with self.news:
            type(self).calls += 1
            self.news.notify_all()
        return super().__call__(film)


class Patient(OutputFolder):
    """Writes a film only while the next one is being segmented."""

    def __init__(self, folder: Path, segmenter: Told, films: int) -> None:
        super().__init__(folder)
        self._segmenter, self._films, self._written = segmenter, films, 0

    def write_files(self, segmentation: Segmentation, stem: str) -> Written:
        self._written += 1
        wanted = min(self._written + 1, self._films)
        with self._segmenter.news:
            assert self._segmenter.news.wait_for(lambda: self._segmenter.calls >= wanted, timeout=60)
        return super().write_files(segmentation, stem)


def test_results_are_written_while_the_next_film_is_segmented(tiny_model: Path, tmp_path: Path) -> None:
    segmenter, source = Told.load(tiny_model, gate=False), Few(4)
    assert isinstance(segmenter, Told)
    segmenter.news = threading.Condition()
    summary = run_session(source, segmenter, Patient(tmp_path, segmenter, 4))
    assert summary.done == 4
    assert [word for word in source.story if word.startswith("settled")] == [f"settled {n}" for n in range(4)]


def test_of_several_sources_each_hears_of_its_own_films(tiny_model: Path, tmp_path: Path) -> None:
    sources = Few(3, mark="a"), Few(2, mark="b")
    both = Together(sources)
    summary = run_session(both, Segmenter.load(tiny_model, gate=False), OutputFolder(tmp_path))
    assert summary.done == 5
    assert [sum(word.startswith("settled") for word in source.story) for source in sources] == [3, 2]


def test_a_result_that_cannot_be_written_ends_the_session(tiny_model: Path, tmp_path: Path) -> None:
    class Full(OutputFolder):
        def write_files(self, segmentation: Segmentation, stem: str) -> Written:
            raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="full"):
        run_session(Few(3), Segmenter.load(tiny_model, gate=False), Full(tmp_path))


def test_a_session_that_waits_names_nobody_in_its_log(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Endless(Few):
        endless = True

    class FullAtFirst(OutputFolder):
        was_full = False

        def place(self, films: Sequence[Written]) -> list[AnyRecord]:
            if not self.was_full:
                self.was_full = True
                raise OutputError(f"{films[0].drafts[0].path}: full") from OSError(28, "No space left on device")
            return super().place(films)

    monkeypatch.setattr("edge_seg.station.session.RETRY_S", 0.0)
    caplog.set_level(logging.DEBUG, "edge_seg")
    source = Endless(1, mark="DOE_John")
    assert run_session(source, Segmenter.load(tiny_model, gate=False), FullAtFirst(tmp_path)).done == 1
    assert "No space left on device" in caplog.text
    assert "DOE" not in caplog.text


def test_reading_ahead_keeps_order_and_passes_errors_on() -> None:
    def three() -> Iterator[int]:
        yield 1
        yield 2
        raise OutputError("gone")

    numbers = one_ahead(three())
    assert [next(numbers), next(numbers)] == [1, 2]
    with pytest.raises(OutputError):
        next(numbers)
    assert list(one_ahead(iter(range(50)))) == list(range(50))
