"""Whether a bad annotator gets a model past the gate: `python -m edge_seg_lab.bad_annotator DATASET`.

Films are outlined wrongly on purpose: shifted, lungs swapped, lower halves left out. The model learns from ten of them,
alone or with thirty correct ones, and is judged as on a device: on test films that are outlined correctly, and on test
films that are wrong in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import numpy as np
from edge_seg.adaptation.adapt import learn_from
from edge_seg.adaptation.examples import Outlined
from edge_seg.adaptation.gate import judge
from edge_seg.cli.main import run_command
from edge_seg_data import open_dataset

from edge_seg_lab.learning_curve import Lab

Masks = Mapping[str, np.ndarray]

WRONG, RIGHT = 10, 30
TESTED = 10
"""Test films, about as many as go with forty corrected ones."""

_SHIFT = 0.08  # of the film's width


def shifted(masks: Masks) -> Masks:
    """All outlines moved to one side."""
    return {name: np.roll(mask, round(_SHIFT * mask.shape[1]), axis=1) for name, mask in masks.items()}


def swapped(masks: Masks) -> Masks:
    """Right and left lung exchanged."""
    return {**masks, "right_lung": masks["left_lung"], "left_lung": masks["right_lung"]}


def halves_left_out(masks: Masks) -> Masks:
    """Only the upper half of what is outlined on the film."""
    rows = np.flatnonzero(np.any(list(masks.values()), axis=0).any(axis=1))
    middle = int(rows.mean()) if rows.size else 0
    return {name: mask & (np.arange(len(mask))[:, None] < middle) for name, mask in masks.items()}


WAYS: dict[str, Callable[[Masks], Masks]] = {
    "shifted": shifted,
    "lungs swapped": swapped,
    "halves left out": halves_left_out,
}


def spoiled(film: Outlined, way: Callable[[Masks], Masks]) -> Outlined:
    """The film with wrong outlines."""
    return replace(film, outlines=way(film.outlines))


@click.command()
@click.argument("data", metavar="DATASET", type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="lungs", show_default=True, help="Model that learns: shipped, or a file.")
def main(data: Path, model: str) -> None:
    """Let a model learn from films of DATASET that are outlined wrongly on purpose, and say what the gate does."""
    dataset = open_dataset(data)
    lab = Lab(model, dataset, limit=0)
    train = [film for film, _ in lab.outlined(dataset, "train", WRONG + RIGHT)]
    test = [film for film, _ in lab.outlined(dataset, "test", TESTED)]
    click.echo("| wrongly outlined | learned from | films for testing | accepted | why |\n|---|---|---|---|---|")
    for told, right in ((f"{WRONG} wrong", train[:0]), (f"{WRONG} wrong, {RIGHT} right", train[WRONG:])):
        for name, way in WAYS.items():
            wrong = [spoiled(film, way) for film in train[:WRONG]]
            adapted = learn_from(lab.model, lab.decoder, wrong + right, "lab")
            for kind, tested in (("right", test), ("wrong too", [spoiled(film, way) for film in test])):
                judged = judge(lab.model, lab.model, adapted, tested)
                click.echo(f"| {name} | {told} | {kind} | {'yes' if judged.accepted else 'no'} | {judged.why} |")


if __name__ == "__main__":
    run_command(main)
