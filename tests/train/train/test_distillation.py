"""A small network learns what others make of films, on films without outlines too."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edge_seg.errors import UsageError
from edge_seg.phantom import phantom
from edge_seg_data import open_dataset
from edge_seg_data.splits import held_out
from edge_seg_train.config import TrainConfig
from edge_seg_train.distillation import with_probabilities
from edge_seg_train.loop import pack_training_films, train, training_drawing
from edge_seg_train.network import PRESETS, build
from edge_seg_train.packing import network_input, pack
from edge_seg_train.pretrained import load_pretrained, read_pretrained

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


def test_of_a_film_those_networks_speak_that_were_not_trained_on_it(unlabelled: Path, tmp_path: Path) -> None:
    network = replace(PRESETS["tiny"], height=32, width=32, outputs=2)
    config = TrainConfig(
        (str(unlabelled),), LUNGS, network, epochs=1, batch_size=2, picture_every=0, distill=("lungs",)
    )
    whole = open_dataset(unlabelled)
    runs = []
    for part in range(2):
        runs.append(str(tmp_path / f"without-{part}"))
        of_part = replace(config, seed=part, hold_out=(part, 2))
        train(of_part, Path(runs[-1]), datasets=[held_out(whole, part, 2)], quiet=True)
    groups = [whole.split("train")]
    films = pack(groups, LUNGS, (32, 32))

    def probabilities(*names: str) -> np.ndarray:
        return with_probabilities(films, groups, names, LUNGS).labels[..., 2:].astype(int)

    by_run = [probabilities(run) for run in runs]
    assert np.abs(by_run[0] - by_run[1]).max() > 2
    unseen = {film.name: part for part in range(2) for film in held_out(whole, part, 2).split("val")}
    assert set(unseen.values()) == {0, 1}
    expected = np.stack([by_run[unseen[name]][i] for i, name in enumerate(films.names)])
    np.testing.assert_array_equal(probabilities(*runs), expected)
    # Shipped weights may have been trained on any film: they speak where nobody else held it out.
    np.testing.assert_array_equal(probabilities(*runs, "lungs"), expected)
    # What the run that one started from was trained on, it knows too.
    train(
        replace(config, hold_out=(1, 2), start=runs[0]), tmp_path / "on", datasets=[held_out(whole, 1, 2)], quiet=True
    )
    both, by_last = probabilities(runs[1], str(tmp_path / "on")), probabilities(str(tmp_path / "on"))
    for i, name in enumerate(films.names):
        # Of the others both know: they speak together.
        wanted = by_run[1][i] if unseen[name] == 1 else (by_run[1][i] + by_last[i]) / 2
        np.testing.assert_allclose(both[i], wanted, atol=1)


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
