"""Which of several processes this is, from options or the environment."""

from __future__ import annotations

import pytest
from edge_seg.errors import UsageError
from edge_seg_train.processes import ALONE, Processes, asked_for, join

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[001-002]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}
JAX = {"JAX_COORDINATOR_ADDRESS": "trainer-0:1234", "JAX_NUM_PROCESSES": "3"}


@pytest.mark.parametrize(
    ("process", "coordinator", "environment", "expected"),
    [
        (None, None, {}, None),
        ("1/2", "host:1", {}, Processes(1, 2, "host:1")),
        ("0/2", "host:1", SLURM, Processes(0, 2, "host:1")),
        (None, None, SLURM, Processes(1, 2)),
        # A job script that starts the command directly, without srun, or a step of one task.
        (None, None, {**SLURM, "SLURM_NTASKS": "1"}, None),
        (None, None, {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, None),
        (None, None, {**JAX, "JAX_PROCESS_ID": "2"}, Processes(2, 3, "trainer-0:1234")),
        (None, None, {**JAX, "JOB_COMPLETION_INDEX": "1"}, Processes(1, 3, "trainer-0:1234")),
    ],
)
def test_options_come_before_what_the_environment_says(
    process: str | None, coordinator: str | None, environment: dict[str, str], expected: Processes | None
) -> None:
    assert asked_for(process, coordinator, environment) == expected


@pytest.mark.parametrize("process", ["2/2", "-1/2", "1", "a/b", "0/0"])
def test_what_names_no_process_is_refused(process: str) -> None:
    with pytest.raises(UsageError, match="INDEX/COUNT"):
        asked_for(process, "host:1", {})


def test_one_option_without_the_other_is_refused() -> None:
    for process, coordinator in (("0/2", None), (None, "host:1")):
        with pytest.raises(UsageError, match="go together"):
            asked_for(process, coordinator, {})


def test_the_rows_of_all_processes_are_the_batch() -> None:
    rows = [row for index in range(4) for row in range(12)[Processes(index, 4).rows(12)]]
    assert rows == list(range(12))


def test_one_process_trains_by_itself() -> None:
    assert join(None, 0) is join(Processes(0, 1, "host:1"), 0) is ALONE


@pytest.mark.training
def test_several_processes_on_tensorflow_are_refused_with_the_reason() -> None:
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the backend of these tests is not TensorFlow")
    with pytest.raises(UsageError, match="train on JAX alone, and this is tensorflow: set KERAS_BACKEND=jax"):
        join(Processes(0, 2, "127.0.0.1:1"), 0)
