"""A small network learns from other networks' outputs, on films without outlines too."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg.errors import InputError, UsageError
from edge_seg.film import Film
from edge_seg.phantom import phantom
from edge_seg_data import Outlines, open_dataset
from edge_seg_data.splits import held_out
from edge_seg_train.checkpoint import WEIGHTS_NAME, save_weights
from edge_seg_train.config import TrainConfig
from edge_seg_train.data import store_splits
from edge_seg_train.distillation import with_probabilities
from edge_seg_train.loop import pack_training_films, train, training_drawing
from edge_seg_train.network import PRESETS, build
from edge_seg_train.packing import network_input, pack
from edge_seg_train.pretrained import load_pretrained, read_pretrained
from edge_seg_train.stored import store_config

pytestmark = [pytest.mark.training, pytest.mark.slow]

LUNGS = ("right_lung", "left_lung")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films") / "unlabelled"
    (folder / "images").mkdir(parents=True)
    for seed in range(6):
        cv2.imwrite(str(folder / "images" / f"{seed}.png"), phantom(224, 200, seed=seed).film.pixels)
    return folder


def test_probabilities_are_the_mean_of_the_networks_at_the_films_size(unlabelled: Path) -> None:
    groups = [open_dataset(unlabelled).split("train")]
    films = pack(groups, LUNGS, (96, 96))
    taught = with_probabilities(films, groups, ["lungs", "lungs-nano"], LUNGS).labels
    assert taught.shape == (6, 96, 96, 4)
    np.testing.assert_array_equal(taught[..., :2], films.labels)
    alone = [with_probabilities(films, groups, [name], LUNGS).labels[..., 2:] for name in ("lungs", "lungs-nano")]
    np.testing.assert_allclose(taught[..., 2:], np.mean(alone, axis=0), atol=1)
    masks = phantom(96, 86, seed=0).masks
    right = taught[0, :, 5:91, 2] > 127
    assert (right & masks["right_lung"]).sum() * 2 / (right.sum() + masks["right_lung"].sum()) > 0.9


def test_a_network_with_the_same_input_gives_its_own_probabilities(unlabelled: Path) -> None:
    groups = [open_dataset(unlabelled).split("train")]
    films = pack(groups, LUNGS, (192, 192))
    taught = with_probabilities(films, groups, ["lungs-nano"], LUNGS).labels[..., 2:]
    found = read_pretrained("lungs-nano")
    model = build(keras, found.network)
    load_pretrained(model, found.outputs, found)
    at = [found.outputs.index(name) for name in LUNGS]
    logits = np.asarray(model.predict_on_batch(network_input(films.grey, 1)))[..., at]
    np.testing.assert_allclose(taught / 255, 1 / (1 + np.exp(-logits)), atol=3e-3)


@pytest.mark.usefixtures("uncompiled")
def test_of_a_film_those_networks_speak_that_were_not_trained_on_it(chests: Path, tmp_path: Path) -> None:
    network = replace(PRESETS["tiny"], height=32, width=32, outputs=2)
    config = TrainConfig((str(chests),), LUNGS, network)
    whole = open_dataset(chests)
    parts = [held_out(whole, part, 2) for part in range(2)]
    runs = [tmp_path / "without-0", tmp_path / "without-1", tmp_path / "on"]
    for bias, (run, part, start) in enumerate(zip(runs, (0, 1, 1), ("", "", str(runs[0])), strict=True)):
        run.mkdir()
        store_config(replace(config, hold_out=(part, 2), start=start), [parts[part]], run)
        store_splits(run, [parts[part]])
        model = build(keras, network)
        # Random weights alone may make probabilities that round to the same number.
        model.get_layer("logits").bias.assign([bias, -bias])
        save_weights(model, run / f"best.{WEIGHTS_NAME}")
    groups = [whole.split("train")]
    films = pack(groups, LUNGS, (32, 32))

    def probabilities(*names: object) -> np.ndarray:
        return with_probabilities(films, groups, [str(name) for name in names], LUNGS).labels[..., 2:].astype(int)

    first, second, last = (probabilities(run) for run in runs)
    assert np.abs(first - second).max() > 2
    unseen_by_first = {film.name for film in parts[0].split("val")}
    is_first = np.array([name in unseen_by_first for name in films.names])
    assert 0 < is_first.sum() < len(films)
    expected = np.where(is_first[:, None, None, None], first, second)
    np.testing.assert_array_equal(probabilities(*runs[:2]), expected)
    # Shipped weights may have been trained on any film: they are used only where no other network held it out.
    np.testing.assert_array_equal(probabilities(*runs[:2], "lungs-nano"), expected)
    # A run has also seen the films of the run that it started from. Where both have seen a film they are averaged.
    wanted = np.where(is_first[:, None, None, None], (second + last) / 2, second)
    np.testing.assert_allclose(probabilities(runs[1], runs[2]), wanted, atol=1)


def test_a_film_that_cannot_be_decoded_is_not_taught(unlabelled: Path) -> None:
    def damaged() -> tuple[Film, Outlines]:
        raise InputError("torn.png: cannot be decoded")

    network = replace(PRESETS["tiny"], height=32, width=32, outputs=2)
    config = TrainConfig((str(unlabelled),), LUNGS, network, distill=("lungs-nano",), skip_bad=True)
    dataset = open_dataset(unlabelled)
    films = (replace(dataset.films[0], read=damaged), *dataset.films[1:])
    taught = pack_training_films(config, [replace(dataset, films=films)])
    assert taught.names == tuple(film.name for film in films[1:])


def test_what_does_not_fit_is_refused(unlabelled: Path) -> None:
    groups = [open_dataset(unlabelled).split("train")]
    with pytest.raises(UsageError, match="knows nothing of tumour"):
        with_probabilities(pack(groups, ("tumour",), (96, 96)), groups, ["lungs"], ("tumour",))
    with pytest.raises(UsageError, match="is not shaped like"):
        with_probabilities(pack(groups, LUNGS, (96, 64)), groups, ["lungs"], LUNGS)
    config = TrainConfig((str(unlabelled),), LUNGS, PRESETS["tiny"])
    with pytest.raises(UsageError, match="--distill"):
        pack_training_films(config, [open_dataset(unlabelled)])


def test_a_run_learns_from_films_that_nobody_outlined(unlabelled: Path, tmp_path: Path) -> None:
    network = replace(PRESETS["tiny"], height=32, width=32, outputs=2)
    config = TrainConfig((str(unlabelled),), LUNGS, network, epochs=3, batch_size=3, learning_rate=0.02)
    config = replace(config, picture_every=0, distill=("lungs",))
    datasets = [open_dataset(unlabelled)]
    train(config, tmp_path / "run", datasets=datasets, quiet=True, workers=1)
    with (tmp_path / "run" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    drawing = training_drawing(config, pack_training_films(config, datasets))
    assert drawing(0, 0)[1].shape == (3, 32, 32, 4)
