"""An encoder trained on ImageNet, from the file that PyTorch wrote in 2020."""

from __future__ import annotations

import math
import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg.errors import InputError
from edge_seg_train.imagenet import read_tensors, set_encoder
from edge_seg_train.network import NetworkConfig, build
from edge_seg_train.network.lite import encoder_blocks

pytestmark = pytest.mark.training


def _rebuild_tensor_v2(*_: object) -> None:
    """Stands in for PyTorch's function of that name."""


class FloatStorage:
    """Stands in for PyTorch's class of that name; one array of numbers under a key."""

    def __init__(self, key: str, count: int) -> None:
        self.key, self.count = key, count


class _Tensor:
    def __init__(self, key: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.key, self.shape, self.strides = key, shape, strides

    def __reduce__(self) -> tuple[Any, ...]:
        storage = FloatStorage(self.key, math.prod(self.shape))
        return _rebuild_tensor_v2, (storage, 0, self.shape, self.strides, False, OrderedDict())


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, FloatStorage):
            return None
        return "storage", FloatStorage, value.key, "cpu", value.count, None


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's names, for the pickles that stand in for its files."""
    for name, member in (("torch", FloatStorage), ("torch._utils", _rebuild_tensor_v2)):
        module = ModuleType(name)
        monkeypatch.setattr(member, "__module__", name)
        setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, name, module)


def write_torch(path: Path, tensors: dict[str, np.ndarray], *, turned: bool = False) -> None:
    """A file as PyTorch wrote it before version 1.6; `turned` keeps arrays in memory with their axes reversed."""
    with path.open("wb") as file:
        headers: tuple[Any, ...] = (119547037146038801333356, 1001, {"little_endian": True})
        for header in headers:
            pickle.dump(header, file, 2)
        wanted = OrderedDict()
        for name, array in tensors.items():
            dense = np.cumprod((1, *(array.shape if turned else array.shape[::-1])))[:-1]
            steps = tuple(int(n) for n in (dense if turned else dense[::-1]))
            wanted[name] = _Tensor(name, array.shape, steps)
        _Pickler(file, 2).dump(wanted)
        pickle.dump(list(tensors), file, 2)
        for array in tensors.values():
            data = np.ascontiguousarray(array.T if turned else array, "<f4")
            file.write(struct.pack("<q", data.size) + data.tobytes())


@pytest.mark.parametrize("turned", [False, True])
def test_tensors_are_read_whichever_way_they_lie(tmp_path: Path, turned: bool) -> None:
    rng = np.random.default_rng(0)
    tensors = {"a": rng.random((2, 3, 4)).astype(np.float32), "b": rng.random(5).astype(np.float32)}
    write_torch(tmp_path / "file.pth", tensors, turned=turned)
    found = read_tensors(tmp_path / "file.pth")
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.pth"
    with file.open("wb") as out:
        for _ in range(3):
            pickle.dump(0, out, 2)
        out.write(b"\x80\x02cos\nsystem\nX\x05\x00\x00\x00false\x85R.")
    with pytest.raises(InputError, match=r"os\.system is no tensor"):
        read_tensors(file)
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"give the package's \.pth file"):
        read_tensors(file)


@pytest.mark.slow
def test_the_encoder_sees_grey_films_as_it_saw_coloured_pictures() -> None:
    model = build(keras, NetworkConfig("lite", 64, 64, outputs=2, base=8, widest=16))
    rng = np.random.default_rng(0)
    tensors = {"_conv_stem.weight": rng.normal(0, 0.1, (32, 3, 3, 3)).astype(np.float32)}

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{part}"] = (0.5 + rng.random(channels)).astype(np.float32)

    norm("_bn0", 32)
    width = 32
    for number, (_, kernel, _, expansion, channels) in enumerate(encoder_blocks()):
        wide, block = width * expansion, f"_blocks.{number}"
        if expansion > 1:
            tensors[f"{block}._expand_conv.weight"] = rng.normal(0, 0.1, (wide, width, 1, 1)).astype(np.float32)
            norm(f"{block}._bn0", wide)
        tensors[f"{block}._depthwise_conv.weight"] = rng.normal(0, 0.1, (wide, 1, kernel, kernel)).astype(np.float32)
        tensors[f"{block}._project_conv.weight"] = rng.normal(0, 0.1, (channels, wide, 1, 1)).astype(np.float32)
        norm(f"{block}._bn1", wide)
        norm(f"{block}._bn2", channels)
        width = channels
    set_encoder(model, tensors)
    grey = rng.random((1, 64, 64, 1)).astype(np.float32)
    stem = keras.Model(model.inputs, model.get_layer("stem_norm").output)
    found = np.asarray(stem(grey))
    # As PyTorch's network would: three equal channels of (255 x - 127) / 128, away from the edges.
    colour = (255 * np.repeat(grey, 3, axis=3) - 127) / 128
    at = colour[0, 2:5, 2:5]
    value = np.einsum("hwc,fchw->f", at, tensors["_conv_stem.weight"])
    mean, variance = tensors["_bn0.running_mean"], tensors["_bn0.running_var"]
    expected = (value - mean) / np.sqrt(variance + 1e-3) * tensors["_bn0.weight"] + tensors["_bn0.bias"]
    np.testing.assert_allclose(found[0, 1, 1], expected, rtol=1e-3, atol=1e-3)
    tensors["_blocks.0._project_conv.weight"] = np.zeros((8, 32, 1, 1), np.float32)
    with pytest.raises(InputError, match="layer down0_0_project has other weights"):
        set_encoder(model, tensors)
