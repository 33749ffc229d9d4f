"""OpenVINO, which reads the .tflite itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from edge_seg.errors import ModelError

from edge_seg_benchmarks.peers.network import WEIGHTS_AS_FLOAT, read_network
from edge_seg_benchmarks.peers.packages import load_package
from edge_seg_benchmarks.peers.profile import WARM_UP, OperatorTimes
from edge_seg_benchmarks.processor import Processor


class OpenVinoRuntime:
    """See `edge_seg.runtime.Runtime`.

    float32 networks run in float32, where OpenVINO would otherwise choose bfloat16 or float16. int8 networks lose
    accuracy on x86-64 processors without VNNI, where sums of products saturate (docs.openvino.ai, "Saturation
    (overflow) Issue"); `notes` says so there.

    Args:
        flatbuffer: a checked TFLite model.
        threads: at most as many as there are cores.

    Raises:
        DeviceError: `openvino` is not installed.
        ModelError: the engine refuses the network.
    """

    delegate = "cpu"

    def __init__(self, flatbuffer: bytes, threads: int) -> None:
        self._engine = load_package("openvino")
        self.name, self.threads = f"openvino {self._engine.__version__.split('-')[0]}", threads
        network = read_network(flatbuffer)
        self.input, self.output = network.input.spec, network.output.spec
        self.notes: tuple[str, ...] = ()
        if network.weights_alone_quantised:
            self.notes = (WEIGHTS_AS_FLOAT.format(engine="openvino"),)
        elif network.int8 and _sums_saturate():
            self.notes = ("int8 sums of openvino can saturate on this processor, which has no VNNI",)
        self._flatbuffer = flatbuffer
        self._request = self._open()

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """See `Runtime.run`."""
        return _infer(self._request, tensor, self.output.shape)

    def operator_times(self, tensor: np.ndarray, runs: int) -> list[OperatorTimes]:
        """See `profile.Profiled`."""
        request = self._open(PERF_COUNT=True)
        found: dict[str, OperatorTimes] = {}
        executed = set()
        for turn in range(WARM_UP + runs):
            _infer(request, tensor, self.output.shape)
            for fact in request.get_profiling_info() if turn >= WARM_UP else ():
                times = found.setdefault(fact.node_name, OperatorTimes(fact.node_type, fact.node_name, []))
                times.milliseconds.append(fact.real_time.total_seconds() * 1000)
                # An operator of less than a microsecond is reported as not run, now and then.
                if fact.status == self._engine.ProfilingInfo.Status.EXECUTED:
                    executed.add(fact.node_name)
        return [times for name, times in found.items() if name in executed]

    def _open(self, **properties: Any) -> Any:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32",
            **properties,
        }
        # OpenVINO recognises the format by the file's name, and reads it only from a file.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.tflite"
            path.write_bytes(self._flatbuffer)
            try:
                return self._engine.Core().compile_model(str(path), "CPU", settings).create_infer_request()
            except RuntimeError as error:
                reason = [line for line in str(error).splitlines() if line.strip()][-1].strip()
                raise ModelError(f"{self.name} refuses the model ({reason}): leave it out") from error


def _infer(request: Any, tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    request.infer([np.ascontiguousarray(tensor)], share_inputs=True)
    # A network may output pooled features besides the logits.
    found = next(output for output in request.output_tensors if tuple(output.shape) == shape)
    return np.array(found.data)


def _sums_saturate() -> bool:
    """Whether this is an x86-64 processor without VNNI; false if the system does not report it."""
    has = Processor.of_this_machine().extensions
    return "ssse3" in has and not any("vnni" in extension for extension in has)
