"""What corrections are worth: Dice on held-out films after a model has learned from 5, 10, 20 or 40 corrected ones.

`python -m edge_seg_lab.learning_curve DATASET --out FOLDER` adapts a model as a device does, on films of the train
split chosen by the correction queue and at random, and scores each int8 model on the test split. The data set acts as
the annotator: a chosen film gets its outlines. Where those are of the visible lung, the model's own lungs and
cardiomediastinum learn through it, as in training. Rows already in `--out` are not made again.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import cv2
import numpy as np
from edge_seg import Segmenter
from edge_seg.adaptation.adapt import adapted_model
from edge_seg.adaptation.decoder import Decoder, Parameters, find_decoder, shipped_parameters, with_parameters
from edge_seg.adaptation.examples import Encoder, Outlined
from edge_seg.adaptation.gate import dice, on_phantoms
from edge_seg.adaptation.learning import Example, Settings, learn
from edge_seg.cli.main import run_command
from edge_seg.corrections.queue import Candidate, candidate_of, choose
from edge_seg.corrections.second_opinion import MODEL, agreement
from edge_seg.model_file import ModelFile
from edge_seg.record import record_of
from edge_seg.storage import write_atomically
from edge_seg_benchmarks.accuracy.statistics import Estimate, bootstrap_mean
from edge_seg_data import Dataset, open_dataset, truth_regions

COUNTS = (5, 10, 20, 40)
QUEUE, RANDOM = "queue", "random"
POOL = 80
"""Films that have arrived before the first correction, drawn separately for each seed."""

_LUNGS, _SHADOW, _HEART = ("right_lung", "left_lung"), "cardiomediastinum", "heart"
_SCORED = ("visible_lung", "whole_lung", "heart")


@dataclass(frozen=True)
class LabFilm:
    """A film of the train split: its training example and its queue candidate."""

    example: Example
    candidate: Candidate


@dataclass(frozen=True)
class Row:
    """One adaptation: Dice of each test film by region, what it cost, and the Dice lost on phantoms."""

    way: str
    seed: int
    films: int
    dice: dict[str, list[float]]
    cpu_s: float
    peak_mb: float
    phantoms: dict[str, float]


class Lab:
    """A model, the films that it can learn from, and the films that it is scored on.

    Args:
        model: shipped model or file.
        dataset: outlined films with train and test split.
        test: split that is scored.
        second: shipped model or file whose agreement orders the queue.
        limit: most films to read of each split.
    """

    def __init__(
        self, model: str, dataset: Dataset, test: str = "test", limit: int | None = None, second: str = MODEL
    ) -> None:
        self.model = ModelFile.read(model)
        self.decoder: Decoder = find_decoder(self.model.flatbuffer)
        self.start: Parameters = shipped_parameters(self.decoder, self.model.flatbuffer)
        self.names = [structure.name for structure in self.model.manifest.structures]
        self._encoder = Encoder(self.model, self.decoder)
        self._segmenter = Segmenter(self.model, gate=False)
        self._second = Segmenter(ModelFile.read(second), gate=False, lung=self._segmenter.lung)
        self.train = [self._film(*one) for one in self.outlined(dataset, "train", limit)]
        self.test = [(film, *film.load()) for film in dataset.split(test)[:limit] if film.scored]

    def outlined(self, dataset: Dataset, split: str, limit: int | None = None) -> Iterable[tuple[Outlined, Candidate]]:
        """The films of a split with corrected outlines, and their queue candidates."""
        for film in dataset.split(split)[:limit]:
            pixels, outlines = film.load()
            found = self._segmenter(pixels)
            masks = corrected(found.masks, {name: plane == 1 for name, plane in outlines.items()})
            record = record_of(found, film.name, [], [], {})
            candidate = candidate_of(record, agreement(record, found.masks, self._second(pixels)))
            yield Outlined(film.name, film.patient, pixels, masks), candidate

    def _film(self, one: Outlined, candidate: Candidate) -> LabFilm:
        return LabFilm(self._encoder.example(one), candidate)

    def adapted(self, examples: Sequence[Example], seed: int) -> ModelFile:
        """The int8 model that learned from examples."""
        parameters = learn(self.decoder, self.start, examples, Settings.for_films(len(examples), seed))
        return self.with_parameters(parameters)

    def with_parameters(self, parameters: Parameters) -> ModelFile:
        """The int8 model with other parameters."""
        flatbuffer = with_parameters(self.decoder, self.model.flatbuffer, parameters)
        return adapted_model(self.model, flatbuffer, f"{self.model.manifest.version}+lab", ())

    def score(self, model: ModelFile) -> dict[str, list[float]]:
        """Dice of each test film, by region, at the films' own size."""
        segmenter = Segmenter(model, gate=False)
        found: dict[str, list[float]] = {}
        for _, film, outlines in self.test:
            shown = segmenter(film).regions
            for name, (truth, valid) in truth_regions(outlines).items():
                if name in shown and name in _SCORED:
                    found.setdefault(name, []).append(dice(np.where(valid, truth, 127), shown[name]))
        return found

    def row(self, way: str, seed: int, count: int) -> Row:
        """Run and score one adaptation."""
        before = time.process_time()
        chosen = self.chosen(way, seed, count)
        model = self.adapted([film.example for film in chosen], seed) if chosen else self.model
        cpu = time.process_time() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        lost = {name: old - new for name, (old, new) in on_phantoms(self.model, model).items()}
        return Row(way, seed, count, self.score(model), round(cpu, 2), round(peak), lost)

    def chosen(self, way: str, seed: int, count: int) -> list[LabFilm]:
        """The films to correct, from the pool of this seed."""
        order = np.random.default_rng(seed).permutation(len(self.train))[:POOL]
        if way == RANDOM:
            return [self.train[i] for i in order[:count]]
        by_name = {self.train[i].candidate.film: self.train[i] for i in order}
        queue = choose([film.candidate for film in by_name.values()], [], count)
        return [by_name[one.film] for one in queue]

    def summaries(self, rows: Sequence[Row]) -> list[str]:
        """The table's lines."""
        lines = ["| region | films | queue | random | queue - random |", "|---|---|---|---|---|"]
        for region in rows[0].dice:
            for count in sorted({row.films for row in rows}):
                by_way = {way: _per_film(rows, way, count, region) for way in (QUEUE, RANDOM)}
                cells = [_shown(self._estimate(values)) for values in by_way.values()]
                apart = self._estimate(by_way[QUEUE] - by_way[RANDOM])
                lines.append(f"| {region} | {count} | {cells[0]} | {cells[1]} | {_shown(apart, '+')} |")
        return lines

    def _estimate(self, values: np.ndarray) -> Estimate:
        return bootstrap_mean(list(values), [film.patient for film, *_ in self.test])


def corrected(found: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model's outlines as corrected by a person who has the data set's.

    Structures that the data set outlines are taken from it. Where it outlines visible lungs, all that is visible
    belongs to the lung and none of it to the cardiomediastinum. What the model calls lung but is not visible is behind
    the cardiomediastinum, which grows by it, if that is nearer than the lung's outer edge, and otherwise is not lung.

    Args:
        found: the model's masks, bool.
        truth: the data set's masks, bool, including the model's structures or the visible right and left lung.
    """
    made = {name: truth.get(name, mask) for name, mask in found.items()}
    sides = {name: truth[f"visible_{name}"] for name in _LUNGS if f"visible_{name}" in truth and name not in truth}
    if not sides or _SHADOW not in found:
        return made
    visible = np.any(list(sides.values()), axis=0)
    lungs = np.any([found[name] for name in sides], axis=0)
    nearer = _distance(found[_SHADOW]) <= _distance(~(lungs | found[_SHADOW]))
    behind = lungs & ~visible & nearer
    for name, shown in sides.items():
        made[name] = shown | (found[name] & behind)
    made[_SHADOW] = (made[_SHADOW] | behind | truth.get(_HEART, behind)) & ~visible
    return made


def _distance(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to a mask, in pixels."""
    found: np.ndarray = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return found


def _per_film(rows: Sequence[Row], way: str, count: int, region: str) -> np.ndarray:
    """Dice of each test film, averaged over seeds."""
    found: np.ndarray = np.mean([row.dice[region] for row in rows if (row.way, row.films) == (way, count)], axis=0)
    return found


def _shown(estimate: Estimate, sign: str = "") -> str:
    return f"{estimate.mean:{sign}.4f} ({estimate.low:{sign}.4f} to {estimate.high:{sign}.4f})"


@click.command()
@click.argument("data", metavar="DATASET", type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="lungs", show_default=True, help="Model that learns: shipped, or a file.")
@click.option("--second", default=MODEL, show_default=True, help="Model whose agreement the queue goes by.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of rows, which are made once.")
@click.option("--seeds", default=5, show_default=True)
@click.option("--split", default="test", show_default=True, help="Split that is scored; choices are made on val.")
def main(data: Path, model: str, second: str, out: Path, seeds: int, split: str) -> None:
    """Measure what 0 to 40 corrected films of DATASET are worth to a model."""
    lab = Lab(model, open_dataset(data), split, second=second)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(seeds):
        for count in (0, *COUNTS):
            for way in (QUEUE, RANDOM):
                path = out / (f"{way}-{seed}-{count}.json" if count else "before.json")
                if not path.exists():
                    write_atomically(path, json.dumps(asdict(lab.row(way, seed, count))).encode())
                rows.append(Row(**{**json.loads(path.read_text()), "way": way, "seed": seed}))
                shown = ", ".join(f"{name} {np.mean(values):.4f}" for name, values in rows[-1].dice.items())
                click.echo(f"seed {seed}, {count} films, {way}: {shown}; {rows[-1].cpu_s} CPU s", err=True)
    name = f"{lab.model.manifest.name} {lab.model.manifest.version}"
    click.echo(f"{name}, {len(lab.test)} films of {split}, {seeds} seeds; mean Dice and 95 % interval by patient\n")
    click.echo("\n".join(lab.summaries(rows)))
    learned = [row for row in rows if row.films]
    click.echo(f"\nCPU s by films: {_costs(learned)}; peak {max(row.peak_mb for row in rows):.0f} MB")
    click.echo(
        f"lost on phantoms at most: {max(max(row.phantoms.values()) for row in learned):.4f} Dice of a structure"
    )


def _costs(rows: Sequence[Row]) -> dict[int, float]:
    return {n: round(float(np.mean([row.cpu_s for row in rows if row.films == n])), 1) for n in COUNTS}


if __name__ == "__main__":
    run_command(main)
