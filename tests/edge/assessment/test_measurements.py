"""Measurements: known shapes give known numbers; what cannot be measured is withheld, with its reason."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from edge_seg import Film, Segmenter
from edge_seg.assessment.measurements import Width, measure
from edge_seg.model_file import ModelFile
from edge_seg.orientation import Orientation
from edge_seg.phantom import phantom
from edge_seg.pixels import Edges
from edge_seg.structures import regions
from edge_seg_data import open_dataset
from hypothesis import given
from hypothesis import strategies as st

EIGHT_WAYS = [Orientation(*ways) for ways in product((False, True), repeat=3)]


def laid_down(masks: dict[str, np.ndarray], lies: Orientation) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """Masks of an upright film turned to another orientation, and their shape."""
    height, width = next(iter(masks.values())).shape
    shape = (width, height) if lies.transposed else (height, width)
    laid = {name: np.zeros(shape, bool) for name in masks}
    for name, mask in masks.items():
        lies.upright(laid[name])[:] = mask
    return laid, shape


def chest(
    right: tuple[int, int], left: tuple[int, int], heart: tuple[int, int], shape: tuple[int, int] = (60, 200)
) -> dict[str, np.ndarray]:
    """Blocks from column to column: the lungs in the upper rows, the heart in the lower ones."""
    masks = {name: np.zeros(shape, bool) for name in ("right_lung", "left_lung", "cardiomediastinum")}
    masks["right_lung"][5:40, slice(*right)] = True
    masks["left_lung"][10:45, slice(*left)] = True
    masks["cardiomediastinum"][20:50, slice(*heart)] = True
    return masks


def film(shape: tuple[int, int] = (60, 200), **known: object) -> Film:
    return Film(np.zeros(shape, np.uint8), **known)  # type: ignore[arg-type]


@given(
    st.lists(st.integers(1, 199), min_size=4, max_size=4, unique=True).map(sorted),
    st.lists(st.integers(1, 199), min_size=2, max_size=2, unique=True).map(sorted),
    st.floats(51, 449),
)
def test_widths_and_ratios_of_blocks(lungs: list[int], heart: list[int], across: float) -> None:
    a, b, c, d = lungs
    mm = across / (d - a)
    found = measure(chest((a, b), (c, d), (heart[0], heart[1])), film(spacing_mm=(9.0, mm)))
    assert found.widths["right_lung"].pixels == b - a
    assert found.widths["left_lung"].pixels == d - c
    assert found.widths["thorax"].pixels == d - a
    assert found.widths["thorax"].mm == pytest.approx((d - a) * mm, abs=0.051)
    assert found.ratios["left_to_right_area"] == pytest.approx((d - c) / (b - a), abs=5.1e-4)
    assert found.ratios["cardiothoracic"] == pytest.approx((heart[1] - heart[0]) / (d - a), abs=5.1e-4)
    assert found.notes == ()


@pytest.mark.parametrize("lies", EIGHT_WAYS, ids=str)
def test_widths_lie_across_the_patient_whichever_way_the_film_does(lies: Orientation) -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    upright = measure(masks, film(spacing_mm=(0.5, 2.0)))
    laid, shape = laid_down(masks, lies)
    spacing = (2.0, 0.5) if lies.transposed else (0.5, 2.0)
    assert measure(laid, film(shape, spacing_mm=spacing, orientation=lies)) == upright


def test_a_thorax_that_no_human_has_withholds_what_is_in_millimetres() -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    for spacing, years, sure in (
        (2.0, None, True),
        (1.0, None, True),
        (1.0, 8.0, True),
        (1.0, 40.0, False),
        (8.0, None, False),
        (200.0, 40.0, False),
        (0.1, 0.1, False),
    ):
        found = measure(masks, film(spacing_mm=(spacing, spacing), patient_years=years))
        assert (found.widths["thorax"].mm is not None) == (found.areas["right_lung"].cm2 is not None) == sure
        assert any("the spacing looks wrong" in note for note in found.notes) != sure
        assert found.ratios["cardiothoracic"] is not None
        assert found.widths["thorax"].pixels == 140


def test_numbers_of_one_side_are_withheld_where_the_sides_are_not_sure() -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    sure, unsure = (measure(masks, film(), "whole", sides=sides) for sides in (True, False))
    assert set(sure.areas) - set(unsure.areas) == {"right_lung", "left_lung"}
    assert set(unsure.widths) == {"cardiomediastinum", "thorax"}
    assert unsure.ratios == {"left_to_right_area": None, "cardiothoracic": sure.ratios["cardiothoracic"]}


def test_the_cardiothoracic_ratio_is_taken_from_the_heart_where_there_is_one() -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    shadow = measure(masks, film())
    heart = np.zeros((60, 200), bool)
    heart[30:50, 75:103] = True
    found = measure({**masks, "heart": heart}, film())
    assert (shadow.cardiothoracic_of, shadow.ratios["cardiothoracic"]) == ("cardiomediastinum", round(40 / 140, 3))
    assert (found.cardiothoracic_of, found.ratios["cardiothoracic"]) == ("heart", 28 / 140)
    gone = measure({**masks, "heart": heart & False}, film())
    assert gone.ratios["cardiothoracic"] is None
    assert gone.notes == ("cardiothoracic ratio withheld: no heart found",)


def test_widths_are_those_of_the_outlines_where_these_are_known() -> None:
    masks = chest((20, 60), (120, 160), (70, 110))

    def edges(name: str, low: float, high: float) -> Edges:
        there = masks[name][::3].any(axis=1)  # in rows of another picture
        return Edges(np.where(there, low, np.inf), np.where(there, high, -np.inf))

    outlines = {
        "right_lung": edges("right_lung", 20.25, 60.0),
        "left_lung": edges("left_lung", 120.0, 159.5),
        "cardiomediastinum": edges("cardiomediastinum", 70.2, 109.9),
    }
    found = measure(masks, film(spacing_mm=(2.0, 2.0)), edges=outlines)
    assert found.ratios["cardiothoracic"] == round(39.7 / 139.25, 3)
    assert found.widths["thorax"] == Width(139, 278.5)
    assert found.widths["cardiomediastinum"] == Width(40, 79.4)
    assert found.areas == measure(masks, film(spacing_mm=(2.0, 2.0))).areas
    # A structure without a pixel was not found, even if its outline runs between pixels.
    gone = measure({**masks, "cardiomediastinum": masks["right_lung"] & False}, film(), edges=outlines)
    assert gone.ratios["cardiothoracic"] is None
    assert "cardiomediastinum" not in gone.widths


@pytest.mark.parametrize("absent", ["right_lung", "left_lung", "cardiomediastinum"])
def test_outlines_have_rows_of_their_own_and_a_structure_may_be_in_none(absent: str) -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    masks[absent][:] = False
    # The network's picture of the film has a third of its rows.
    thirds = {name: mask[1::3] for name, mask in masks.items()}
    edges = {
        name: Edges(
            np.where(rows.any(axis=1), rows.argmax(axis=1), np.inf),
            np.where(rows.any(axis=1), 200.0 - rows[:, ::-1].argmax(axis=1), -np.inf),
        )
        for name, rows in thirds.items()
    }
    assert measure(masks, film(), edges=edges).widths == measure(masks, film()).widths
    # A speck of an outline that contains no pixel centre is not a structure.
    edges[absent] = Edges(np.full(20, 90.2), np.full(20, 90.4))
    assert measure(masks, film(), edges=edges).widths == measure(masks, film()).widths
    # An outline that crosses no row's centre still has a mask.
    thin = {**edges, "left_lung": edges["left_lung"].without_any()}
    assert measure(masks, film(), edges=thin).widths == measure(masks, film()).widths


def test_padding_is_no_part_of_the_film() -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    padding = np.ones((60, 200), bool)
    padding[:, 20:160] = False
    assert "cardiothoracic ratio: a lung reaches the film's edge" in measure(masks, film(padding=padding)).notes
    assert measure(masks, film()).notes == ()


def test_the_thorax_is_measured_in_one_row() -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    masks["right_lung"][2, 10:60] = True  # wider, where there is no left lung
    assert measure(masks, film()).widths["thorax"].pixels == 140


def test_without_spacing_nothing_is_claimed_in_mm() -> None:
    found = measure(chest((20, 60), (120, 160), (70, 110)), film())
    assert all(width.mm is None for width in found.widths.values())
    assert all(area.cm2 is None for area in found.areas.values())
    assert found.ratios["cardiothoracic"] is not None


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([0.0, 0.0005, 0.02, 0.6]), st.integers(0, 2**32 - 1))
def test_what_is_measured_is_what_counting_pixel_by_pixel_finds(
    height: int, width: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    masks = {name: rng.random((height, width)) < share for name in ("right_lung", "left_lung", "cardiomediastinum")}
    right, left, heart = masks.values()
    areas = {"whole_lung": right | left, "visible_lung": (right | left) & ~heart, **masks}
    shape = max(height, 16), max(width, 16)
    found = measure(masks, film(shape, spacing_mm=(0.5, 0.5)), "whole")
    assert {name: area.pixels for name, area in found.areas.items()} == {n: int(a.sum()) for n, a in areas.items()}
    across = {name: np.flatnonzero(mask.any(axis=0)) for name, mask in masks.items()}
    widths = {name: int(columns[-1] - columns[0]) + 1 for name, columns in across.items() if len(columns)}
    thorax = [
        max(*r, *k) - min(*r, *k) + 1
        for r, k in zip(map(np.flatnonzero, right), map(np.flatnonzero, left), strict=True)
        if len(r) and len(k)
    ]
    if thorax:
        widths["thorax"] = int(max(thorax))
    assert {name: width.pixels for name, width in found.widths.items()} == widths
    assert list(measure(masks, film(shape)).areas) == list(masks)
    assert measure(regions(masks), film(shape, spacing_mm=(0.5, 0.5))) == found
    if found.ratios["cardiothoracic"] is not None:
        edge = right[:, 0].any() or right[:, -1].any() or left[:, 0].any() or left[:, -1].any()
        assert ("cardiothoracic ratio: a lung reaches the film's edge" in found.notes) == edge


@pytest.mark.parametrize("gone", ["right_lung", "left_lung", "cardiomediastinum"])
def test_a_missing_structure_withholds_the_ratio_and_says_why(gone: str) -> None:
    masks = chest((20, 60), (120, 160), (70, 110))
    masks[gone][:] = False
    found = measure(masks, film())
    assert found.ratios["cardiothoracic"] is None
    assert found.notes == (f"cardiothoracic ratio withheld: no {gone.replace('_', ' ')} found",)
    assert gone not in found.widths


def test_what_is_to_be_read_with_care_is_said() -> None:
    masks = chest((0, 60), (120, 160), (70, 110))
    assert measure(masks, film(view="AP")).notes == (
        "cardiothoracic ratio: a lung reaches the film's edge",
        "cardiothoracic ratio: an AP film enlarges the heart shadow",
    )
    lungs_only = {name: masks[name] for name in ("right_lung", "left_lung")}
    assert measure(lungs_only, film()).ratios == {"left_to_right_area": pytest.approx(2 / 3, abs=1e-3)}
    assert measure({"tumour": masks["left_lung"]}, film()).ratios == {}


def test_the_phantoms_ratio_is_found(lungs: ModelFile) -> None:
    segmenter = Segmenter(lungs)
    for seed in range(3):
        made = phantom(700, 600, seed=seed, bits=16)
        truth = measure(made.masks, made.film).ratios["cardiothoracic"]
        found = segmenter(made.film).measurements.ratios["cardiothoracic"]
        assert found == pytest.approx(truth, abs=0.05)


@pytest.mark.data
def test_the_cardiothoracic_ratio_on_films_it_never_saw(lungs: ModelFile, films_folder: Path) -> None:
    segmenter, differences = Segmenter(lungs), []
    for labelled in open_dataset(films_folder / "adult").split("test"):
        picture, outlines = labelled.load()
        truth = measure({name: plane == 1 for name, plane in outlines.items()}, picture).ratios["cardiothoracic"]
        found = segmenter(picture).measurements.ratios["cardiothoracic"]
        if truth is not None and found is not None:
            differences.append(abs(found - truth))
    assert len(differences) >= 20
    assert np.mean(differences) <= 0.03
