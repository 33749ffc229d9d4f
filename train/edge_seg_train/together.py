"""The processes that train together, and all their devices, which share every batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_seg_train.processes import Processes


@dataclass(frozen=True)
class Together:
    """The processes that train together, and the number of all their devices."""

    processes: Processes
    replicas: int

    def logits(self, model: Any, films: np.ndarray, batch_size: int) -> np.ndarray:
        """The network's logits of films; with several processes, computed by this one alone."""
        if self.processes.count == 1:
            shared = films[self.shared(len(films))]
            return np.asarray(model.predict(shared, batch_size=batch_size, verbose=0)[: len(films)])
        import jax

        weights = [[np.asarray(one.value) for one in kind] for kind in _variables(model)]
        network = jax.jit(lambda weights, films: model.stateless_call(*weights, films, training=False)[0])
        parts = [films[start : start + batch_size] for start in range(0, len(films), batch_size)]
        return np.concatenate([np.asarray(network(weights, part)) for part in parts])

    def shared(self, films: int) -> np.ndarray:
        """Indices of films, padded with repeats: TensorFlow fails on a device with no films, JAX on unequal shares."""
        return np.resize(np.arange(films), -(-films // self.replicas) * self.replicas)


def _variables(model: Any) -> tuple[Any, Any]:
    return model.trainable_variables, model.non_trainable_variables
