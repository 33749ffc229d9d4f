"""Outputs: whole files, one line per film, names that never collide, overlays with the required text."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, cast

import cv2
import numpy as np
import pytest
from edge_seg import RESEARCH_USE, Film, InputError, OutputError, Segmenter, UsageError
from edge_seg.assessment.film_gate import Quality
from edge_seg.cli.progress import numbers
from edge_seg.film import Arrival, Failure
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.journal import Journal
from edge_seg.outputs.names import Names, owner_of, plain_stem
from edge_seg.outputs.overlay import LONGEST_SIDE, draw_overlay
from edge_seg.record import record_of_failure
from edge_seg.sources import Source, Together
from edge_seg.station import session
from edge_seg.station.session import Observer, Summary, run_session
from edge_seg.storage import write_atomically
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def segmenter(tiny_model):
    return Segmenter.load(tiny_model)


def film(name="chest.png", source=None, value=0, **known):
    pixels = np.full((40, 60), value, np.uint8)
    pixels[10:30, 20:50] = 250
    checksum = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Film(pixels, name=name, source=source or f"films/{name}", checksum=checksum, **known)


class Films(Source):
    """A source of given films."""

    def __init__(self, *arrivals):
        self.arrivals, self.total, self.closed = arrivals, len(arrivals), False

    def __iter__(self):
        for content in self.arrivals:
            yield None if content is None else Arrival(content, partial(self.settled, content))

    def settled(self, content, record):
        pass

    def close(self):
        self.closed = True


def failed(name):
    return record_of_failure(Failure(name, name, InputError(f"{name}: broken: send it again")))


def shown(folder):
    """Names in the output folder, except the program's own files."""
    return {path.name for path in folder.iterdir() if path.name != ".edge-seg"}


def lines(folder):
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


# --- whole files -----------------------------------------------------------------------------------------------------


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_ctrl_c_while_writing_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def stop(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.bin", b"old")]


def test_no_folder_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write_atomically(tmp_path / "absent" / "a.bin", b"")
    assert "\n" not in str(caught.value)


@settings(max_examples=25)
@given(cut=st.integers(0, 2000))
def test_a_torn_last_line_is_cut_off(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("torn")
    records = Journal(folder)
    for number in range(3):
        records.append(failed(str(number)).to_json())
    whole = records.path.read_bytes()
    records.path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = records.path.read_bytes().count(b"\n")
    again = Journal(folder)
    assert [record.name for record in again] == [str(number) for number in range(kept)]
    again.append(failed("9").to_json())
    assert [record.name for record in Journal(folder)] == [*(str(number) for number in range(kept)), "9"]


@pytest.mark.parametrize("content", ['{"mine": 1}\n', '{"mine": 1}', '{"mine": 1}\n{"mine": 2}'])
def test_records_of_another_program_are_left_alone(tmp_path, content):
    (tmp_path / "records.jsonl").write_text(content)
    (tmp_path / "records.jsonl").chmod(0o644)
    with pytest.raises(OutputError, match="line 1 is no record"):
        OutputFolder(tmp_path, names=True)
    assert (tmp_path / "records.jsonl").read_text() == content
    assert (tmp_path / "records.jsonl").stat().st_mode & 0o777 == 0o644


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(["a.png", "A.png", "a.dcm", "b.png", "x" * 300]), st.text(max_size=3))))
def test_no_two_films_share_a_stem_and_every_restart_gives_the_same(films):
    names = Names()
    stems = {item: names.stem(item[0], owner_of(item[1] + item[0], None, None)) for item in films}
    assert len({stem.casefold() for stem in stems.values()}) == len(stems)
    assert all(len(stem.encode()) <= 160 for stem in stems.values())
    restarted = Names()
    for (name, source), stem in stems.items():
        restarted.claim(stem, owner_of(source + name, None, None))
    for (name, source), stem in reversed(stems.items()):
        assert restarted.stem(name, owner_of(source + name, None, None)) == stem


@given(st.text(max_size=40))
def test_stems_are_safe_file_names(name):
    stem = plain_stem(name)
    assert stem
    assert not set(stem) & set('/\\:*?"<>|\0')
    assert not stem.startswith(".")


# --- the folder ------------------------------------------------------------------------------------------------------


def test_masks_overlay_and_record(tmp_path, segmenter):
    result = segmenter(film(spacing_mm=(5.0, 5.0), view="PA"))
    written = OutputFolder(tmp_path).write(result)
    record = json.loads(json.dumps(written.to_json()))
    names = shown(tmp_path)
    structures = ("right_lung", "left_lung", "cardiomediastinum")
    assert names == {*(f"chest.{s}.png" for s in structures), "chest.overlay.jpg", "records.jsonl"}
    for structure in structures:
        mask = cv2.imread(str(tmp_path / f"chest.{structure}.png"), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        assert mask.dtype == np.uint8
        assert mask.shape == (40, 60)
        assert set(np.unique(mask)) == {0, 255}
        assert np.array_equal(mask == 255, result.masks[structure])
    assert lines(tmp_path) == [record]
    assert record["schema"] == 1
    assert record["notice"] == RESEARCH_USE
    assert record["film"]["spacing_mm"] == [5.0, 5.0]
    assert record["areas"]["right_lung"]["cm2"] == round(int(result.masks["right_lung"].sum()) * 0.25, 2)
    stages = {"decode", "pixels_in", "gate", "inference", "pixels_out", "trust", "measure", "write"}
    assert set(record["timings_ms"]) == stages
    assert record["model"]["sha256"] == segmenter.manifest.flatbuffer_sha256
    assert record["runtime"].startswith("litert")
    assert record["delegate"] == "cpu"
    assert record["lung"] == "whole"
    columns = np.flatnonzero(result.masks["right_lung"].any(axis=0))
    across = int(columns[-1] - columns[0]) + 1
    # Measured on the outline, which is within half a pixel of each edge of the mask.
    thorax = record["widths"]["thorax"]
    assert thorax["mm"] == pytest.approx(across * 5.0, abs=5.0)
    assert thorax["pixels"] == round(thorax["mm"] / 5.0)
    assert record["ratios"] == {"left_to_right_area": 1.0, "cardiothoracic": 1.0}
    assert record["flagged"] == {}
    for file in record["files"]:
        data = (tmp_path / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_under_low_trust_every_measurement_is_flagged(tmp_path, lungs):
    noise = np.random.default_rng(0).integers(0, 256, (300, 280), np.uint8)
    result = Segmenter(lungs, gate=False)(Film(noise, spacing_mm=(0.5, 0.5)))
    assert result.low_trust
    written = OutputFolder(tmp_path).write(result)
    record = json.loads(json.dumps(written.to_json()))
    assert record["areas"].keys() >= {"right_lung", "left_lung", "cardiomediastinum", "whole_lung"}
    assert record["ratios"]
    assert record["flagged"] == {
        kind: dict.fromkeys(record[kind], "low trust") for kind in ("areas", "widths", "ratios")
    }
    assert numbers(written).endswith("(low trust)")
    drawn, plain = draw_overlay(result), draw_overlay(replace(result, quality=Quality()))
    first_row = slice(686, 706)  # under a film of 300 x 280 at 640 pixels wide
    assert (drawn[:686] == plain[:686]).all()
    assert (drawn[first_row] != plain[first_row]).any()


def test_only_what_was_asked(tmp_path, segmenter):
    OutputFolder(tmp_path, ["record"]).write(segmenter(film()))
    assert shown(tmp_path) == {"records.jsonl"}
    for products in (["mask", "picture"], []):
        with pytest.raises(UsageError, match="choose from mask, overlay, record"):
            OutputFolder(tmp_path / "b", products)


def test_overlays_are_jpeg_or_png(tmp_path, segmenter):
    result = segmenter(film())
    for kind, magic in (("jpg", b"\xff\xd8"), ("png", b"\x89PNG")):
        with closing(OutputFolder(tmp_path / kind, ["overlay"], overlay=kind)) as output:
            output.write(result)
        data = (tmp_path / kind / f"chest.overlay.{kind}").read_bytes()
        assert data.startswith(magic)
        seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        # A wrong channel order, or colour at half resolution, would differ more.
        assert seen is not None
        assert np.abs(seen.astype(int) - draw_overlay(result)).mean() < (2 if kind == "jpg" else 1e-9)
    with closing(OutputFolder(tmp_path / "png", ["overlay"])) as output:
        output.write(result)
    assert shown(tmp_path / "png") == {"chest.overlay.jpg", "records.jsonl"}
    with pytest.raises(UsageError, match="choose from jpg, png"):
        OutputFolder(tmp_path / "b", overlay="gif")


def test_films_of_one_name_keep_apart(tmp_path, segmenter):
    output = OutputFolder(tmp_path)
    first = output.write(segmenter(film(source="ward/chest.png")))
    second = output.write(segmenter(film(source="clinic/chest.png")))
    changed = output.write(segmenter(film(source="ward/chest.png", value=9)))
    again = output.write(segmenter(film(source="clinic/chest.png")))
    assert first.stem == "chest"
    assert len({first.stem, second.stem, changed.stem}) == 3
    assert again.stem == second.stem
    # Nor does each name stay in memory: the records have it.
    assert output._names._owners == {}
    output.close()
    assert OutputFolder(tmp_path).write(segmenter(film(source="clinic/chest.png"))).stem == second.stem


def test_camera_frames_of_another_day_keep_apart(tmp_path, segmenter):
    stems = []
    for day in ("2030-01-01", "2030-01-02"):
        output = OutputFolder(tmp_path)
        frame = replace(film("camera-000001.png", "camera 0"), checksum=None, taken_at=day)
        stems.append(output.write(segmenter(frame)).stem)
        assert not output.is_done(frame, segmenter.manifest.flatbuffer_sha256, "whole")
        output.close()
    assert stems[0] == "camera-000001"
    assert stems[1].startswith("camera-000001-")


def test_done_means_this_content_with_this_model_and_these_products_here(tmp_path, segmenter):
    model = segmenter.manifest.flatbuffer_sha256
    output = OutputFolder(tmp_path, ["mask"])
    assert not output.is_done(film(), model, "whole")
    output.write(segmenter(film()))
    assert output.is_done(film(), model, "whole")
    assert not output.is_done(film(value=7), model, "whole")
    assert not output.is_done(film(source="elsewhere/chest.png"), model, "whole")
    assert not output.is_done(film(), "another model", "whole")
    assert not output.is_done(film(), model, "visible")
    output.close()
    wider = OutputFolder(tmp_path, ["mask", "overlay"])
    assert not wider.is_done(film(), model, "whole")
    wider.close()
    (tmp_path / "chest.left_lung.png").unlink()
    assert not OutputFolder(tmp_path, ["mask"]).is_done(film(), model, "whole")


def test_a_later_failure_or_another_model_undoes_done(tmp_path, segmenter):
    model = segmenter.manifest.flatbuffer_sha256
    output = OutputFolder(tmp_path)
    output.write(segmenter(film()))
    other = replace(segmenter(film()), manifest=replace(segmenter.manifest, flatbuffer_sha256="f" * 64))
    output.write(other)
    assert not output.is_done(film(), model, "whole")
    output.write(segmenter(film()))
    assert output.is_done(film(), model, "whole")
    output.keep(record_of_failure(Failure("chest.png", "films/chest.png", InputError("gone: bring it back"))))
    assert not output.is_done(film(), model, "whole")


def test_one_run_at_a_time_and_drafts_of_killed_ones_are_swept(tmp_path):
    (tmp_path / ".abc.draft").write_bytes(b"half")
    output = OutputFolder(tmp_path)
    assert not (tmp_path / ".abc.draft").exists()
    with pytest.raises(OutputError, match="another run writes there"):
        OutputFolder(tmp_path)
    output.close()
    OutputFolder(tmp_path).close()


@pytest.mark.parametrize("kept", [None, "there before", "inbox/received/film.dcm"])
def test_an_error_leaves_no_folder_that_was_made_in_vain_and_keeps_what_holds_something(tmp_path, kept):
    folder = tmp_path / "new" / "results"
    if kept == "there before":
        folder.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(RuntimeError))
        stack.enter_context(OutputFolder(folder))
        (folder / "inbox" / "received").mkdir(parents=True)
        if kept is not None:
            write_atomically(folder / kept, b"a film")
        raise RuntimeError
    assert folder.parent.exists() == (kept is not None)
    assert kept is None or (folder / kept).read_bytes() == b"a film"


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_in_place_of_the_folder(tmp_path, inside):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="choose another"):
        OutputFolder(blocked / "sub" if inside else blocked)


# --- overlays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 60), (700, 500), (3000, 2000), (16, 4000), (4000, 16)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_overlays_of_every_shape(segmenter, shape, kind):
    pixels = np.linspace(0, np.iinfo(kind).max, shape[0] * shape[1]).reshape(shape).astype(kind)
    warnings = ("not a chest: " + "very long words " * 20,)
    picture = draw_overlay(segmenter(Film(pixels, name="Müller " * 30, warnings=warnings)))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.shape[1] <= LONGEST_SIDE
    assert picture.shape[1] >= 640


def test_the_outline_lies_on_the_edge_of_the_mask_in_the_structures_colour(segmenter):
    pixels = np.zeros((800, 1000), np.uint8)
    pixels[200:600, 300:700] = 255
    result = segmenter(Film(pixels))
    only = {name: np.zeros_like(mask) for name, mask in result.masks.items()}
    only["left_lung"][200:600, 300:700] = True
    picture = draw_overlay(replace(result, masks=only))[:800].astype(int)
    blue, green, red = (0x35, 0xB6, 0xFF)
    coloured = np.abs(picture - [blue, green, red]).max(axis=2) < 8
    ys, xs = np.nonzero(coloured)
    assert abs(ys.min() - 200) <= 2
    assert abs(ys.max() - 599) <= 2
    assert abs(xs.min() - 300) <= 2
    assert abs(xs.max() - 699) <= 2
    grey_outside = picture[:150]
    assert (grey_outside == grey_outside[:, :, :1]).all()


# --- the session -----------------------------------------------------------------------------------------------------


def test_a_session_goes_past_bad_films_and_skips_done_ones(tmp_path, segmenter):
    bad = Failure("bad.png", "films/bad.png", InputError("films/bad.png: empty: copy it again"))
    heard = []

    class Listening(Observer):
        def film(self, summary, content, record):
            heard.append((content.name, record))

    for run, (done, skipped) in enumerate([(2, 0), (0, 2)]):
        source = Films(film("a.png"), bad, film("b.png"))
        summary = run_session(source, segmenter, OutputFolder(tmp_path), [Listening()])
        assert (summary.done, summary.skipped, summary.failed) == (done, skipped, 1)
        assert summary.exit_code == 3
        assert source.closed
        assert len(heard) == 3 * (run + 1)
    assert [record["status"] for record in lines(tmp_path)] == ["done", "failed", "done", "failed"]
    assert lines(tmp_path)[1]["exit_code"] == 3
    assert run_session(Films(film("a.png")), segmenter, OutputFolder(tmp_path), again=True).done == 1


def test_ctrl_c_ends_a_session_with_what_is_done(tmp_path, segmenter):
    class Interrupted(Films):
        def __iter__(self):
            yield Arrival(film("a.png"))
            raise KeyboardInterrupt

    summary = run_session(Interrupted(), segmenter, OutputFolder(tmp_path))
    assert (summary.done, summary.interrupted, summary.exit_code) == (1, True, 130)
    assert [record["name"] for record in lines(tmp_path)] == ["a.png"]


def test_a_film_too_large_for_the_memory_is_a_failure_of_that_film(tmp_path, segmenter):
    class Full:
        manifest, lung, gate = segmenter.manifest, segmenter.lung, segmenter.gate

        def __call__(self, film):
            if film.name == "big.png":
                raise MemoryError
            return segmenter(film)

        def one_for_each_thread(self):
            return [self]

    summary = run_session(Films(film("big.png"), film("a.png")), cast(Segmenter, Full()), OutputFolder(tmp_path))
    assert (summary.done, summary.exit_code) == (1, 3)


def test_exit_codes_of_several_kinds_of_failure():
    def code_of(*errors):
        summary = Summary()
        for error in errors:
            failure = Failure("f", "f", error)
            summary.count_in(failure, record_of_failure(failure))
        return summary.exit_code

    assert code_of() == 0
    assert code_of(OutputError("x"), OutputError("y")) == 6
    assert code_of(OutputError("x"), InputError("y")) == 3


@pytest.mark.data
def test_real_films_become_overlays(films_folder, tmp_path, segmenter):
    from edge_seg.sources import read_film

    pictures = sorted((films_folder / "adult" / "images").iterdir())[:2]
    output = OutputFolder(tmp_path)
    for path in pictures:
        record = output.write(segmenter(read_film(path)))
        assert Path(tmp_path / f"{record.stem}.overlay.jpg").exists()


def test_an_endless_session_waits_for_a_disk_and_loses_nothing(tmp_path, segmenter, monkeypatch):
    monkeypatch.setattr(session, "RETRY_S", 0.05)

    class Endless(Films):
        endless = True
        told: ClassVar[list] = []

        def settled(self, content, record):
            self.told.append((content.name, record.status))
            if len(self.told) == 1:
                raise OutputError("inbox: full: free space")

    waited = []

    class Waiting(Observer):
        def waiting(self, error):
            waited.append(str(error))

    output, write = OutputFolder(tmp_path), OutputFolder.write_files

    def full(self, segmentation, stem):
        if len(waited) < 3:
            raise OutputError("disk: full: free space")
        return write(self, segmentation, stem)

    monkeypatch.setattr(OutputFolder, "write_files", full)
    source = Endless(film("a.png"), None, film("b.png"))
    summary = run_session(source, segmenter, output, [Waiting()])
    assert (summary.done, summary.exit_code) == (2, 0)
    assert waited == ["disk: full: free space"] * 3 + ["inbox: full: free space"]
    # Told again until it could take note, and each film successfully once.
    assert source.told == [("a.png", "done"), ("a.png", "done"), ("b.png", "done")]
    assert [record["name"] for record in lines(tmp_path)] == ["a.png", "b.png"]


def test_a_session_that_ends_stops_at_a_full_disk(tmp_path, segmenter, monkeypatch):
    def full(self, segmentation, stem):
        raise OutputError("disk: full: free space")

    monkeypatch.setattr(OutputFolder, "write_files", full)
    source = Films(film("a.png"))
    with pytest.raises(OutputError, match="full"):
        run_session(source, segmenter, OutputFolder(tmp_path))
    assert source.closed


def test_several_sources_are_taken_in_turn_and_each_hears_of_its_own(tmp_path, segmenter):
    class Told(Films):
        def __init__(self, *arrivals):
            super().__init__(*arrivals)
            self.told = []

        def settled(self, content, record):
            self.told.append(content.name)

    one, other = Told(film("a.png"), film("b.png"), film("c.png")), Told(None, film("d.png"))
    summary = run_session(Together([one, other]), segmenter, OutputFolder(tmp_path))
    assert summary.done == 4
    assert one.told == ["a.png", "b.png", "c.png"]
    assert other.told == ["d.png"]
    assert [record["name"] for record in lines(tmp_path)] == ["a.png", "b.png", "d.png", "c.png"]
    assert one.closed
    assert other.closed
