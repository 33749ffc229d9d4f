"""What trains together: the processes, and the devices of all of them, which share every batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_seg_train.processes import Processes


@dataclass(frozen=True)
class Together:
    """What trains together: the processes, and the devices of all of them."""

    processes: Processes
    replicas: int

    def logits(self, model: Any, films: np.ndarray, batch_size: int) -> np.ndarray:
        """What the network says of films; by this process alone where there are several."""
        if self.processes.count == 1:
            shared = films[self.shared(len(films))]
            return np.asarray(model.predict(shared, batch_size=batch_size, verbose=0)[: len(films)])
        import jax

        weights = [[np.asarray(one.value) for one in kind] for kind in _variables(model)]
        network = jax.jit(lambda weights, films: model.stateless_call(*weights, films, training=False)[0])
        parts = [films[start : start + batch_size] for start in range(0, len(films), batch_size)]
        return np.concatenate([np.asarray(network(weights, part)) for part in parts])

    def shared(self, films: int) -> np.ndarray:
        """Indices of films, filled up with repeats: TensorFlow fails where a device's share is empty, JAX on unequal
        shares.
        """
        return np.resize(np.arange(films), -(-films // self.replicas) * self.replicas)


def _variables(model: Any) -> tuple[Any, Any]:
    return model.trainable_variables, model.non_trainable_variables
