"""What the segmenter asks of an inference engine. Knows tensors, not pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """Shape, type and quantisation of an input or output tensor; `scale` is `None` where it is real-valued."""

    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int


class Runtime(Protocol):
    """The whole of what the segmenter asks of an inference engine.

    Attributes:
        name: engine and version, as it stands on records (`litert 2.3.0`).
        delegate: what really runs the operators (`cpu`).
        threads: CPU threads in use.
        notes: what every result should say of how it ran: that it should have run elsewhere.
        input, output: the network's one input and one output.
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
