"""The adapted models of a folder of results, and which of them runs.

`models/NAME-VERSION.tflite` is complete before `models/current.json` names it, and that file is replaced in one step:
a process that dies at any point leaves either the old model or the new one.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from edge_seg.errors import EdgeSegError, ModelError, OutputError, UsageError
from edge_seg.log import room_logger
from edge_seg.model_file import ModelFile
from edge_seg.storage import flush_folder, write_atomically
from edge_seg.typed_json import parse_object, read_fields

FOLDER, POINTER_NAME = "models", "current.json"
SUFFIX = ".tflite"

SHIPPED = "the model that ships"
"""Readable name for what runs if no adapted model does."""

_LOG = room_logger(__name__)


@dataclass(frozen=True)
class Pointer:
    """Which adapted model runs in place of another.

    Attributes:
        adapted_from: SHA-256 of the flatbuffer that was adapted; if another is asked for, this does not apply.
        model: file name of the model that runs, empty for the one that was adapted.
        earlier: models that ran before, the latest last; an empty name is the one that was adapted.
    """

    adapted_from: str
    model: str = ""
    earlier: tuple[str, ...] = ()


class KeptModels:
    """The adapted models of a folder of results.

    Args:
        results: the folder of results; nothing is created there until a model is kept.
    """

    def __init__(self, results: str | Path) -> None:
        self.folder = Path(results) / FOLDER

    def in_place_of(self, asked: ModelFile) -> ModelFile:
        """The model that runs when another is asked for: its adapted version, or itself if none can be used."""
        pointer = self._pointer()
        if pointer is None or not pointer.model or pointer.adapted_from != asked.manifest.flatbuffer_sha256:
            return asked
        try:
            return ModelFile.read(self.folder / pointer.model)
        except EdgeSegError as error:
            _LOG.warning("the adapted model is left out: %s", error)
            return asked

    def is_in_use(self, asked: ModelFile) -> bool:
        """Whether an adapted model runs when another is asked for."""
        return self.in_place_of(asked) is not asked

    def waiting(self, name: str, version: str, sha256: str) -> str | None:
        """What runs from the next start on in place of a model that runs now, `None` if that one stays.

        Args:
            name, version, sha256: of the model that runs; the checksum is of its flatbuffer.
        """
        # A page calls this every second; damage is reported when the model is loaded.
        pointer, own = self._pointer(logging.DEBUG), f"{name}-{version}{SUFFIX}"
        if pointer is None:
            return None
        is_adapted = own in (pointer.model, *pointer.earlier) or (self.folder / own).exists()
        if not is_adapted and sha256 != pointer.adapted_from:
            return None
        follows = pointer.model if is_adapted or pointer.model else own
        if follows == own:
            return None
        return follows.removesuffix(SUFFIX) or SHIPPED

    def damage(self, waiting: str) -> str | None:
        """Why a model named by `waiting` cannot be used, `None` if it can."""
        if waiting == SHIPPED:
            return None
        path = self.folder / f"{waiting}{SUFFIX}"
        try:
            facts = path.stat()
        except OSError as error:
            return error.strerror
        return _damage(path, facts.st_mtime_ns, facts.st_size)

    def next_version(self, shipped: ModelFile) -> str:
        """A version that no kept model has: that of the model being adapted, plus a number."""
        name, version = shipped.manifest.name, shipped.manifest.version
        number = 1
        while (self.folder / _file_name(name, f"{version}+{number}")).exists():
            number += 1
        return f"{version}+{number}"

    def keep(self, model: ModelFile, shipped: ModelFile) -> Path:
        """Store a model to run from the next start on; once this returns, it survives a power cut.

        Raises:
            OutputError: it cannot be written; the previous model still runs.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flush_folder(self.folder.parent)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be made ({error.strerror}): choose another folder") from error
        path = self.folder / _file_name(model.manifest.name, model.manifest.version)
        write_atomically(path, model.to_bytes())
        pointer = self._pointer()
        if pointer is None or pointer.adapted_from != shipped.manifest.flatbuffer_sha256:
            pointer = Pointer(shipped.manifest.flatbuffer_sha256)
        self._write(Pointer(pointer.adapted_from, path.name, (*pointer.earlier, pointer.model)))
        return path

    def go_back(self) -> str:
        """Make the previous model run again from the next start on, and return its name.

        Raises:
            UsageError: there is no previous model.
            OutputError: it cannot be written.
        """
        pointer = self._pointer()
        if pointer is None or not pointer.earlier:
            raise UsageError(f"{self.folder}: there is no model to go back to: the one that ships runs")
        *earlier, before = pointer.earlier
        self._write(Pointer(pointer.adapted_from, before, tuple(earlier)))
        return before.removesuffix(SUFFIX) or SHIPPED

    def _pointer(self, level: int = logging.WARNING) -> Pointer | None:
        path = self.folder / POINTER_NAME
        try:
            found = read_fields(Pointer, parse_object(path.read_text()), newer=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _LOG.log(level, "%s cannot be read (%s): the model that ships runs", path, error)
            return None
        if any(Path(name).name != name for name in (found.model, *found.earlier)):
            _LOG.log(level, "%s names a model outside its folder: the model that ships runs", path)
            return None
        return found

    def _write(self, pointer: Pointer) -> None:
        write_atomically(self.folder / POINTER_NAME, json.dumps(asdict(pointer), indent=2).encode() + b"\n")


def model_in_use(asked: ModelFile, results: str | Path) -> ModelFile:
    """The model that runs when another is asked for; see `KeptModels.in_place_of`."""
    return KeptModels(results).in_place_of(asked)


@lru_cache(maxsize=8)
def _damage(path: Path, mtime_ns: int, size: int) -> str | None:
    """Why a file is not a model, checked once for each state of the file."""
    try:
        ModelFile.read(path)
    except EdgeSegError as error:
        return str(error)
    return None


def _file_name(name: str, version: str) -> str:
    file = f"{name}-{version}{SUFFIX}"
    if Path(file).name != file:
        raise ModelError(f"{name}: its name cannot be part of a file's: give the model another (edge-seg quantize)")
    return file
