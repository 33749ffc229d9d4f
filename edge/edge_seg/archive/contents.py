"""What an archive is made of: its settings, the films of each shard, and which shards are done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pyarrow import parquet

from edge_seg.archive.store import Store
from edge_seg.errors import ModelError, UsageError
from edge_seg.model_file import ModelFile
from edge_seg.notice import RESEARCH_USE
from edge_seg.record import ModelFacts
from edge_seg.segmenter import Segmenter
from edge_seg.typed_json import parse_object, read_fields
from edge_seg.version import __version__

SCHEMA = 1
"""Version of the archive's layout; readers must refuse one they do not know."""

SETTINGS_NAME, MODEL_NAME = "archive.json", "model.tflite"

_FILMS_OF_A_MANIFEST = 100_000
"""At most, so that building one takes little memory."""


@dataclass(frozen=True)
class Settings:
    """How an archive is made; each of its parts was made this way.

    Attributes:
        model: that segments the films.
        lung: definition of lung that the masks follow; `None` if they show something else.
        gate: whether films that the model does not expect are rejected.
        films, films_per_shard: how many.
    """

    model: ModelFacts
    lung: str | None
    gate: bool
    films: int
    films_per_shard: int
    schema: int = SCHEMA
    edge_seg: str = __version__
    notice: str = RESEARCH_USE

    @property
    def shards(self) -> int:
        """Number of shards; the last one may be smaller."""
        return -(-self.films // self.films_per_shard)

    @property
    def shards_of_a_manifest(self) -> int:
        """Row groups in one file of the manifest."""
        return max(1, _FILMS_OF_A_MANIFEST // self.films_per_shard)

    def films_of(self, shard: int) -> int:
        """Number of films in a shard."""
        return min(self.films_per_shard, self.films - shard * self.films_per_shard)


@dataclass(frozen=True)
class PlannedFilm:
    """A film of the manifest.

    Attributes:
        number: of the film in the archive, from 0.
        source: path or URL.
        size, modified_ns: size in bytes, and time of the last change in nanoseconds; `None` if not known.
        problem: why it cannot be read; `None` if no problem is known.
    """

    number: int
    source: str
    size: int | None = None
    modified_ns: int | None = None
    problem: str | None = None


def part_name(number: int) -> str:
    """Name of a shard's part, from its number alone: if two are written at once, one remains."""
    return f"part-{number:08d}.parquet"


class Archive:
    """An archive that has been planned.

    Args:
        address: path or URL of its folder.

    Raises:
        UsageError: none is planned there, or another version of edge-seg made it.
        DeviceError: its store does not answer, or denies access.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.store = Store(address)
        if not self.store.holds(SETTINGS_NAME):
            raise UsageError(f"{address}: no archive is planned there: edge-seg archive plan FILMS --out {address}")
        self.settings = self._settings()

    def _settings(self) -> Settings:
        try:
            raw = parse_object(self.store.read(SETTINGS_NAME).decode())
            if raw.get("schema") == SCHEMA:
                return read_fields(Settings, raw, newer=True)
        except ValueError as error:
            raise UsageError(
                f"{self.address}: {SETTINGS_NAME} cannot be read ({error}): plan again with another --out"
            ) from error
        raise UsageError(f"{self.address}: another edge-seg ({raw.get('edge_seg')}) made it: use that one")

    @cached_property
    def model(self) -> ModelFile:
        """The archive's own copy of its model.

        Raises:
            ModelError: it is damaged, or another one is in its place.
        """
        model = ModelFile.from_bytes(self.store.read(MODEL_NAME), f"{self.address}/{MODEL_NAME}")
        if model.manifest.flatbuffer_sha256 != self.settings.model.sha256:
            raise ModelError(
                f"{self.address}/{MODEL_NAME}: is not the model of this archive: plan again with another --out"
            )
        return model

    def check(self, model: str | None = None, lung: str | None = None, gate: bool | None = None) -> None:
        """Refuse to continue with anything but what the archive was planned with; `None` is not checked.

        Raises:
            UsageError: version, model, lung or gate differs.
        """
        settings = self.settings
        wanted: dict[str, tuple[Any, Any]] = {"edge-seg": (settings.edge_seg, __version__)}
        if model is not None:
            manifest = ModelFile.read(model).manifest
            wanted["model"] = (
                f"{settings.model.name} {settings.model.version} ({settings.model.sha256[:12]})",
                f"{manifest.name} {manifest.version} ({manifest.flatbuffer_sha256[:12]})",
            )
        wanted["lung"] = (settings.lung, settings.lung if lung is None else lung)
        wanted["gate"] = (settings.gate, settings.gate if gate is None else gate)
        for name, (planned, given) in wanted.items():
            if planned != given:
                raise UsageError(
                    f"{self.address}: planned with {name} {planned}, this is {given}: one archive is made one way, "
                    "plan another for it"
                )

    def films(self, shard: int) -> list[PlannedFilm]:
        """The films of a shard, in order.

        Raises:
            InputError: the manifest cannot be read.
        """
        file, group = divmod(shard, self.settings.shards_of_a_manifest)
        with self.store.open(f"manifest/{part_name(file)}") as opened:
            rows = parquet.ParquetFile(opened).read_row_group(group).to_pylist()
        return [PlannedFilm(**row) for row in rows]

    def parts(self) -> dict[int, Any]:
        """Size and time of the parts that exist, as the store reports them, by shard."""
        names = {part_name(shard): shard for shard in range(self.settings.shards)}
        return {names[name]: info for name, info in self.store.list("records").items() if name in names}

    def has_part(self, shard: int) -> bool:
        """Whether a shard is done."""
        return self.store.holds(f"records/{part_name(shard)}")


def write_settings(store: Store, settings: Settings) -> None:
    """Write the settings of an archive; from here on it is planned."""
    store.write(SETTINGS_NAME, (json.dumps(asdict(settings), indent=2) + "\n").encode())


def settings_of(segmenter: Segmenter, films: int, films_per_shard: int) -> Settings:
    """The settings of an archive made with a segmenter like this one."""
    return Settings(ModelFacts.of(segmenter.manifest), segmenter.lung, segmenter.gate, films, films_per_shard)
