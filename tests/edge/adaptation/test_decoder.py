"""The numpy decoder computes what the int8 network does, its gradients are right, and it can be written back."""

from __future__ import annotations

import numpy as np
import pytest
from edge_seg.adaptation.convolution import along_weights, columns, convolved, enlarging
from edge_seg.adaptation.decoder import find_decoder, shipped_parameters, with_parameters
from edge_seg.adaptation.examples import Encoder, Outlined
from edge_seg.adaptation.loss import loss_and_slope, planes_of
from edge_seg.errors import InputError, ModelError
from edge_seg.inspection import purity_violations
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg.segmenter import Segmenter


@pytest.mark.parametrize("name", ["lungs-nano", "lungs-large"])
def test_it_finds_what_the_int8_network_finds(name: str) -> None:
    model = ModelFile.read(name)
    decoder = find_decoder(model.flatbuffer)
    made = phantom(256, 256, seed=3)
    example = Encoder(model, decoder).example(Outlined("one", "p", made.film, made.masks))

    found = decoder.forward(shipped_parameters(decoder, model.flatbuffer), example.given).logits

    segmenter = Segmenter(model, gate=False)
    shown = segmenter.logits(segmenter.runtime.run(segmenter.prepare(made.film)[0]))
    assert np.mean((found > 0) != (shown > 0)) < 2e-3
    assert np.abs(found - shown).mean() < 0.2 * decoder.output.scale


def test_parameters_written_back_unchanged_give_the_same_outlines() -> None:
    model = ModelFile.read("lungs-nano")
    decoder = find_decoder(model.flatbuffer)
    flatbuffer = with_parameters(decoder, model.flatbuffer, shipped_parameters(decoder, model.flatbuffer))

    assert len(flatbuffer) == len(model.flatbuffer)
    assert purity_violations(flatbuffer) == []
    same = np.frombuffer(flatbuffer, np.uint8) == np.frombuffer(model.flatbuffer, np.uint8)
    assert np.count_nonzero(~same) < 1000  # last digits of scales


def test_a_network_without_such_a_decoder_is_refused(make_flatbuffer) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelError, match="cannot be adapted on the device"):
        find_decoder(make_flatbuffer())


def test_slopes_of_the_loss_are_those_of_its_differences() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 5, 3)).astype(np.float64)
    labels = rng.integers(0, 2, (4, 5, 3)).astype(np.uint8)
    labels[0, 0] = 127
    planes = planes_of(
        ["visible_right_lung", "left_lung", "whole_lung"], ["right_lung", "left_lung", "cardiomediastinum"]
    )

    _, slope = loss_and_slope(logits, labels, planes)

    for place in [(1, 2, 0), (3, 4, 1), (2, 0, 2), (0, 0, 1)]:
        step = np.zeros_like(logits)
        step[place] = 1e-4
        up, down = (loss_and_slope(logits + sign * step, labels, planes)[0] for sign in (1, -1))
        assert slope[place] == pytest.approx((up - down) / 2e-4, abs=1e-5)


def test_an_outline_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="spleen"):
        planes_of(["spleen"], ["right_lung"])


def test_gradients_of_a_convolution_and_an_enlargement_are_their_transposes() -> None:
    rng = np.random.default_rng(0)
    picture, weights = rng.normal(size=(6, 7, 2)).astype("f4"), rng.normal(size=(3, 3, 3, 2)).astype("f4")
    back = rng.normal(size=(6, 7, 3)).astype("f4")
    seen = columns(picture, 3)
    made = (seen @ weights.reshape(3, -1).T).reshape(6, 7, 3)
    along, bias = along_weights(back, seen, weights.shape)
    assert np.sum(along * weights) == pytest.approx(np.sum(made * back), rel=1e-3)
    assert bias == pytest.approx(back.sum(axis=(0, 1)), rel=1e-4)

    rows, columns_of = enlarging(6, 12, True), enlarging(7, 14, True)
    assert rows.sum(axis=1) == pytest.approx(np.ones(12))
    large = convolved(picture, rows, columns_of)
    slope = rng.normal(size=large.shape).astype("f4")
    assert np.sum(convolved(slope, rows.T, columns_of.T) * picture) == pytest.approx(np.sum(large * slope), rel=1e-3)
