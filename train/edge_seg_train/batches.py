"""Training batches in the form Keras takes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import Any

import keras
import numpy as np
from edge_seg.errors import EdgeSegError

from edge_seg_train.drawing import Drawing, draw
from edge_seg_train.packing import network_input


class TrainingBatches(keras.utils.PyDataset):
    """Augmented batches, epoch by epoch.

    Args:
        drawing: makes a batch of films and labels.
        channels: of the network's input.
        pool: of `drawing_processes`, if processes make the batches.
        options: of `keras.utils.PyDataset`.

    Attributes:
        failure: why a batch could not be made, `None` if none failed.
    """

    def __init__(
        self, drawing: Drawing, channels: int = 1, pool: ProcessPoolExecutor | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.drawing, self.channels, self.epoch = drawing, channels, 0
        self._pool = pool
        self.failure: EdgeSegError | None = None

    def __len__(self) -> int:
        return self.drawing.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch `index` of the current epoch: `(batch, height, width, channels)` float32 and labels uint8."""
        if self._pool is None:
            try:
                grey, labels = self.drawing(self.epoch, index)
            except EdgeSegError as error:
                # TensorFlow replaces the exception with its own, so the training loop reads it from here.
                self.failure = error
                raise
        else:
            grey, labels = self._pool.submit(draw, self.epoch, index).result()
        return network_input(grey, self.channels), labels

    def on_epoch_end(self) -> None:
        """Move on to the next epoch's films."""
        self.epoch += 1
