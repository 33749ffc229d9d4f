"""ONNX Runtime, which runs the network translated to ONNX."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from edge_seg.errors import ModelError, first_line

from edge_seg_benchmarks.peers.convert import to_onnx
from edge_seg_benchmarks.peers.graph import INPUT
from edge_seg_benchmarks.peers.network import WEIGHTS_AS_FLOAT, read_network
from edge_seg_benchmarks.peers.packages import load_package
from edge_seg_benchmarks.peers.profile import WARM_UP, OperatorTimes

_SETTINGS = {
    # Otherwise int8 sums saturate on x86-64 processors without VNNI: faster, and wrong
    # (onnxruntime_session_options_config_keys.h).
    "session.x64quantprecision": "1",
    # Spinning threads would take the core from the engine that is measured next.
    "session.force_spinning_stop": "1",
}
_ERRORS_ONLY = 3  # of the log
_REFUSALS = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")


class OnnxRuntime:
    """See `edge_seg.runtime.Runtime`.

    int8 convolutions, additions and concatenations run in int8. Resizing and transposed convolutions, for which ONNX
    Runtime has no int8 kernel, run in float32 between int8 tensors. ONNX Runtime rounds halves to even, LiteRT up.

    Args:
        flatbuffer: a checked TFLite model.
        threads: at most as many as there are cores.

    Raises:
        DeviceError: `onnxruntime` or `onnx` is not installed.
        ModelError: the network cannot be translated, or the engine refuses it.
    """

    delegate = "cpu"

    def __init__(self, flatbuffer: bytes, threads: int) -> None:
        self._engine = load_package("onnxruntime")
        self.name, self.threads = f"onnxruntime {self._engine.__version__}", threads
        network = read_network(flatbuffer)
        self.input, self.output = network.input.spec, network.output.spec
        note = WEIGHTS_AS_FLOAT.format(engine="onnxruntime")
        self.notes: tuple[str, ...] = (note,) if network.weights_alone_quantised else ()
        self._model = to_onnx(network)
        self._session = self._open()

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """See `Runtime.run`."""
        return np.asarray(self._session.run(None, {INPUT: tensor})[0])

    def operator_times(self, tensor: np.ndarray, runs: int) -> list[OperatorTimes]:
        """See `profile.Profiled`."""
        with tempfile.TemporaryDirectory() as folder:
            session = self._open(Path(folder))
            for _ in range(WARM_UP + runs):
                session.run(None, {INPUT: tensor})
            events = json.loads(Path(session.end_profiling()).read_text())
        found: dict[str, OperatorTimes] = {}
        for event in events:
            if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
                name = event["name"].removesuffix("_kernel_time")
                times = found.setdefault(name, OperatorTimes(event["args"]["op_name"], name.split(":")[0], []))
                times.milliseconds.append(event["dur"] / 1000)
        return [OperatorTimes(times.kind, times.name, times.milliseconds[WARM_UP:]) for times in found.values()]

    def _open(self, profile: Path | None = None) -> Any:
        options = self._engine.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = _ERRORS_ONLY
        for key, value in _SETTINGS.items():
            options.add_session_config_entry(key, value)
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile / "profile")
        state = self._engine.capi.onnxruntime_pybind11_state
        try:
            return self._engine.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])
        except tuple(getattr(state, name) for name in _REFUSALS) as error:
            raise ModelError(f"{self.name} refuses the model ({first_line(error)}): leave it out") from error
