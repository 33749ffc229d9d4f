"""The interface between segmenter and inference engine. It deals in tensors, not pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """Shape, type and quantisation of an input or output tensor; `scale` is `None` for a real-valued tensor."""

    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int


class Runtime(Protocol):
    """Everything that the segmenter needs from an inference engine.

    Attributes:
        name: engine and version, as records show it (`litert 2.3.0`).
        delegate: what runs the operators (`cpu`, `edgetpu`).
        threads: CPU threads in use.
        notes: remarks for every result, such as why the Edge TPU did not run it.
        input, output: the network's input, and its output with the logits.
    """

    name: str
    delegate: str
    threads: int
    notes: tuple[str, ...]
    input: TensorSpec
    output: TensorSpec

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """The output tensor for this input tensor; shapes and dtypes as in `input` and `output`."""
        ...


@runtime_checkable
class PooledRuntime(Runtime, Protocol):
    """A runtime that also gives the pooled features of the coarsest level, if the network has them as an output.

    Attributes:
        pooled: that output, `(1, 1, 1, features)`; `None` if the network has none.
    """

    pooled: TensorSpec | None

    def run_pooled(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The output tensor and the pooled features as stored, or `None` if the network has none."""
        ...
