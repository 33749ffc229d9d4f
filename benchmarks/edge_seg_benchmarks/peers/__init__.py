"""Other engines for the same network, measured alongside LiteRT; `pip install '.[peers]'`."""

from __future__ import annotations

from collections.abc import Callable

from edge_seg.errors import DeviceError
from edge_seg.hardware import usable_cores
from edge_seg.model_file import ModelFile
from edge_seg.runtime import Runtime
from edge_seg.runtime import tflite as runtime
from edge_seg.runtime.edge_tpu import cpu_runtime, open_runtime

from edge_seg_benchmarks.peers.onnx import OnnxRuntime
from edge_seg_benchmarks.peers.openvino import OpenVinoRuntime
from edge_seg_benchmarks.peers.profile import OperatorKind, by_kind, operator_profile

__all__ = ["EDGE_TPU", "ENGINES", "OperatorKind", "by_kind", "open_engine", "operator_profile"]

_PEERS: dict[str, Callable[[bytes, int], Runtime]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVinoRuntime}

EDGE_TPU = "edgetpu"

ENGINES = (*runtime.ENGINES, *_PEERS, EDGE_TPU)
"""Names of the engines: `litert`, `tflite`, `onnxruntime`, `openvino`, `edgetpu`."""


def open_engine(engine: str, model: ModelFile, threads: int) -> Runtime:
    """A runtime for a model's network, with the input and output of its flatbuffer.

    It runs on the CPU, except `edgetpu`, which runs the network compiled for it (`edge-seg quantize --edgetpu`).

    Args:
        engine: one of `ENGINES`.
        model: a checked model file.
        threads: CPU threads; limited to the cores that this process may use.

    Raises:
        DeviceError: the engine is unknown or not installed, or the Edge TPU does not work.
        ModelError: the engine cannot run this network.
    """
    if engine not in ENGINES:
        raise DeviceError(f"no engine is called {engine}: choose from {', '.join(ENGINES)}")
    if engine == EDGE_TPU:
        opened = open_runtime(model, EDGE_TPU)
        if opened.delegate != EDGE_TPU:
            # Times of the CPU must not appear under the accelerator's name.
            raise DeviceError("; ".join(opened.notes))
        return opened
    if engine not in _PEERS:
        return cpu_runtime(model, threads, engine)
    return _PEERS[engine](model.flatbuffer, max(1, min(threads, usable_cores())))
