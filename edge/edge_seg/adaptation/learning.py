"""Trains a decoder on a handful of corrected films, held close to its original weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_seg.adaptation.decoder import Decoder, Parameters
from edge_seg.adaptation.loss import Plane, loss_and_slope

_PASSES = 5
_LOOKS = 100  # at films in total, at least


@dataclass(frozen=True)
class Settings:
    """How the decoder learns; chosen on films of `wingspan` train and val, see `edge_seg_lab.learning_curve`.

    Attributes:
        passes: over all films.
        learning_rate: of Adam (Kingma & Ba 2015), with cosine decay to zero.
        pull: towards the starting weights (L2-SP, Li et al. 2018): gradient per unit of distance.
        batch: films per step.
        seed: of the films' order.
    """

    passes: int = _PASSES
    learning_rate: float = 3e-4
    pull: float = 3e-2
    batch: int = 4
    seed: int = 0

    @classmethod
    def for_films(cls, count: int, seed: int = 0) -> Settings:
        """Settings for a number of films: the fewer there are, the more passes."""
        return cls(passes=max(_PASSES, -(-_LOOKS // count)), seed=seed)


@dataclass(frozen=True)
class Example:
    """A film to learn from.

    Attributes:
        name: of the film.
        given: activations of the encoder, by tensor.
        labels: `(input height, input width, planes)` uint8 of 0, 1 and `IGNORE`.
        planes: what the planes of the labels show.
    """

    name: str
    given: dict[int, np.ndarray]
    labels: np.ndarray
    planes: tuple[Plane, ...]


def learn(
    decoder: Decoder,
    start: Parameters,
    examples: Sequence[Example],
    settings: Settings = Settings(),
    told: Callable[[int, int, float], None] = lambda done, of, loss: None,
) -> Parameters:
    """Parameters trained on examples.

    Args:
        decoder: what is trained.
        start: parameters to start from, and to stay close to.
        examples: at least one.
        settings: how to train.
        told: called after each pass with the passes done, their total, and the mean loss.
    """
    rng = np.random.default_rng(settings.seed)
    adam = _Adam(start)
    steps = settings.passes * -(-len(examples) // settings.batch)
    step = 0
    for done in range(1, settings.passes + 1):
        order, losses = rng.permutation(len(examples)), []
        for first in range(0, len(order), settings.batch):
            batch = [examples[i] for i in order[first : first + settings.batch]]
            loss, slopes = _slopes(decoder, adam.parameters, batch)
            losses.append(loss)
            rate = settings.learning_rate * (1 + np.cos(np.pi * step / steps)) / 2
            adam.step(slopes, rate, settings.pull)
            step += 1
        told(done, settings.passes, float(np.mean(losses)))
    return adam.parameters


def _slopes(decoder: Decoder, parameters: Parameters, batch: Sequence[Example]) -> tuple[float, Parameters]:
    """Mean loss of a batch, and its gradients."""
    total = 0.0
    summed: Parameters = {}
    for example in batch:
        made = decoder.forward(parameters, example.given)
        loss, slope = loss_and_slope(made.logits, example.labels, example.planes)
        total += loss / len(batch)
        for key, (weights, bias) in made.backward(slope / len(batch)).items():
            before = summed.get(key)
            summed[key] = (weights, bias) if before is None else (before[0] + weights, before[1] + bias)
    return total, summed


class _Adam:
    def __init__(self, start: Parameters) -> None:
        self._start = start
        self.parameters = {key: (weights.copy(), bias.copy()) for key, (weights, bias) in start.items()}
        self._means = {key: [(np.zeros_like(one), np.zeros_like(one)) for one in pair] for key, pair in start.items()}
        self._count = 0

    def step(self, slopes: Parameters, rate: float, pull: float) -> None:
        self._count += 1
        for key, pair in slopes.items():
            for one, start, slope, (mean, square) in zip(
                self.parameters[key], self._start[key], pair, self._means[key], strict=True
            ):
                slope = slope + pull * (one - start)
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope**2 - square)
                steady = mean / (1 - 0.9**self._count)
                one -= (rate * steady / (np.sqrt(square / (1 - 0.999**self._count)) + 1e-8)).astype(np.float32)
