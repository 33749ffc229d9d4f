"""What was read from a data set, and how: for people, for JSON, and for the decision whether to train on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NOTE, WARNING, ERROR = "note", "warning", "error"
"""An error would make training wrong, a warning may, and a note says how something was read."""

SHOWN = 5
"""Most files to name where space is short."""

_ALL = 50


@dataclass(frozen=True)
class Problem:
    """A finding about a data set.

    Attributes:
        kind: a short, stable name (`unmatched-films`, `duplicates-across-sets`, ...).
        severity: `NOTE`, `WARNING` or `ERROR`.
        text: what it is and what to do.
        files: all files it concerns.
    """

    kind: str
    severity: str
    text: str
    files: tuple[str, ...] = ()

    def line(self, folder: Path) -> str:
        """One line of text with its files; an error names up to `_ALL`, anything else up to `SHOWN`."""
        most = _ALL if self.severity == ERROR else SHOWN
        return f"{self.severity}: {self.text}{self.named(folder, most, ', all of them in --json')}"

    def named(self, folder: Path, most: int, where: str = "") -> str:
        """Its files in brackets, at most `most`; if there are more, their number and `where` to see them."""
        names = [_below(folder, file) for file in self.files]
        more = f" and {len(names) - most} more{where}" if len(names) > most else ""
        return f" ({', '.join(names[:most])}{more})" if names else ""


@dataclass(frozen=True)
class StructureFacts:
    """One structure of a data set.

    Attributes:
        name: of the structure.
        encoding: meaning of its masks' values.
        outlined: number of films with an outline of it.
        empty: number of films whose outline of it is empty.
        least, mean, most: share of the film that it covers, over films where it is not empty.
    """

    name: str
    encoding: str = ""
    outlined: int = 0
    empty: int = 0
    least: float = 0.0
    mean: float = 0.0
    most: float = 0.0


@dataclass(frozen=True)
class DatasetReport:
    """What was read from a data set.

    Attributes:
        folder: of the data set.
        layout: which reader read it, and its title.
        films, patients: their numbers; patients are counted where they are named.
        patients_named: whether the index names them; otherwise equal films count as one patient.
        splits: number of films in each split.
        sizes: number of films of each `WIDTH x HEIGHT`.
        structures: that are outlined.
        problems: notes, warnings and errors.
    """

    folder: str
    layout: str
    films: int = 0
    patients: int = 0
    patients_named: bool = False
    splits: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    structures: tuple[StructureFacts, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that would make training wrong."""
        return tuple(problem for problem in self.problems if problem.severity == ERROR)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "ok": not self.errors}

    def lines(self) -> list[str]:
        """The report as lines of text."""
        folder = Path(self.folder)
        named = f" of {counted(self.patients, 'patient')}" if self.patients_named else ", patients are not named"
        found = [
            f"{self.folder}: {self.layout}",
            f"  films       {self.films}{named}",
            f"  splits      {', '.join(f'{name} {count}' for name, count in self.splits.items()) or 'none'}",
        ]
        if self.sizes:
            shown = ", ".join(f"{size} ({count})" for size, count in Counter(self.sizes).most_common(SHOWN))
            more = f" and {len(self.sizes) - SHOWN} more sizes" if len(self.sizes) > SHOWN else ""
            found.append(f"  sizes       {shown}{more}")
        for one in self.structures:
            covers = f", covers {one.mean:.1%} ({one.least:.1%} to {one.most:.1%})" if one.most else ""
            empty = f", {one.empty} empty" if one.empty else ""
            found.append(f"  {one.name}: {counted(one.outlined, 'film')}{covers}{empty}; {one.encoding}")
        return [*found, *(f"  {problem.line(folder)}" for problem in self.problems)]


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural if needed.

    >>> counted(1, "film"), counted(2, "film")
    ('1 film', '2 films')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _below(folder: Path, file: str) -> str:
    try:
        return str(Path(file).relative_to(folder))
    except ValueError:
        return file
