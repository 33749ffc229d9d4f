"""Which films are reviewed next: doubtful ones, dissimilar ones, one per patient, up to a daily limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from edge_seg.corrections import Correction, ModelOfCorrection
from edge_seg.corrections.queue import Candidate, candidate_of, choose, next_films, worth
from edge_seg.phantom import phantom
from edge_seg.record import DoneRecord, record_of
from edge_seg.segmenter import Segmenter


def test_a_film_that_stands_for_many_doubted_ones_comes_before_an_odd_one() -> None:
    doubted = [Candidate(f"doubted-{i}", 0.7, {"a": 0.0, "b": i / 100}) for i in range(8)]
    sure = [Candidate(f"sure-{i}", 0.99, {"a": 5.0, "b": i / 100}) for i in range(8)]
    odd = Candidate("odd", 0.5, {"a": -9.0, "b": 9.0})

    chosen = choose([*sure, odd, *doubted], [], 3)

    assert [one.film.partition("-")[0] for one in chosen] == ["doubted", "odd", "sure"]
    assert chosen[0].why == "Dice perhaps 0.70, like 7 other films"
    assert chosen[1].why == "Dice perhaps 0.50"


def test_a_film_like_one_that_was_corrected_falls_back() -> None:
    twins = [Candidate(f"twin-{i}", 0.9, {"a": 5.0}) for i in range(3)]
    others = [Candidate(f"other-{i}", 0.9, {"a": -5.0}) for i in range(2)]
    assert [one.film.partition("-")[0] for one in choose([*twins, *others], [], 2)] == ["twin", "other"]
    assert choose([*twins, *others], [{"a": 5.0}], 1)[0].film.startswith("other")


def test_a_film_on_which_models_disagree_comes_first_and_what_is_not_known_decides_nothing() -> None:
    agreed = [Candidate(f"agreed-{i}", 0.9, {"a": 5.0}, agreement=0.97) for i in range(2)]
    apart = Candidate("apart", 0.9, {"a": -5.0}, agreement=0.6)
    chosen = choose([*agreed, apart], [], 2)
    assert [one.film.partition("-")[0] for one in chosen] == ["apart", "agreed"]
    assert chosen[0].why == "Dice perhaps 0.90, another model agrees to 0.60"
    assert chosen[1].why.endswith("agrees to 0.97, like 1 other film")
    unknown = Candidate("unknown", None, {"a": -5.0})
    assert choose([*agreed, unknown], [], 1)[0].film.startswith("agreed")


def test_a_patient_comes_once_and_nothing_gives_nothing() -> None:
    films = [Candidate(f"film-{i}", 0.5 + i / 100, {}, "one patient") for i in range(4)]
    assert [one.film for one in choose(films, [], 4)] == ["film-0"]
    assert choose([], [], 4) == []


def test_films_of_a_folder_are_asked_for_so_many_a_day_and_never_twice() -> None:
    segmenter = Segmenter.load("lungs-nano")
    records = [_record(segmenter, seed) for seed in range(4)]
    saved = [
        _correction("phantom-1", "2026-11-26T08:00:00+00:00"),
        _correction("elsewhere", "2026-11-25T08:00:00+00:00"),
    ]

    day = date(2026, 11, 26)
    assert len(next_films(records, saved, most=3, today=day)) == 2
    all_of_them = next_films(records, saved, most=10, today=day)
    assert {one.film for one in all_of_them} == {"phantom-0", "phantom-2", "phantom-3"}
    assert all(one.why.startswith("Dice perhaps 0.") for one in all_of_them)
    assert next_films(records, saved, most=1, today=day) == []


def test_it_says_what_more_corrections_may_gain() -> None:
    saved = [_correction(f"film-{i}", "2026-11-26T08:00:00+00:00") for i in range(6)]
    tested = replace(saved[0], film="another", split="test")
    assert worth([*saved, saved[0], tested]).startswith(
        "6 corrected films to learn from; at a hospital that was new to the model, 10 gained 0.0"
    )
    assert "was not measured" in worth([replace(saved[0], film=f"film-{i}") for i in range(99)])


def test_a_record_without_estimates_is_a_candidate_too() -> None:
    record = _record(Segmenter.load("lungs-nano"), 0)
    bare = candidate_of(replace(record, estimated_dice=None, estimated_dice_bound=None, estimates={}))
    assert bare.trust is None
    assert bare.looks
    assert "not estimated" in choose([bare], [], 1)[0].why


def _record(segmenter: Segmenter, seed: int) -> DoneRecord:
    return record_of(segmenter(phantom(192, 192, seed=seed).film), f"phantom-{seed}", [], [], {})


def _correction(film: str, when: str) -> Correction:
    return Correction(
        number=1,
        film=film,
        verdict="right",
        who="somebody",
        when=when,
        model=ModelOfCorrection("lungs", "1", "0" * 64),
        patient="p",
        split="train",
        height=192,
        width=192,
    )
