"""The device part never loads TensorFlow, and help is quick because it loads nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "jax")


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "from edge_seg import Segmenter, Film\nimport edge_seg.sources, edge_seg.session, edge_seg.datasets",
        "import edge_seg_benchmarks.command, edge_seg_benchmarks.report, edge_seg_benchmarks.benchmark",
        "import edge_seg_train.command, edge_seg_quantize.command",
        *[
            f"from edge_seg.cli.main import cli\ncli.main(['{verb}', '--help'], standalone_mode=False)"
            for verb in ("run", "inspect", "doctor", "train", "quantize", "benchmark")
        ],
    ],
)
def test_no_framework_is_loaded(code: str) -> None:
    assert not modules_after(code) & set(HEAVY)


def test_help_loads_neither_arrays_nor_pictures() -> None:
    loaded = modules_after("from edge_seg.cli.main import cli\ncli.main(['--help'], standalone_mode=False)")
    assert not loaded & {"numpy", "cv2", "pydicom", "ai_edge_litert", *HEAVY}
