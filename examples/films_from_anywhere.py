"""A source of your own: segments the frames of a .npy stack. python films_from_anywhere.py stack.npy results."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from edge_seg import Film, InputError, Segmenter
from edge_seg.film import Arrival, Failure
from edge_seg.outputs.folder import OutputFolder
from edge_seg.sources import Source
from edge_seg.station.session import run_session


class Stack(Source):
    """Films in one array, `(films, height, width)` uint8 or uint16, bone white."""

    def __init__(self, path: Path) -> None:
        self._path, self._frames = path, np.load(path, mmap_mode="r")
        self.total = len(self._frames)

    def __iter__(self) -> Iterator[Arrival]:
        for number, pixels in enumerate(self._frames):
            name, source = f"{self._path.stem}-{number}.png", f"{self._path} {number}"
            try:
                yield Arrival(Film(np.array(pixels), name=name, source=source))
            except InputError as error:
                yield Arrival(Failure(name, source, error))


summary = run_session(Stack(Path(sys.argv[1])), Segmenter.load("lungs"), OutputFolder(Path(sys.argv[2])))
print(f"{summary.done} done, {summary.rejected} rejected, {summary.failed} failed")
