"""Films that only decoding shows to be damaged."""

from __future__ import annotations

import pytest
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.phantom import phantom
from edge_seg_data import Dataset, LabelledFilm, Outlines
from edge_seg_train.packing import without_undecodable


def test_a_film_that_cannot_be_decoded_is_left_out_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    def damaged() -> tuple[Film, Outlines]:
        raise InputError("torn.png: cannot be decoded")

    def whole() -> tuple[Film, Outlines]:
        return phantom(32, 32, seed=0).film, {}

    films = [
        LabelledFilm(f"{split} {name}", f"{split} {name}", split, read)
        for split in ("train", "val", "test")
        for name, read in (("torn", damaged), ("whole", whole))
    ]
    (found,) = without_undecodable([Dataset("set", "pairs", ("lung",), tuple(films))])
    # Nothing reads the films to test on.
    assert [film.name for film in found.films] == ["train whole", "val whole", "test torn", "test whole"]
    assert capsys.readouterr().err == "left out: torn.png: cannot be decoded\n" * 2
