"""The average of runs: it is between them, its batch statistics are the films', and it is a run like any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg.errors import InputError, UsageError
from edge_seg_data import open_dataset
from edge_seg_data.splits import held_out
from edge_seg_train.averaging import average, estimate_batch_statistics
from edge_seg_train.batches import TrainingBatches
from edge_seg_train.config import read_config
from edge_seg_train.data import read_splits, store_splits
from edge_seg_train.drawing import Drawing
from edge_seg_train.network import build
from edge_seg_train.packing import pack
from edge_seg_train.pretrained import load_pretrained, read_pretrained

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = "--network tiny --depth 1 --size 32 --batch-size 4 --no-augment --picture-every 0 -q".split()  # noqa: SIM905


@pytest.fixture(scope="module", autouse=True)
def uncompiled() -> Iterator[None]:
    """The fixture of that name, for all of these tests."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def runs(chests: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run, and another that starts from it."""
    from edge_seg.cli.main import main

    folder = tmp_path_factory.mktemp("runs")
    for name, more in (("first", []), ("second", ["--from", str(folder / "first"), "--seed", "1"])):
        with pytest.raises(SystemExit) as end:
            main(["train", str(chests), "--out", str(folder / name), "--epochs", "1", *more, *TINY])
        assert end.value.code == 0
    return [folder / "first", folder / "second"]


def test_two_runs_meet_in_the_middle(runs: list[Path], tmp_path: Path) -> None:
    average(runs, tmp_path / "mean")
    found = read_pretrained(str(tmp_path / "mean")).layers
    first, second = (read_pretrained(str(run)).layers for run in runs)
    for name in ("bottom_a", "logits"):
        np.testing.assert_allclose(found[name][0], (first[name][0] + second[name][0]) / 2, atol=1e-6)
    record = json.loads((tmp_path / "mean" / "config.json").read_text())
    assert record["averaged"] == ["first", "second"]
    assert read_config(tmp_path / "mean")[0].start == str(runs[-1])
    with pytest.raises(UsageError, match="holds a run"):
        average(runs, tmp_path / "mean")


def test_the_networks_that_taught_a_run_are_not_needed(runs: list[Path], tmp_path: Path) -> None:
    taught = tmp_path / "taught"
    shutil.copytree(runs[1], taught)
    record = json.loads((taught / "config.json").read_text())
    record["config"]["distill"] = [str(tmp_path / "gone")]
    (taught / "config.json").write_text(json.dumps(record))
    assert average([runs[0], taught], tmp_path / "mean").is_file()


def test_a_run_with_a_shipped_models_name_is_averaged_itself(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs[0], tmp_path / "lungs")
    monkeypatch.chdir(tmp_path)
    average([Path("lungs")], tmp_path / "mean")
    found, known = (read_pretrained(str(run)).layers["logits"][0] for run in (tmp_path / "mean", runs[0]))
    np.testing.assert_allclose(found, known, atol=1e-6)


def test_runs_of_which_one_was_trained_on_what_the_other_holds_out_are_not_averaged(
    runs: list[Path], chests: Path, tmp_path: Path
) -> None:
    halves = [tmp_path / "half-0", tmp_path / "half-1"]
    for part, half in enumerate(halves):
        shutil.copytree(runs[0], half)
        (half / "splits.json").unlink()
        store_splits(half, [held_out(open_dataset(chests), part, 2)])
    with pytest.raises(InputError, match=r"is held out here, and the weights of .*half-0 were trained on it"):
        average(halves, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_an_average_knows_what_each_run_was_trained_on(runs: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs[0], other)
    (other / "splits.json").write_text(json.dumps({"patients": {"elsewhere": "train"}}))
    average([other, runs[0]], tmp_path / "mean")
    assert read_splits(tmp_path / "mean") == {**read_splits(runs[0]), "elsewhere": "train"}


def test_batch_statistics_are_those_of_the_films(runs: list[Path], chests: Path) -> None:
    config = read_config(runs[0])[0]
    model = build(keras, config.network)
    load_pretrained(model, config.structures, read_pretrained(str(runs[0])))
    films = pack([open_dataset(chests).split("train")], config.structures, (32, 32))
    batches = TrainingBatches(Drawing(films, 4, 6, config.augmentation))
    estimate_batch_statistics(model, batches)
    # The first convolution sees the films themselves, so its statistics can be computed by hand.
    first = keras.Model(model.inputs, model.get_layer("down0_a").output)
    seen = [np.asarray(first(batches[i][0])) for i in range(len(batches))]
    norm = model.get_layer("down0_a_norm")
    np.testing.assert_allclose(
        np.asarray(norm.moving_mean), np.mean([s.mean(axis=(0, 1, 2)) for s in seen], axis=0), atol=1e-4
    )
    np.testing.assert_allclose(
        np.asarray(norm.moving_variance), np.mean([s.var(axis=(0, 1, 2)) for s in seen], axis=0), rtol=1e-3, atol=1e-5
    )
    assert norm.momentum == config.network.momentum
