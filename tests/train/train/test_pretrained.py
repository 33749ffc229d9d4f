"""Starting from other weights: matching layers are copied, others start fresh, and frozen ones stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg.errors import InputError
from edge_seg_train import pretrained
from edge_seg_train.config import read_config
from edge_seg_train.network import PRESETS, build
from edge_seg_train.pretrained import freeze, load_pretrained, read_pretrained, save_pretrained

pytestmark = [pytest.mark.training, pytest.mark.slow]

CHEST = ("right_lung", "left_lung", "cardiomediastinum", "heart")
TINY = "--network tiny --depth 1 --size 32 --batch-size 4 --no-augment --picture-every 0 -q".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def run(chests: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch of a tiny network."""
    from edge_seg.cli.main import main

    out = tmp_path_factory.mktemp("run") / "first"
    with pytest.raises(SystemExit) as end:
        main(["train", str(chests), "--out", str(out), "--epochs", "1", *TINY])
    assert end.value.code == 0
    return out


def test_weights_survive_the_file_to_half_precision(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pretrained(run, tmp_path / "mine.npz")
    monkeypatch.setattr(pretrained, "_WEIGHTS", tmp_path)
    found, original = read_pretrained("mine"), read_pretrained(str(run))
    assert found.network == original.network
    assert found.outputs == CHEST
    assert found.layers.keys() == original.layers.keys()
    for name, arrays in original.layers.items():
        for one, other in zip(arrays, found.layers[name], strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-6)
    assert read_pretrained("mine", weights=False).layers == {}
    with pytest.raises(InputError, match="neither a run's folder nor a model"):
        read_pretrained("yours")


def test_outputs_of_the_same_name_come_over_and_others_begin_anew(run: Path) -> None:
    found = read_pretrained(str(run))
    model = build(keras, replace(found.network, height=64, width=64, outputs=2))
    fresh = model.get_layer("logits").get_weights()
    load_pretrained(model, ("tumour", "left_lung"), found)
    kernel = model.get_layer("logits").get_weights()[0]
    np.testing.assert_array_equal(kernel[..., 1], found.layers["logits"][0][..., 1])
    np.testing.assert_array_equal(kernel[..., 0], fresh[0][..., 0])
    np.testing.assert_array_equal(model.get_layer("bottom_a").get_weights()[0], found.layers["bottom_a"][0])


def test_another_network_is_refused(run: Path) -> None:
    with pytest.raises(InputError, match="not this network's weights"):
        load_pretrained(build(keras, PRESETS["edge"]), CHEST, read_pretrained(str(run)))


def test_a_frozen_encoder_stays_and_the_decoder_learns(
    run: Path, chests: Path, tmp_path: Path, edge_seg: Callable[..., tuple[int, str]]
) -> None:
    out = tmp_path / "second"
    words = ["--from", run, "--freeze", "--epochs", 1, "--learning-rate", 0.01, "--batch-size", 4, "--no-augment", "-q"]
    assert edge_seg("train", chests, "--out", out, *words)[0] == 0
    config = read_config(out)[0]
    # Without --network, the network is the one that has the weights.
    assert config.network == read_config(run)[0].network
    assert config.freeze
    before, after = read_pretrained(str(run)).layers, read_pretrained(str(out)).layers
    for name, arrays in before.items():
        same = all(np.array_equal(one, other) for one, other in zip(arrays, after[name], strict=True))
        assert same == (name.startswith("down") or name.endswith("_norm")), name


def test_frozen_layers_have_nothing_to_train() -> None:
    model = build(keras, PRESETS["edge"])
    freeze(model)
    trained = {layer.name for layer in model.layers if layer.trainable_weights}
    assert trained
    assert not {name for name in trained if name.startswith(("stem", "down")) or name.endswith("_norm")}
