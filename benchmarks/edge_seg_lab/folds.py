"""Fine-tuning, cross-validated: each film is scored by an int8 model that never saw its patient.

`python -m edge_seg_lab.folds DATASET --out FOLDER` trains, quantises and scores once for each fold, with the
commands that a user would type; it needs `pip install 'edge-seg[train,report]'`. The same command resumes a stopped
run.
"""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from edge_seg import RESEARCH_USE, Segmenter
from edge_seg.cli.main import run_command
from edge_seg.storage import write_atomically
from edge_seg_benchmarks.accuracy.scores import FilmScore, score_film, summarise
from edge_seg_benchmarks.machine import machine_facts
from edge_seg_data import Dataset, LabelledFilm, open_dataset
from edge_seg_data.files import key_of, stem_of
from edge_seg_data.index import INDEX_NAME, KEPT_COLUMNS, read_index


def folds_of(films: tuple[LabelledFilm, ...], count: int) -> list[tuple[LabelledFilm, ...]]:
    """Split films by patient into `count` folds of sizes as even as the patients allow."""
    patients = sorted({film.patient for film in films})
    shuffled = np.random.default_rng(0).permutation(len(patients))
    fold = {patients[index]: place % count for place, index in enumerate(shuffled)}
    return [tuple(film for film in films if fold[film.patient] == k) for k in range(count)]


def lay_out(dataset: Dataset, source: Path, held_out: tuple[LabelledFilm, ...], folder: Path) -> Path:
    """Link the data set into a folder, with an index that makes the held-out films the test split.

    An eighth of the other patients, at least three, are for validation. The source's other index columns are kept.
    """
    target = folder / dataset.name
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.name.lower() != INDEX_NAME and not (target / entry.name).exists():
            (target / entry.name).symlink_to(entry.resolve())
    test = {film.patient for film in held_out}
    others = sorted({film.patient for film in dataset.films} - test)
    validation = set(others[:: max(2, min(8, len(others) // 3))])
    index = read_index(source)
    known = index.rows if index is not None else {}
    # A column that the source lacks could make the fold look like a set of another layout.
    kept = [name for name in KEPT_COLUMNS if any(name in row.values for row in known.values())]
    rows = []
    for film in dataset.films:
        row = known.get(key_of(stem_of(Path(film.source).name)))
        split = "test" if film.patient in test else "val" if film.patient in validation else "train"
        more = {name: row.values.get(name, "") if row is not None else "" for name in kept}
        rows.append({"stem": film.name, "split": split, "patient": film.patient, **more})
    with (target / INDEX_NAME).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return target


@click.command()
@click.argument("source", metavar="DATASET", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for runs, models and the result.")
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True)
@click.option("--train", "train_words", default="--from lungs", show_default=True, help="Options of `edge-seg train`.")
@click.option("--quantize", "quantize_words", default="", help="Options of `edge-seg quantize`.")
def main(source: Path, out: Path, folds: int, train_words: str, quantize_words: str) -> None:
    """Cross-validate fine-tuning on DATASET, a folder whose layout reads an `index.csv`."""
    dataset = open_dataset(source)
    found: list[FilmScore] = []
    seconds = []
    for k, held_out in enumerate(folds_of(dataset.films, folds)):
        folder = out / f"fold-{k}"
        data = f"{dataset.layout}={lay_out(dataset, source, held_out, folder)}"
        start = time.perf_counter()
        _edge_seg("train", data, "--out", str(folder / "run"), *shlex.split(train_words), "-q")
        model = folder / "model.tflite"
        if not model.exists():
            _edge_seg("quantize", str(folder / "run"), "--out", str(model), *shlex.split(quantize_words), "-q")
        seconds.append(time.perf_counter() - start)
        segmenter = Segmenter.load(model, gate=False)
        scores = [score for film in held_out for score in score_film(segmenter, dataset.name, film)]
        found += scores
        values = ", ".join(f"{score.dice:.4f}" for score in scores)
        click.echo(f"fold {k}: {len(held_out)} films, {seconds[-1]:.0f} s; Dice {values}")
    result = {
        "notice": RESEARCH_USE,
        "command": f"python -m edge_seg_lab.folds {source.name} --folds {folds} "
        f"--train {shlex.quote(train_words)} --quantize {shlex.quote(quantize_words)} --out {out.name}",
        "machine": asdict(machine_facts()),
        "seconds": seconds,
        "scores": [asdict(row) for row in summarise(found)],
        "films": [asdict(score) for score in found],
    }
    write_atomically(out / "folds.json", (json.dumps(result, indent=1) + "\n").encode())
    for row in summarise(found):
        dice = row.dice
        click.echo(
            f"{row.region.replace('_', ' ')}: Dice {dice.mean:.4f} ({dice.low:.4f} to {dice.high:.4f}), "
            f"{dice.n} films of {dice.patients} patients; longest fold {max(seconds):.0f} s"
        )


def _edge_seg(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "edge_seg.cli.main", *words], capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"edge-seg {words[0]}: {done.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    run_command(main)
