"""Predicts whether a network fits the Coral Edge TPU: operators, their versions, on-chip memory.

The compiler is closed source, needs x86-64 Linux and is not run here. The prediction rests on these publications:

- the operators and their limits: coral.ai/docs/edgetpu/models-intro, "Model requirements" and table 1;
- the versions: the last compiler (16.0, July 2021) refuses CONV_2D 6 and TRANSPOSE_CONV 4 (issues 631 and 845 of
  github.com/google-coral/edgetpu, like all issues named below) and came with a runtime built from TensorFlow 2.5.0
  (libedgetpu, `workspace.bzl`). Its own list is not published; the list of TensorFlow Lite 2.5.0 stands in for it;
- the memory: 8 MB on the chip (coral.ai/docs/edgetpu/compiler, "Parameter data caching"), and logs of the compiler in
  those issues, which show how much of it is left for parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

from edge_seg.inspection.flatbuffer import Graph, Operator, Tensor

_NEWEST = """
    ADD 3 AVERAGE_POOL_2D 3 CONCATENATION 3 CONV_2D 5 DEPTHWISE_CONV_2D 6 EXPAND_DIMS 1 FULLY_CONNECTED 9
    L2_NORMALIZATION 2 LOGISTIC 3 LSTM 4 MAXIMUM 4 MAX_POOL_2D 3 MEAN 3 MINIMUM 4 MUL 4 PACK 3 PAD 3 PRELU 1
    QUANTIZE 2 REDUCE_MAX 3 REDUCE_MIN 3 RELU 3 RELU6 3 RELU_N1_TO_1 1 RESHAPE 1 RESIZE_BILINEAR 4
    RESIZE_NEAREST_NEIGHBOR 4 RSQRT 2 SLICE 5 SOFTMAX 3 SPACE_TO_DEPTH 2 SPLIT 4 SQUARED_DIFFERENCE 2 SQUEEZE 2
    STRIDED_SLICE 5 SUB 5 SUM 2 TANH 3 TRANSPOSE 5 TRANSPOSE_CONV 3
"""
NEWEST_VERSIONS = {
    name: int(version) for name, version in zip(_NEWEST.split()[::2], _NEWEST.split()[1::2], strict=True)
}
"""Operators of table 1, and the newest version of each that TensorFlow Lite 2.5.0 has
(tensorflow/lite/tools/versioning/runtime_version.cc)."""

SRAM_BYTES = 8 * 2**20
"""Memory on the chip."""

OVERHEAD_BYTES = 2**19
"""Memory the executable takes: compiler 16.0 leaves 7.5 MiB to the parameters of EfficientDet-Lite0
(4.21 cached, 3.29 free), and 7.7 to 7.9 MiB to networks of a few operators."""

_GRANULE = 256  # bytes: every parameter size in the compiler's logs is a multiple of a quarter of a KiB
_CHANNEL_BYTES = 4  # one multiplier per scale
_RESIZED_SURELY, _RESIZED_NEVER = 128, 512  # longer side of the result, pixels (issues 31 and 187)
_SOFTMAX_LONGEST = 16_000
_ITEM_BYTES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int64": 8, "float64": 8}


@dataclass(frozen=True)
class OperatorForecast:
    """What the compiler is expected to do with one operator.

    Attributes:
        name, version: of the operator.
        shape: of its first output.
        mapped: whether it is expected to run on the accelerator.
        reason: why not, or what is uncertain; otherwise empty.
    """

    name: str
    version: int
    shape: tuple[int, ...]
    mapped: bool
    reason: str = ""


@dataclass(frozen=True)
class EdgeTpuPrediction:
    """What the Edge TPU compiler is expected to do; it was not run.

    Attributes:
        mapped: whether no published rule keeps an operator off the accelerator.
        reasons: the broken rules, one line each; empty if `mapped`.
        doubts: what the published rules leave open for this network, one line each.
        parameter_bytes: weights, biases and multipliers of all operators, padded as the compiler's logs suggest.
        sram_share: `parameter_bytes` as a share of the 8 MiB on the chip.
        largest_activation_bytes: size of the largest non-constant tensor, including input and output.
        streamed_bytes: parameters that do not fit on the chip beside the executable and the largest activation, and
            are sent for each film; an upper estimate, since the compiler may split activations.
        operators: in the order of the network. Every operator after the first one on the CPU stays there too: the
            compiler makes a single piece (coral.ai/docs/edgetpu/models-intro, "Compiling").
    """

    mapped: bool
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]
    parameter_bytes: int
    sram_share: float
    largest_activation_bytes: int
    streamed_bytes: int
    operators: tuple[OperatorForecast, ...]


def predict_edge_tpu(graph: Graph) -> EdgeTpuPrediction:
    """Check a network against the published rules of the Edge TPU."""
    reasons = _counted([*_tensor_breaches(graph), *(text for o in graph.operators for text in _breaches(o))])
    parameters = sum(_padded(operator) for operator in graph.operators)
    activation = max((_bytes(t) for t in _activations(graph)), default=0)
    over = parameters + OVERHEAD_BYTES + activation - SRAM_BYTES
    doubts = _counted([text for operator in graph.operators for text in _doubts(operator)])
    if activation > SRAM_BYTES:
        doubts.append("an activation is larger than the memory on the chip: the compiler may give up (issue 512)")
    return EdgeTpuPrediction(
        mapped=not reasons,
        reasons=tuple(reasons),
        doubts=tuple(doubts),
        parameter_bytes=parameters,
        sram_share=round(parameters / SRAM_BYTES, 4),
        largest_activation_bytes=activation,
        streamed_bytes=min(parameters, max(0, over)),
        operators=tuple(_forecast(graph)),
    )


def _forecast(graph: Graph) -> Iterator[OperatorForecast]:
    inputs = [text for tensor in graph.inputs for text in _breaches_of(tensor)]
    stopped = False
    for operator in graph.operators:
        tensors = [text for tensor in operator.outputs for text in _breaches_of(tensor)]
        breaches = [*inputs, *_breaches(operator), *tensors]
        inputs = []
        if breaches:
            reason = "; ".join(dict.fromkeys(breaches))
        elif stopped:
            reason = "follows one that stays on the CPU"
        else:
            reason = "; ".join(_doubts(operator))
        stopped = stopped or bool(breaches)
        shape = operator.outputs[0].shape if operator.outputs else ()
        yield OperatorForecast(operator.name, operator.version, tuple(shape), not stopped, reason)


def _counted(texts: list[str]) -> list[str]:
    """Each text once, with its count if it occurs more than once."""
    return [f"{text} ({count} times)" if count > 1 else text for text, count in Counter(texts).items()]


def _activations(graph: Graph) -> Iterator[Tensor]:
    yield from graph.inputs
    for operator in graph.operators:
        yield from operator.outputs


def _bytes(tensor: Tensor) -> int:
    return prod(tensor.shape) * _ITEM_BYTES.get(tensor.dtype, 4)


def _padded(operator: Operator) -> int:
    # Shapes and axes have no scale: they are arguments, compiled in.
    constants = [t for t in operator.inputs if t.constant and (t.scales or t.dtype != "int32")]
    needed = sum(t.bytes for t in constants) + max((t.scales for t in constants), default=0) * _CHANNEL_BYTES
    return -(-needed // _GRANULE) * _GRANULE


def _tensor_breaches(graph: Graph) -> Iterator[str]:
    for tensor in _activations(graph):
        yield from _breaches_of(tensor)


def _breaches_of(tensor: Tensor) -> Iterator[str]:
    if tensor.dtype not in ("int8", "uint8"):
        yield f"a tensor between operators is {tensor.dtype}, not 8-bit"
    if not tensor.static:
        yield "a tensor has no static shape"
    if any(n > 1 for n in tensor.shape[:-3]):
        yield "a tensor has more than three dimensions above 1 (a batch counts)"


def _breaches(operator: Operator) -> Iterator[str]:
    name, version = operator.name, operator.version
    newest = NEWEST_VERSIONS.get(name)
    if newest is None:
        yield f"{name} is not an operator of the Edge TPU"
        return
    if version > newest:
        yield f"{name} version {version} is newer than {newest}, the newest of TensorFlow Lite 2.5.0"
    if rule := _RULES.get(name):
        yield from rule(operator)


def _no_activation(operator: Operator) -> Iterator[str]:
    if operator.activation:
        yield f"{operator.name} has an activation fused into it"


def _concatenation(operator: Operator) -> Iterator[str]:
    yield from _no_activation(operator)
    if len(operator.inputs) > 2 and any(t.constant for t in operator.inputs):
        yield "CONCATENATION joins a constant with more than one tensor"


def _transpose_conv(operator: Operator) -> Iterator[str]:
    yield from _no_activation(operator)
    if len(operator.inputs) > 3:
        # Issues 147 (compiler 2.1) and 358 (14.1, 15.0); 684 and 686 read as if 16.0 maps some.
        yield "TRANSPOSE_CONV has a bias, at which compilers up to 15.0 stop; reports of 16.0 disagree"


def _resize(operator: Operator) -> Iterator[str]:
    if max(operator.outputs[0].shape[1:3], default=0) >= _RESIZED_NEVER:
        yield f"{operator.name} to {_size(operator)}: at {_RESIZED_NEVER} pixels it was not mapped (issue 31)"


def _along_the_picture_only(operator: Operator) -> Iterator[str]:
    taken, given = operator.inputs[0].shape, operator.outputs[0].shape
    if taken[-1:] != given[-1:]:
        yield f"{operator.name} works along another dimension than height and width"


def _fully_connected(operator: Operator) -> Iterator[str]:
    if prod(operator.outputs[0].shape[:-1]) > 1:
        yield "FULLY_CONNECTED gives more than one dimension"


def _softmax(operator: Operator) -> Iterator[str]:
    shape = operator.inputs[0].shape
    if prod(shape[:-1]) > 1 or prod(shape) > _SOFTMAX_LONGEST:
        yield f"SOFTMAX takes one dimension of at most {_SOFTMAX_LONGEST:,} elements"


_RULES: dict[str, Callable[[Operator], Iterator[str]]] = {
    "AVERAGE_POOL_2D": _no_activation,
    "CONCATENATION": _concatenation,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _no_activation,
    "MEAN": _along_the_picture_only,
    "PAD": _along_the_picture_only,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SOFTMAX": _softmax,
    "TRANSPOSE_CONV": _transpose_conv,
}


def _doubts(operator: Operator) -> Iterator[str]:
    if operator.name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        if _RESIZED_SURELY < max(operator.outputs[0].shape[1:3], default=0) < _RESIZED_NEVER:
            yield f"{operator.name} to {_size(operator)} may be too large: the limit is not published (issues 31, 187)"
        if operator.version > 2:
            yield f"{operator.name} version {operator.version} (half-pixel centres) needs compiler 16.0 (issue 420)"
    elif operator.name in ("SQUEEZE", "STRIDED_SLICE", "TRANSPOSE"):
        yield f"{operator.name} is mapped for some arguments only, which were not checked"


def _size(operator: Operator) -> str:
    return " x ".join(str(n) for n in operator.outputs[0].shape[1:3])
