"""Size of the code: lines of each package, untyped dictionaries, long functions.

`python -m edge_seg_lab.size CHECKOUT...` counts several checkouts, for example worktrees of two commits.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import click

LONG = 50
"""Functions with more lines than this are counted as long."""

_ROOTS = ("edge", "train", "quantize", "benchmarks")
_UNTYPED = "dict[str, Any]"


@dataclass(frozen=True)
class Size:
    """Counts of one package.

    Attributes:
        lines: of all Python files, blank ones and comments included.
        untyped: occurrences of `dict[str, Any]`.
        long_functions: functions with more than `LONG` lines, not counting decorators.
    """

    lines: int = 0
    untyped: int = 0
    long_functions: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.lines + other.lines, self.untyped + other.untyped, self.long_functions + other.long_functions)


def size_of(text: str) -> Size:
    """The size of one Python file.

    >>> size_of("x: dict[str, Any] = {}")
    Size(lines=1, untyped=1, long_functions=0)
    """
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = sum((function.end_lineno or 0) - function.lineno + 1 > LONG for function in functions)
    return Size(len(text.splitlines()), text.count(_UNTYPED), long)


def sizes(checkout: Path) -> dict[str, Size]:
    """The size of each package of a checkout, and of its tests."""
    packages = [folder for root in _ROOTS for folder in sorted((checkout / root).glob("edge_seg*")) if folder.is_dir()]
    return {
        folder.name: sum((size_of(path.read_text()) for path in folder.rglob("*.py")), Size())
        for folder in [*packages, checkout / "tests"]
    }


@click.command()
@click.argument("checkouts", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(checkouts: tuple[Path, ...]) -> None:
    """Print a Markdown table for each of CHECKOUTS..."""
    for checkout in checkouts:
        click.echo(
            f"\n{checkout}\n\n| package | lines | `{_UNTYPED}` | functions over {LONG} lines |\n|---|---|---|---|"
        )
        counted = sizes(checkout)
        for name, size in [*counted.items(), ("all", sum(counted.values(), Size()))]:
            click.echo(f"| {name} | {size.lines:,} | {size.untyped} | {size.long_functions} |")


if __name__ == "__main__":
    main()
