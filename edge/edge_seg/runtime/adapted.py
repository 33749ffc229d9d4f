"""Networks made by other programs: presents their tensors to the segmenter in edge-seg's layout."""

from __future__ import annotations

import cv2
import numpy as np

from edge_seg.errors import ModelError
from edge_seg.model_file import ARGMAX, Manifest
from edge_seg.runtime.protocol import Runtime, TensorSpec

_LEAST = 1e-6  # probability; its logarithm stays finite
_SURE = 16.0  # logit of the class that an argmax has chosen


class AdaptedRuntime:
    """A network made by another program; see `Runtime`.

    Its input may be channels-first and uint8; its output channels-first, without channels, of another size, after its
    sigmoid or softmax, or the class index.

    Args:
        runtime: runs the network.
        manifest: what is known about it.
        probabilities: whether the output is after its sigmoid or softmax.

    Raises:
        ModelError: the network's shapes are not those of the manifest.
    """

    def __init__(self, runtime: Runtime, manifest: Manifest, probabilities: bool) -> None:
        self._runtime, self._manifest, self._probabilities = runtime, manifest, probabilities
        self.name, self.delegate, self.threads = runtime.name, runtime.delegate, runtime.threads
        self.notes = runtime.notes
        shape = (1, *manifest.input_shape, manifest.input_channels)
        self._channels_first = runtime.input.shape != shape
        if self._channels_first and runtime.input.shape != (shape[0], shape[3], shape[1], shape[2]):
            raise _unlike(manifest, "takes", runtime.input.shape, shape)
        self.input = _input_spec(runtime.input, shape)
        self._axes = _output_axes(runtime.output.shape, manifest)
        self.output = TensorSpec((1, *manifest.input_shape, manifest.output_channels), "float32", None, 0)

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """See `Runtime.run`; the output is real logits."""
        given = np.ascontiguousarray(np.moveaxis(tensor, 3, 1)) if self._channels_first else tensor
        raw = self._runtime.run(given).transpose(self._axes).reshape(*self._size_of(), -1)
        height, width = self._manifest.input_shape
        if self._manifest.output == ARGMAX:
            classes = np.rint(raw[..., :1]) == np.arange(1, len(self._manifest.structures) + 1)
            return _resized(np.where(classes, _SURE, -_SURE), height, width, cv2.INTER_NEAREST_EXACT)
        return _resized(self._logits(raw), height, width, cv2.INTER_LINEAR)

    def _size_of(self) -> tuple[int, int]:
        shape = self._runtime.output.shape
        return shape[self._axes[1]], shape[self._axes[2]]

    def _logits(self, raw: np.ndarray) -> np.ndarray:
        spec = self._runtime.output
        values = raw.astype(np.float32)
        if spec.scale:
            values = (values - np.float32(spec.zero_point)) * np.float32(spec.scale)
        if not self._probabilities:
            return values
        known = np.clip(values, _LEAST, 1 - _LEAST)
        return np.log(known) if self._manifest.output == "softmax" else np.log(known) - np.log1p(-known)


def _input_spec(spec: TensorSpec, shape: tuple[int, ...]) -> TensorSpec:
    if spec.dtype == "uint8" and not spec.scale:
        # Integers without a scale are plain grey values.
        return TensorSpec(shape, spec.dtype, 1 / 255, 0)
    return TensorSpec(shape, spec.dtype, spec.scale, spec.zero_point)


def _output_axes(shape: tuple[int, ...], manifest: Manifest) -> tuple[int, ...]:
    """The order of the output's axes that gives `(1, height, width, channels)`; class indices may lack the last."""
    channels = 1 if manifest.output == ARGMAX else manifest.output_channels
    if len(shape) == 3 and shape[0] == 1 and channels == 1:
        return 0, 1, 2
    if len(shape) == 4 and shape[0] == 1 and shape[3] == channels:
        return 0, 1, 2, 3
    if len(shape) == 4 and shape[0] == 1 and shape[1] == channels:
        return 0, 2, 3, 1
    raise _unlike(manifest, "gives", shape, (1, "height", "width", channels))


def _unlike(manifest: Manifest, verb: str, found: tuple[int, ...], told: tuple[object, ...]) -> ModelError:
    shown = ", ".join(map(str, told))
    return ModelError(
        f"{manifest.name}: the manifest says that the network {verb} ({shown}), it {verb} {found}: mend it"
    )


def _resized(planes: np.ndarray, height: int, width: int, how: int) -> np.ndarray:
    planes = np.ascontiguousarray(planes, np.float32)
    if planes.shape[:2] != (height, width):
        sized = [cv2.resize(plane, (width, height), interpolation=how) for plane in np.moveaxis(planes, 2, 0)]
        planes = np.stack(sized, axis=2)
    return planes[None]
