"""Only a model that is better here and no worse elsewhere is accepted; a bad annotator's model is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from edge_seg.adaptation.adapt import adapted_model
from edge_seg.adaptation.decoder import find_decoder, shipped_parameters, with_parameters
from edge_seg.adaptation.examples import Encoder, Outlined
from edge_seg.adaptation.gate import LEVEL, Judgement, judge, missing_patients, randomisation_p, score
from edge_seg.adaptation.learning import Settings, learn
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom

Spoil = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def as_it_is(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return masks


def shifted(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.roll(mask, 24, axis=1) for name, mask in masks.items()}


def swapped(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**masks, "right_lung": masks["left_lung"], "left_lung": masks["right_lung"]}


def halves_left_out(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    upper = np.arange(256)[:, None] < 115
    return {name: mask & upper for name, mask in masks.items()}


def test_the_test_is_exact_for_few_and_drawn_for_many() -> None:
    assert randomisation_p(np.full(5, 0.1)) == pytest.approx(1 / 32)
    assert randomisation_p(np.full(4, 0.1)) > LEVEL
    assert randomisation_p(np.zeros(6)) == 1
    assert randomisation_p(np.full(40, 0.1)) < 1e-3
    assert randomisation_p(np.tile([0.1, -0.1], 20)) == pytest.approx(0.56, abs=0.03)


def test_it_says_how_many_patients_are_missing() -> None:
    assert missing_patients(f"patient {i // 2}" for i in range(6)) == 2
    assert missing_patients([]) == 5


def test_visible_lungs_are_scored_by_what_the_outlines_give() -> None:
    """If a device shows visible lungs, they are corrected, and kept under separate names."""
    made = phantom(256, 256, seed=1)
    visible = {
        f"visible_{side}": made.masks[side] & ~made.masks["cardiomediastinum"] for side in ("right_lung", "left_lung")
    }
    right = score(ModelFile.read("lungs-nano"), [Outlined("one", "p", made.film, visible)])
    assert right[0] > 0.9
    exchanged = dict(zip(visible, reversed(visible.values()), strict=True))
    assert score(ModelFile.read("lungs-nano"), [Outlined("one", "p", made.film, exchanged)])[0] < 0.1


def test_a_model_that_is_not_int8_is_refused(lungs: ModelFile, make_flatbuffer: Callable[..., bytes]) -> None:
    other = ModelFile(lungs.manifest, make_flatbuffer())
    assert "operators are others" in judge(lungs, lungs, other, []).why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "spoil_test"),
    [(shifted, as_it_is), (shifted, shifted), (swapped, swapped), (halves_left_out, halves_left_out)],
)
def test_a_bad_annotator_gets_nothing_in(spoil: Spoil, spoil_test: Spoil) -> None:
    """Ten films outlined wrongly on purpose; the films kept for testing may be wrong in the same way."""
    judged = judgement_of(spoil, spoil_test)
    assert not judged.accepted
    assert "reference phantoms" in judged.why


def test_a_model_that_fits_the_films_for_testing_badly_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few wrong films among many do not affect the phantoms, and seem better if all films for testing are wrong."""
    model, dice = ModelFile.read("lungs-nano"), iter((0.69, 0.72, 0.84, 0.86))
    monkeypatch.setattr("edge_seg.adaptation.gate.score", lambda *_: np.full(10, next(dice)))
    monkeypatch.setattr("edge_seg.adaptation.gate.on_phantoms", lambda *_: {"heart": (0.9, 0.9)})
    refused, accepted = (judge(model, model, model, []) for _ in range(2))
    assert not refused.accepted
    assert "look at their outlines" in refused.why
    assert accepted.accepted


def judgement_of(spoil: Spoil, spoil_test: Spoil) -> Judgement:
    model = ModelFile.read("lungs-nano")
    test = [outlined(seed, spoil_test) for seed in range(6)]
    return judge(model, model, taught(spoil), test)


@cache
def taught(spoil: Spoil) -> ModelFile:
    model = ModelFile.read("lungs-nano")
    decoder = find_decoder(model.flatbuffer)
    encoder, start = Encoder(model, decoder), shipped_parameters(decoder, model.flatbuffer)
    examples = [encoder.example(outlined(seed, spoil)) for seed in range(20, 30)]
    parameters = learn(decoder, start, examples, Settings(passes=4, learning_rate=1e-3))
    return adapted_model(model, with_parameters(decoder, model.flatbuffer, parameters), "test", [])


def outlined(seed: int, spoil: Spoil) -> Outlined:
    made = phantom(256, 256, seed=seed)
    return Outlined(f"phantom-{seed}", f"patient {seed}", made.film, spoil(made.masks))
