"""A teacher labels what is not outlined, where it is sure, and leaves existing outlines alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("keras")

from edge_seg import pixels
from edge_seg.phantom import phantom
from edge_seg_data import LabelledFilm
from edge_seg_data.scores import dice
from edge_seg_train.packing import lay, pack
from edge_seg_train.teacher import Teacher

pytestmark = pytest.mark.training

STRUCTURES = ("right_lung", "left_lung", "cardiomediastinum")


def film(seed: int, *outlined: str) -> LabelledFilm:
    made = phantom(256, 240, seed=seed)
    outlines = {name: mask.astype(np.uint8) for name, mask in made.masks.items() if name in outlined}
    return LabelledFilm(str(seed), str(seed), "train", lambda: (made.film, outlines))


def test_what_is_outlined_stays_and_the_rest_is_taught() -> None:
    lungs_alone = film(1, "right_lung", "left_lung")
    _, before = lay(lungs_alone, STRUCTURES, (96, 96))
    _, taught = lay(lungs_alone, STRUCTURES, (96, 96), Teacher("lungs"))
    _, truth = lay(film(1, *STRUCTURES), STRUCTURES, (96, 96))
    assert (before[:, :, 2] == pixels.IGNORE).all()
    np.testing.assert_array_equal(taught[:, :, :2], before[:, :, :2])
    sure = (taught[:, :, 2] != pixels.IGNORE) & (truth[:, :, 2] != pixels.IGNORE)
    content = truth[:, :, 2] != pixels.IGNORE
    assert 0.9 < sure.sum() / content.sum() < 1
    assert dice(truth[:, :, 2] == 1, taught[:, :, 2] == 1, sure) > 0.93


def test_structures_that_the_teacher_does_not_know_stay_unlabelled() -> None:
    _, labels = lay(film(1), ("tumour", "left_lung"), (96, 96), Teacher("lungs"))
    assert (labels[:, :, 0] == pixels.IGNORE).all()
    assert (labels[:, :, 1] == 1).any()


def test_many_threads_ask_and_each_gets_its_own_films_answer() -> None:
    teacher = Teacher("lungs")
    films = [film(seed) for seed in range(6)]
    alone = [lay(one, STRUCTURES, (96, 96), teacher)[1] for one in films]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda one: lay(one, STRUCTURES, (96, 96), teacher)[1], films * 3))
    for index, labels in enumerate(together):
        np.testing.assert_array_equal(labels, alone[index % 6])
    packed = pack([films], STRUCTURES, (96, 96), teacher)
    np.testing.assert_array_equal(packed.labels, np.stack(alone))
