"""The Python interface: a segmenter that accepts films in many forms, and results that display and save themselves."""

from __future__ import annotations

import base64
import html
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_seg import segmenter as engine
from edge_seg.errors import DeviceError, UsageError
from edge_seg.film import Failure
from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.jpeg import encode_jpeg
from edge_seg.outputs.names import plain_stem
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.outputs.png import encode_png

if TYPE_CHECKING:
    from concurrent.futures import Future

    from edge_seg.record import DoneRecord
    from edge_seg.sources.given import FilmLike

_AHEAD = 2
"""Films submitted per worker before their results are taken."""


@dataclass(frozen=True, repr=False)
class Segmentation(engine.Segmentation):
    """The result for one film. Research use only, not for diagnosis.

    The attributes are those of `edge_seg.segmenter.Segmentation`: `masks`, `areas`, `measurements`, `quality`, `trust`.
    In a notebook a result shows its overlay and its numbers.
    """

    def overlay(self) -> np.ndarray:
        """The film with its outlines above a strip of text, `(height, width, 3)` uint8 RGB."""
        return np.ascontiguousarray(draw_overlay(self)[:, :, ::-1])

    def save(
        self, folder: str | Path, products: Iterable[str] = ("mask", "overlay", "record"), *, names: bool = False
    ) -> DoneRecord:
        """Write masks, overlay and record into a folder as `edge-seg run` does, and return the record.

        Args:
            folder: created if missing.
            products: which of `mask`, `overlay`, `record`, `dicom`; with `dicom`, only you can read the files.
            names: whether the record may name the patient; if so, only you can read the files.

        Raises:
            OutputError: the folder cannot be written, or another program writes to it.
            UsageError: an unknown product, or none.
        """
        # Imported here: the DICOM writers take a while to load.
        from edge_seg.outputs.folder import OutputFolder

        with closing(OutputFolder(Path(folder), products, names=names)) as output:
            return output.write(self)

    def plot(self, axes: Any = None) -> Any:
        """Draw the overlay on matplotlib axes, new ones by default, and return them.

        Raises:
            DeviceError: matplotlib is not installed.
        """
        if axes is None:
            try:
                from matplotlib import pyplot
            except ModuleNotFoundError as error:
                raise DeviceError("matplotlib is not installed: pip install matplotlib") from error
            axes = pyplot.subplots(figsize=(8, 8), layout="constrained")[1]
        axes.imshow(self.overlay())
        axes.set_title(self.film.name)
        axes.set_axis_off()
        return axes

    def to_dict(self, *, names: bool = False) -> dict[str, Any]:
        """The result's numbers and facts as JSON values: a record (`schemas/record.json`) without files.

        Args:
            names: whether the patient may be named.
        """
        from edge_seg.record import record_of

        return record_of(self, plain_stem(self.film.name), [], [], self.timings_ms, names).to_json()

    def __repr__(self) -> str:
        return f"<Segmentation of {self.film.name}: {', '.join(f'{name} {text}' for name, text in self._rows())}>"

    def _repr_png_(self) -> bytes:
        return encode_png(draw_overlay(self))

    def _repr_html_(self) -> str:
        picture = base64.b64encode(encode_jpeg(draw_overlay(self))).decode()
        rows = [*self._rows(), *(("note", warning) for warning in self.warnings)]
        cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows)
        title = html.escape(self.film.name)
        return (
            f'<figure><img src="data:image/jpeg;base64,{picture}" alt="{title} with its outlines" '
            'style="max-width:512px">'
            f"<figcaption>{title}. {RESEARCH_USE}.</figcaption></figure><table>{cells}</table>"
        )

    def _rows(self) -> list[tuple[str, str]]:
        """Names and values of the main results."""
        if self.quality.verdict == "reject":
            return [("rejected", finding.text) for finding in self.quality.findings if finding.verdict == "reject"]
        rows = [
            (name.replace("_", " "), f"{area.pixels:,} px" if area.cm2 is None else f"{area.cm2:.1f} cm2")
            for name, area in self.areas.items()
            if name in self.masks
        ]
        ratio = self.measurements.ratios.get("cardiothoracic")
        rows += [("cardiothoracic ratio", f"{ratio:.2f}")] if ratio is not None else []
        low = " (low)" if self.low_trust else ""
        rows += [("estimated Dice", f"{self.trust:.2f}{low}")] if self.trust is not None else []
        return rows


class Segmenter(engine.Segmenter):
    """Segments films with one model.

    `Segmenter.load` creates one; the arguments of the class are those of `edge_seg.segmenter.Segmenter`. A segmenter
    serves one thread; `map` uses several.

    >>> from edge_seg import Segmenter
    >>> result = Segmenter.load()(np.zeros((480, 640), np.uint8))
    >>> result
    <Segmentation of film: rejected nothing to see on it: was it exposed?>
    """

    def __call__(self, film: FilmLike) -> Segmentation:
        """Segment a film.

        Args:
            film: a path, a file's bytes, an array `(height, width)` uint8 or uint16 with bone white, a Pillow image, or
                a `Film`.

        Raises:
            InputError: it cannot be read, or is not a film.
        """
        # Imported here, like the thread pool below, so that a program that only loads a segmenter starts sooner.
        from edge_seg.sources.given import film_of

        found = super().__call__(film_of(film))
        return Segmentation(**{each.name: getattr(found, each.name) for each in fields(found)})

    def map(self, films: Iterable[FilmLike], workers: int = 1) -> Iterator[Segmentation | Failure]:
        """Segment many films in order; a film that cannot be read or processed yields a `Failure` in its place.

        Films are consumed as results are taken: an endless iterable works, and few films are in memory at a time.

        Args:
            films: each as for a call.
            workers: threads, each with its own interpreter on one core; 1 uses this segmenter.

        Raises:
            UsageError: fewer than one worker.
        """
        if workers < 1:
            raise UsageError(f"workers={workers}: give 1 or more")
        return self._map(films, workers)

    def _map(self, films: Iterable[FilmLike], workers: int) -> Iterator[Segmentation | Failure]:
        from concurrent.futures import ThreadPoolExecutor

        from edge_seg.boundary import film_boundary

        free: SimpleQueue[Segmenter] = SimpleQueue()
        for _ in range(workers):
            free.put(self if workers == 1 else self.on_one_thread())

        def segment(given: FilmLike) -> Segmentation | Failure:
            one = free.get()
            try:
                source = str(given) if isinstance(given, str | Path) else type(given).__name__
                return film_boundary(Path(source).name, source, partial(one, given))
            finally:
                free.put(one)

        waiting: deque[Future[Segmentation | Failure]] = deque()
        with ThreadPoolExecutor(workers, "segment") as pool:
            try:
                for given in films:
                    waiting.append(pool.submit(segment, given))
                    if len(waiting) >= _AHEAD * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
