"""Trials: one training run for each row of a plan, measured alike, as a table in which a command repeats each row.

`python -m edge_seg_lab.trials benchmarks/edge_seg_lab/plans/search.json --data FOLDER --out trials --table TABLE`
trains, quantises and benchmarks with the commands that a user would type; it needs `pip install
'edge-seg[train,report]'`. Rows that are done are kept, so it goes on where it stopped.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError
from edge_seg.storage import write_atomically
from edge_seg_benchmarks.report.folder import render


@dataclass(frozen=True)
class Plan:
    """What to try.

    Attributes:
        title, about: of the table.
        data: names of the data sets to train on, folders beneath `--data`.
        train, quantize: options that all rows share.
        score: data sets to score on, `(name, split, region)`.
        rows: options of `edge-seg train` that make each row, by its name.
    """

    title: str
    about: str
    data: tuple[str, ...]
    train: str
    quantize: str
    score: tuple[tuple[str, str, str], ...]
    rows: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Plan:
        """A plan from its JSON file.

        Raises:
            InputError: it is absent or no plan.
        """
        try:
            raw = json.loads(path.read_text())
            score = tuple((s["data"], s["split"], s["region"]) for s in raw.pop("score"))
            return cls(**{**raw, "data": tuple(raw["data"]), "score": score})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: no plan of trials ({error}): see benchmarks/edge_seg_lab/plans") from error

    def words(self, row: str, folder: Path) -> list[str]:
        """Words of the `edge-seg train` command of a row, its data in `folder`."""
        return [*(str(folder / name) for name in self.data), *shlex.split(f"{self.train} {self.rows[row]}")]


def run_row(plan: Plan, row: str, data: Path, folder: Path) -> dict[str, Any]:
    """Train, quantise and measure one row, unless its result is there already.

    Args:
        plan: with that row.
        row: its name.
        data: folder that the data sets lie in.
        folder: for run, models, reports and the result (`result.json`).

    Returns:
        `row`, `command` and `scores`.

    Raises:
        click.ClickException: one of the commands failed.
    """
    stored = folder / "result.json"
    if stored.is_file():
        return dict(json.loads(stored.read_text()))
    words, model = plan.words(row, data), folder / "model.tflite"
    _edge_seg("train", *words, "--out", str(folder / "run"), "-q")
    _edge_seg("quantize", str(folder / "run"), "--out", str(model), *shlex.split(plan.quantize), "-q")
    result: dict[str, Any] = {
        "row": row,
        "command": shlex.join(["edge-seg", "train", *plan.data, *words[len(plan.data) :], "--out", "run"]),
        "scores": [],
    }
    for name, split, region in plan.score:
        options = ["--data", str(data / name), "--split", split, "--pictures", "none", "--no-peak", "--json"]
        report = json.loads(_edge_seg("benchmark", str(model), *options, "--out", str(folder / f"report-{name}")))
        scores = next(r for r in report["models"][0]["scores"] if r["region"] == region)
        result["scores"].append({"data": name, "split": split, "region": region, **scores["dice"]})
    write_atomically(stored, (json.dumps(result, indent=1) + "\n").encode())
    return result


def time_together(folders: list[Path]) -> dict[str, Any]:
    """The report on models of done rows, their inference timed in turns in one run: so they compare on a busy machine.

    Args:
        folders: of the rows; the report goes beside them.

    Returns:
        The benchmark's report, its `models` in the order of `folders`.

    Raises:
        click.ClickException: a model is gone or unreadable.
    """
    models = [str(folder / "model.tflite") for folder in folders]
    out = str(folders[0].parent / "report-latency")
    options = [
        "--data",
        "phantom",
        "--split",
        "all",
        "--limit",
        "2",
        "--pictures",
        "none",
        "--no-peak",
        "--json",
        "--out",
        out,
    ]
    return dict(json.loads(_edge_seg("benchmark", *models, *options)))


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
            raise click.ClickException(f"{row}: no row of {plan_file}: choose from {', '.join(plan.rows)}")
        found = run_row(plan, row, data, out / row)
        click.echo(f"{row}: " + ", ".join(f"{s['data']} {s['mean']:.4f}" for s in found["scores"]))
    folders = [out / row for row in plan.rows if (out / row / "result.json").is_file()]
    together = time_together(folders)
    done = [
        {**json.loads((folder / "result.json").read_text()), "model": model}
        for folder, model in zip(folders, together["models"], strict=True)
    ]
    # This machine's folders are nobody's business.
    named = plan_file.name if plan_file.is_absolute() else plan_file.as_posix()
    words = [named, "--data", "DATA", "--out", "trials", "--table", table.name]
    command = shlex.join(["python", "-m", "edge_seg_lab.trials", *words])
    write_atomically(
        table, render("trials.md.j2", plan=plan, rows=done, machine=together["machine"], command=command).encode()
    )
    click.echo(f"table: {table}")


def _edge_seg(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "edge_seg.cli.main", *words], capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"edge-seg {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


if __name__ == "__main__":
    run_command(main)
