"""A model's self-assessment: the film gate's classifier and the Dice estimates, on synthetic observations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.assessment.kinds import Kinds
from edge_seg.errors import InputError
from edge_seg_quantize.doubt import GOOD, GOOD_FLAGGED, REACHED, calibrate_doubt
from edge_seg_quantize.gate import Example, fit_kinds, read_negatives
from edge_seg_quantize.observations import Observation, PackedFilm, unpack

NOTHING = np.zeros((4, 4), np.uint8)


def observed(
    films: int, seed: int = 0, noise: float = 0.4, dataset: str = "one", region: str = "heart", centre: float = 3
) -> list[Observation]:
    """Films whose Dice follows one signal, with noise on its logit; a second signal says nothing."""
    chance = np.random.default_rng(seed)
    found = []
    for index in range(films):
        signal = float(chance.normal())
        logit = centre + signal + noise * float(chance.normal())
        film = PackedFilm(f"{index}", f"patient {index // 2}", dataset, True, NOTHING, {})
        signals = {region: {"soft_dice": signal, "pooled_0": float(chance.normal())}}
        found.append(Observation(film, False, signals, np.zeros(1), {region: float(1 / (1 + np.exp(-logit)))}))
    return found


def test_the_bound_is_reached_by_nine_films_of_ten_and_the_estimate_is_right_on_average() -> None:
    found = calibrate_doubt(observed(600))
    assert found is not None
    new = observed(2000, seed=1)
    estimates = [found.estimates(one.signals)["heart"] for one in new]
    truth = np.array([one.dice["heart"] for one in new])
    bounds = np.array([estimate.bound for estimate in estimates], np.float64)
    assert abs(np.mean(truth >= bounds) - REACHED) < 0.03
    assert abs(np.mean([estimate.dice for estimate in estimates] - truth)) < 0.004
    assert np.corrcoef([estimate.dice for estimate in estimates], truth)[0, 1] > 0.8


def test_the_bound_holds_on_the_data_set_that_needs_it_widest() -> None:
    mixed = calibrate_doubt([*observed(500), *observed(100, seed=2, noise=1.2, dataset="two")])
    alone = calibrate_doubt(observed(500))
    assert mixed is not None
    assert alone is not None
    assert (mixed.regions["heart"].margin or 0) > 1.5 * (alone.regions["heart"].margin or 0)
    assert mixed.regions["heart"].facts["two"]["covered"] > 0.85


def test_the_bound_of_lungs_is_as_wide_as_flags_few_good_films() -> None:
    region = "whole_lung"
    found = calibrate_doubt(observed(600, region=region, centre=4))
    narrow = calibrate_doubt(observed(600, centre=4))
    assert found is not None
    assert narrow is not None
    assert (found.regions[region].margin or 0) > (narrow.regions["heart"].margin or 0)
    new = observed(3000, seed=1, region=region, centre=4)
    truth = np.array([one.dice[region] for one in new])
    bounds = np.array([found.estimates(one.signals)[region].bound for one in new], np.float64)
    assert np.mean(truth >= bounds) >= REACHED
    assert abs(np.mean(bounds[truth > GOOD] < found.low) - GOOD_FLAGGED) < 0.02


def test_films_that_the_network_learned_teach_nothing_where_others_of_its_kind_held_them_out() -> None:
    # Training films fit their outlines whatever the signals say; held-out films fit no better than new ones.
    learned = [
        replace(one, film=replace(one.film, held_out=False), dice={"heart": 0.97})
        for one in observed(200, dataset="two")
    ]
    held_out = [replace(one, crossed=True) for one in observed(200, seed=1, noise=1.2, dataset="two")]
    of_itself = observed(100, seed=2)
    new = observed(1000, seed=3, noise=1.2, dataset="two")
    truth = np.array([one.dice["heart"] for one in new])

    def covered(*rows: Observation) -> float:
        found = calibrate_doubt(rows)
        assert found is not None
        return float(np.mean(truth >= [found.estimates(one.signals)["heart"].bound for one in new]))

    assert covered(*of_itself, *learned) < 0.8
    assert covered(*of_itself, *learned, *held_out) > 0.87


def test_the_mean_of_the_estimates_is_the_models_own_whatever_networks_of_its_kind_reach() -> None:
    worse = [replace(one, crossed=True) for one in observed(400, seed=1, centre=2.5, dataset="two")]
    found = calibrate_doubt([*observed(300), *worse])
    assert found is not None
    new = observed(2000, seed=2)
    estimates = np.array([found.estimates(one.signals)["heart"].dice for one in new])
    assert abs(np.mean(estimates - [one.dice["heart"] for one in new])) < 0.006


def test_a_few_patients_give_an_estimate_without_a_bound() -> None:
    found = calibrate_doubt(observed(6))
    assert found is not None
    assert found.regions["heart"].margin is None
    assert calibrate_doubt([]) is None


def cluster(kind: str, at: tuple[float, float], n: int, groups: int, seed: int) -> list[Example]:
    points = np.random.default_rng(seed).normal(at, 0.3, (n, 2))
    return [Example(kind, f"{kind} {index % groups}", point, kind == "chest") for index, point in enumerate(points)]


def test_kinds_are_told_apart_and_chest_films_are_let_through() -> None:
    examples = [
        *cluster("chest", (1, 1), 800, 400, 0),
        *cluster("lateral", (3, 1), 20, 5, 1),
        *cluster("bone", (1, 4), 40, 7, 2),
    ]
    kinds = fit_kinds(examples)
    assert kinds.names == ("chest", "bone", "lateral")
    assert kinds.facts["refused_in_cross_validation"]["lateral"] >= 19
    assert kinds.facts["refused_in_cross_validation"]["bone"] == 40
    assert kinds.facts["clean_chest_films_refused"] <= 1
    assert kinds.strange <= kinds.doubtful
    new = cluster("chest", (1, 1), 500, 500, 3)
    assert sum(kinds.sight(one.pooled).odds < kinds.strange for one in new) <= 3
    assert kinds.sight(np.array([3.0, 1.0])).kind == "lateral"
    assert Kinds.from_json(kinds.to_json()) == kinds


def test_chest_films_of_another_hospital_pass_where_the_other_kinds_leave_room() -> None:
    kinds = fit_kinds([*cluster("chest", (1, 1), 1200, 120, 0), *cluster("bone", (1, 5), 120, 12, 1)])
    elsewhere, bones = (
        [kinds.sight(one.pooled).odds for one in some]
        for some in (cluster("chest", (1, 1.7), 400, 40, 2), cluster("bone", (1, 5), 400, 40, 3))
    )
    # With the limit at the thousandth of the chest films seen here, a quarter of these would be refused.
    assert np.mean(np.array(elsewhere) < kinds.strange) < 0.05
    assert np.mean(np.array(bones) < kinds.strange) > 0.98
    assert kinds.strange >= 0


def test_few_films_are_refused_at_even_odds() -> None:
    assert fit_kinds([*cluster("chest", (1, 1), 12, 12, 0), *cluster("bone", (1, 4), 12, 12, 1)]).strange == 0


def test_pictures_are_of_the_kind_that_the_index_or_the_folder_names(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (80, 90), dtype=np.uint8)
    for name in ("a.png", "knees/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "index.csv").write_text("file,kind,source\na.png,lateral chest,somewhere\n")
    found = {(kind, source) for _, kind, source in read_negatives(tmp_path)}
    assert found == {("lateral", "somewhere"), ("knees", "knees")}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no films in this folder"):
        list(read_negatives(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("encoding", "separator"), [("utf-8", ","), ("utf-8-sig", ";"), ("cp1252", ","), ("utf-16", "\t")]
)
def test_an_index_of_other_pictures_is_read_as_spreadsheets_save_it(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    (tmp_path / "one").mkdir()
    cv2.imwrite(str(tmp_path / "one" / "a.png"), np.random.default_rng(0).integers(0, 255, (80, 90), dtype=np.uint8))
    rows = [("file", "kind", "source"), ("one/a.png", "hip", "Universität")]
    text = "\r\n".join(separator.join(row) for row in rows)
    (tmp_path / "index.csv").write_bytes(text.encode(encoding))
    assert [one[1:] for one in read_negatives(tmp_path)] == [("bone", "Universität")]


def test_a_row_is_about_the_picture_at_its_path_or_the_only_one_of_its_name(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (80, 90), dtype=np.uint8)
    for name in ("a.png", "knees/a.png", "feet/b.png", "hands/c.png", "arms/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "index.csv").write_text("file,kind\na.png,lateral chest\nb.png,dental\nhands\\c.png,MR\nc.png,page\n")
    kinds = {Path(film.source).relative_to(tmp_path).as_posix(): kind for film, kind, _ in read_negatives(tmp_path)}
    wanted = {
        "a.png": "lateral",
        "knees/a.png": "knees",
        "feet/b.png": "bone",
        "hands/c.png": "CT",
        "arms/c.png": "arms",
    }
    assert kinds == wanted


def test_an_index_that_names_no_pictures_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (80, 90), dtype=np.uint8))
    (tmp_path / "index.csv").write_text("picture,kind\na.png,hip\n")
    with pytest.raises(InputError, match="column `file`"):
        next(read_negatives(tmp_path))


def test_a_packed_film_is_cut_out_of_its_letterbox() -> None:
    grey, labels = np.zeros((32, 32), np.uint8), np.full((32, 32, 2), 127, np.uint8)
    labels[4:28, 2:30, 0] = 0
    labels[8:20, 6:12, 0] = 1
    film = unpack(grey, labels, ("right_lung", "left_lung"), "film", "patient", "set", held_out=True)
    assert film is not None
    assert film.grey.shape == (24, 28)
    assert film.outlines.keys() == {"right_lung"}
    assert unpack(grey, np.full_like(labels, 127), ("a", "b"), "film", "patient", "set", held_out=True) is None
