"""Several processes, on one machine or many, that train one network on JAX: each makes its rows of every batch.

TensorFlow cannot do this: `fit` of Keras 3 raises under MultiWorkerMirroredStrategy (keras-team/keras#20585), and
batch statistics would differ between processes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from edge_seg.errors import DeviceError, UsageError

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many.

    >>> Processes(1, 4).rows(8)
    slice(2, 4, None)
    """

    index: int = 0
    count: int = 1
    coordinator: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints messages."""
        return self.index == 0

    def rows(self, total: int) -> slice:
        """This process's share of `total` rows, which must be a multiple of `count`."""
        share = total // self.count
        return slice(self.index * share, (self.index + 1) * share)


ALONE = Processes()
"""A single process."""


def asked_for(
    process: str | None, coordinator: str | None, environment: Mapping[str, str] = os.environ
) -> Processes | None:
    """The processes of `--process INDEX/COUNT` and `--coordinator HOST:PORT`, or else of the environment.

    Detects a SLURM step of several tasks, and JAX_NUM_PROCESSES with JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID or
    JOB_COMPLETION_INDEX, which Kubernetes sets in the pods of an indexed job.

    Returns:
        `None` for one process. The coordinator of a SLURM step is left to JAX to find.

    Raises:
        UsageError: one of the two is missing or wrong.
    """
    if process or coordinator:
        if not (process and coordinator):
            raise UsageError("--process and --coordinator go together: give both to each process")
        return _parsed(*process.partition("/")[::2], coordinator)
    if "JAX_COORDINATOR_ADDRESS" in environment and "JAX_NUM_PROCESSES" in environment:
        index = environment.get("JAX_PROCESS_ID", environment.get("JOB_COMPLETION_INDEX", ""))
        return _parsed(index, environment["JAX_NUM_PROCESSES"], environment["JAX_COORDINATOR_ADDRESS"])
    if all(name in environment for name in _SLURM) and environment["SLURM_NTASKS"] != "1":
        found = _parsed(environment["SLURM_PROCID"], environment["SLURM_NTASKS"], "")
        return Processes(found.index, found.count)
    return None


def join(asked: Processes | None, seed: int) -> Processes:
    """Connect to the other processes; call this before any computation.

    Args:
        asked: from `asked_for`.
        seed: of all random choices, the same in each process.

    Raises:
        DeviceError: the other processes cannot be reached.
        UsageError: the backend is not JAX.
    """
    if asked is None or asked.count == 1:
        return ALONE
    import keras

    if keras.backend.backend() != "jax":
        raise UsageError(
            f"several processes train on JAX alone, and this is {keras.backend.backend()}: set KERAS_BACKEND=jax, or "
            "train in one process, which takes all GPUs of its machine"
        )
    # With a seed, Keras does not ask the others for one.
    keras.utils.set_random_seed(seed)
    before = signal.getsignal(signal.SIGTERM)
    by_slurm = asked.coordinator is None
    try:
        keras.distribution.initialize(
            asked.coordinator, None if by_slurm else asked.count, None if by_slurm else asked.index
        )
    except Exception as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DeviceError(
            f"the other processes cannot be met at {asked.coordinator or 'the first node'}: {text}"
        ) from None
    # JAX's own handler notes SIGTERM and carries on.
    signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    return asked


def agree(number: int) -> None:
    """Check that all processes have the same number of finished epochs.

    Raises:
        UsageError: they do not.
    """
    import numpy as np
    from jax.experimental import multihost_utils

    found = multihost_utils.process_allgather(np.array(number))
    if len(set(found.tolist())) > 1:
        raise UsageError("the processes see different checkpoints: give an --out on a disk that all of them share")


def _parsed(index: str, count: str, coordinator: str) -> Processes:
    try:
        found = Processes(int(index), int(count), coordinator)
    except ValueError:
        found = Processes(0, 0, coordinator)
    if not 0 <= found.index < found.count:
        raise UsageError(
            f"--process {index}/{count}: give INDEX/COUNT, the index from 0: 0/2 and 1/2 for two processes"
        )
    return found
