"""Trials: a training run for each row of a plan, measured alike, in a table with the command that repeats each row.

`python -m edge_seg_lab.trials benchmarks/edge_seg_lab/plans/search.json --data FOLDER --out trials --table TABLE`
trains, quantises and benchmarks with the commands that a user would type; it needs `pip install
'edge-seg[train,report]'`. Finished rows are kept, so a stopped run resumes.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError
from edge_seg.storage import write_atomically
from edge_seg.typed_json import parse_object, read_fields
from edge_seg_benchmarks.accuracy.statistics import Estimate
from edge_seg_benchmarks.report.folder import render
from edge_seg_benchmarks.schema import ModelReport, Report


@dataclass(frozen=True)
class Scored:
    """A region on a split of a data set."""

    data: str
    split: str
    region: str


@dataclass(frozen=True)
class RowDice(Estimate):
    """Mean Dice of a row's int8 model."""

    data: str
    split: str
    region: str


@dataclass(frozen=True)
class Row:
    """A finished row: its name, the command that trained it, and its scores."""

    row: str
    command: str
    scores: tuple[RowDice, ...]

    @classmethod
    def read(cls, path: Path) -> Row:
        """A row from its `result.json`."""
        return read_fields(cls, parse_object(path.read_text()))


@dataclass(frozen=True)
class Plan:
    """What to try.

    Attributes:
        title, about: of the table.
        data: names of the data sets to train on, folders in `--data`.
        train, quantize: options that all rows share.
        score: what to score.
        rows: options of `edge-seg train` for each row, by its name.
    """

    title: str
    about: str
    data: tuple[str, ...]
    train: str
    quantize: str
    score: tuple[Scored, ...]
    rows: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Plan:
        """A plan from its JSON file.

        Raises:
            InputError: the file is missing or not a plan.
        """
        try:
            return read_fields(cls, parse_object(path.read_text()))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a plan of trials ({error}): see benchmarks/edge_seg_lab/plans") from error

    def words(self, row: str, folder: Path) -> list[str]:
        """Arguments of a row's `edge-seg train` command, with its data in `folder`."""
        return [*(str(folder / name) for name in self.data), *shlex.split(f"{self.train} {self.rows[row]}")]


def run_row(plan: Plan, row: str, data: Path, folder: Path) -> Row:
    """Train, quantise and score one row, unless its result exists already.

    Args:
        plan: plan that has the row.
        row: name of the row.
        data: folder of the data sets.
        folder: for run, models, reports and the result (`result.json`).

    Raises:
        click.ClickException: one of the commands failed.
    """
    stored = folder / "result.json"
    if stored.is_file():
        return Row.read(stored)
    words, model = plan.words(row, data), folder / "model.tflite"
    _edge_seg("train", *words, "--out", str(folder / "run"), "-q")
    _edge_seg("quantize", str(folder / "run"), "--out", str(model), *shlex.split(plan.quantize), "-q")
    command = shlex.join(["edge-seg", "train", *plan.data, *words[len(plan.data) :], "--out", "run"])
    result = Row(row, command, tuple(_dice(model, scored, data, folder) for scored in plan.score))
    write_atomically(stored, (json.dumps(asdict(result), indent=1) + "\n").encode())
    return result


def _dice(model: Path, scored: Scored, data: Path, folder: Path) -> RowDice:
    options = ["--data", str(data / scored.data), "--split", scored.split, *_QUICK]
    report = _benchmark([model], options, folder / f"report-{scored.data}")
    dice = next(row for row in report.models[0].scores if row.region == scored.region).dice
    return RowDice(dice.mean, dice.low, dice.high, dice.n, dice.patients, **vars(scored))


def time_together(folders: list[Path]) -> Report:
    """Time the models of finished rows in turn in one run, so that they are comparable on a busy machine too.

    Args:
        folders: folders of the rows; the report is written beside them.

    Returns:
        A report whose `models` are in the order of `folders`.

    Raises:
        click.ClickException: a model is missing or unreadable.
    """
    models = [folder / "model.tflite" for folder in folders]
    options = ["--data", "phantom", "--split", "all", "--limit", "2", *_QUICK]
    return _benchmark(models, options, folders[0].parent / "report-latency")


_QUICK = ("--pictures", "none", "--no-peak")


def _benchmark(models: list[Path], options: list[str], out: Path) -> Report:
    _edge_seg("benchmark", *map(str, models), *options, "--out", str(out), "-q")
    return Report.read(out / "report.json")


@dataclass(frozen=True)
class TableRow(Row):
    """A finished row with the report of its model."""

    model: ModelReport


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for runs, models and results.")
@click.option("--table", type=click.Path(path_type=Path), required=True, help="The Markdown file to write.")
@click.option("--row", "rows", multiple=True, help="Only this row of the plan; repeatable.")
def main(plan_file: Path, data: Path, out: Path, table: Path, rows: tuple[str, ...]) -> None:
    """Run the rows of PLAN on the data sets in --data and write their table."""
    plan = Plan.read(plan_file)
    for row in rows or plan.rows:
        if row not in plan.rows:
            raise click.ClickException(f"{row}: not a row of {plan_file}: choose from {', '.join(plan.rows)}")
        found = run_row(plan, row, data, out / row)
        click.echo(f"{row}: " + ", ".join(f"{score.data} {score.mean:.4f}" for score in found.scores))
    folders = [out / row for row in plan.rows if (out / row / "result.json").is_file()]
    together = time_together(folders)
    done = [
        TableRow(**vars(Row.read(folder / "result.json")), model=model)
        for folder, model in zip(folders, together.models, strict=True)
    ]
    # The folders of this machine stay out of the table.
    named = plan_file.name if plan_file.is_absolute() else plan_file.as_posix()
    words = [named, "--data", "DATA", "--out", "trials", "--table", table.name]
    command = shlex.join(["python", "-m", "edge_seg_lab.trials", *words])
    facts = {"plan": plan, "rows": done, "machine": together.machine, "command": command}
    write_atomically(table, render("trials.md.j2", facts, "edge_seg_lab").encode())
    click.echo(f"table: {table}")


def _edge_seg(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "edge_seg.cli.main", *words], capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"edge-seg {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


if __name__ == "__main__":
    run_command(main)
