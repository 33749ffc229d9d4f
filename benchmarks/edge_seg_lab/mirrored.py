"""How often a mirrored film without a header is detected, and how often a plain one is called mirrored.

`python -m edge_seg_lab.mirrored DATASET... --split test`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import click
import numpy as np
from edge_seg import Film, Segmenter
from edge_seg.assessment import sides
from edge_seg.assessment.film_gate import REJECT
from edge_seg.cli.main import run_command
from edge_seg_data import open_dataset


@dataclass
class Counts:
    """Counts over the films of a split.

    Attributes:
        films: number of films.
        called: plain films called mirrored.
        found: mirrored films detected.
        refused: mirrored films that the film gate rejects; nothing is measured on them.
        read, wrong: plain films whose side marker is read, and those where it is on the wrong side.
    """

    films: int = 0
    called: int = 0
    found: int = 0
    refused: int = 0
    read: int = 0
    wrong: int = 0


def count(films: Iterable[Film], segmenter: Segmenter) -> Counts:
    """Segment each film plain and mirrored, with its orientation unknown."""
    counts = Counts()
    for film in films:
        plain = replace(film, orientation_known=False)
        mirrored = replace(plain, pixels=np.ascontiguousarray(plain.pixels[:, ::-1]))
        counts.films += 1
        result = segmenter(plain)
        counts.called += result.quality.has(sides.MIRRORED)
        seen = segmenter(mirrored).quality
        counts.found += seen.has(sides.MIRRORED)
        counts.refused += seen.verdict == REJECT
        lungs = result.masks["right_lung"] | result.masks["left_lung"]
        if lungs.any():
            letter, on_its_side = sides.read_side(plain, plain.upright.of(lungs))
            counts.read += bool(letter)
            counts.wrong += not on_its_side
    return counts


@click.command()
@click.argument("folders", metavar="DATASET...", nargs=-1, required=True)
@click.option("--split", default="test", show_default=True)
@click.option("--model", default="lungs", show_default=True)
def main(folders: tuple[str, ...], split: str, model: str) -> None:
    """Count the films of DATASET... that are called mirrored, as they are and mirrored."""
    segmenter = Segmenter.load(model)
    for folder in folders:
        counts = count((labelled.load()[0] for labelled in open_dataset(folder).split(split)), segmenter)
        click.echo(
            f"{folder} {split}: {counts.films} films, {counts.called} called mirrored as they are, "
            f"{counts.found} when mirrored, and {counts.refused} refused; "
            f"markers read on {counts.read}, {counts.wrong} of them on the wrong side"
        )


if __name__ == "__main__":
    run_command(main)
