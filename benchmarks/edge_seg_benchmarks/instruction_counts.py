"""Instruction counts of models on emulated ARM cores, as a report shows them; the project's lab makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg.typed_json import parse_object, read_fields

from edge_seg_benchmarks.models import ModelFacts

SCHEMA = 1


@dataclass(frozen=True)
class Emulation:
    """How instructions were counted: the emulator, and the packages that ran inside it."""

    date: str
    emulator: str
    threads: int
    versions: dict[str, str]


@dataclass(frozen=True)
class FilmSize:
    """Size of the film, in pixels, and its bits per pixel."""

    height: int
    width: int
    bits: int


@dataclass(frozen=True)
class CoreFacts:
    """An emulated core; `features` as Linux names them."""

    name: str
    dot_product: bool
    features: tuple[str, ...]


@dataclass(frozen=True)
class ModelCounts(ModelFacts):
    """Instructions of one model on one core, for one film.

    Attributes:
        core: name of the core.
        dot_product: whether the core has int8 dot-product instructions.
        instructions: mean per stage, `other` and `film`.
        spread: largest minus smallest run, relative to the mean.
        runs: the mean of each process.
        differing_pixels: share of outlined pixels that differ from this machine's.
        instructions_per_mac: of inference; `None` for a network without multiply-accumulates.
    """

    core: str
    dot_product: bool
    instructions: dict[str, float]
    spread: dict[str, float]
    runs: tuple[dict[str, float], ...]
    differing_pixels: float
    instructions_per_mac: float | None


@dataclass(frozen=True)
class Saving:
    """What quantisation saves on a core.

    Attributes:
        core: name of the core.
        label, float32: the model, and the float32 model it is compared with.
        saved, bytes_saved: shares of the float32 model's instructions per inference and of its bytes moved.
        saves: whether `saved` exceeds the difference between two runs.
    """

    core: str
    label: str
    float32: str
    saved: float
    saves: bool
    bytes_saved: float


@dataclass(frozen=True)
class InstructionCounts:
    """Counts of several models on several cores.

    Attributes:
        schema: version of these fields.
        notice: research use only.
        command: how to repeat this.
        machine: what did the counting.
        film: the segmented film.
        runs, repeats: processes, and films in each.
        cores: the emulated cores.
        rows: per core and model.
        comparisons: of quantised models with float32.
    """

    schema: int
    notice: str
    command: str
    machine: Emulation
    film: FilmSize
    runs: int
    repeats: int
    cores: tuple[CoreFacts, ...]
    rows: tuple[ModelCounts, ...]
    comparisons: tuple[Saving, ...]

    @classmethod
    def read(cls, path: Path) -> InstructionCounts:
        """Counts from a JSON file.

        Raises:
            InputError: it cannot be read, or holds something else.
        """
        try:
            counts = read_fields(cls, parse_object(path.read_text()))
            if counts.schema != SCHEMA:
                raise ValueError(f"its schema is {counts.schema}, not {SCHEMA}")
            return counts
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not counted instructions ({error}): count them again") from error
