"""A plan lists every film once, with its state, and unavailable films; it does not overwrite an existing plan."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from edge_seg.archive import sources, store
from edge_seg.archive.contents import Archive, PlannedFilm
from edge_seg.archive.planning import plan
from edge_seg.errors import DeviceError, InputError, OutputError, UsageError
from pyarrow import fs, parquet


def films_of(address: Path) -> list[PlannedFilm]:
    archive = Archive(str(address))
    return [film for shard in range(archive.settings.shards) for film in archive.films(shard)]


def put(path: Path, text: str = "film") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_folders_globs_and_files_each_film_once(tmp_path: Path) -> None:
    films = tmp_path / "films"
    wanted = [put(films / name) for name in ("a.png", "b/1.dcm", "b/c/2.tif")]
    other = put(tmp_path / "more" / "x1.jpg")
    put(films / "notes.txt")
    put(films / "walk.mp4")
    put(films / ".hidden.png")
    (films / "pipe.png").unlink(missing_ok=True)
    os.mkfifo(films / "pipe.png")
    pattern = str(tmp_path / "more" / "*.jpg")
    made = plan([str(films), pattern, str(other)], str(tmp_path / "out"), films_per_shard=2)
    found = films_of(tmp_path / "out")
    assert [film.number for film in found] == list(range(5))
    assert [film.source for film in found if film.problem is None] == [*map(str, wanted), str(other)]
    assert [film.size for film in found if film.problem is None] == [4] * 4
    assert found[1].modified_ns == wanted[1].stat().st_mtime_ns or found[1].problem
    (problem,) = [film for film in found if film.problem]
    assert "pipe" in str(problem.problem)
    assert (made.settings.films, made.settings.shards, made.problems, made.passed_over) == (5, 3, 1, 2)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_list_names_films_beside_it_and_elsewhere(tmp_path: Path, ending: str) -> None:
    inside, outside = put(tmp_path / "lists" / "a, b.png"), put(tmp_path / "2.png")
    given = ["a, b.png", str(outside), "gone.png"]
    path = tmp_path / "lists" / f"films.{ending}"
    if ending == "csv":
        path.write_text("id,source\n" + "".join(f'{number},"{name}"\n' for number, name in enumerate(given)))
    else:
        parquet.write_table(pa.table({"id": [1, 2, 3], "source": given}), path)
    plan([str(path)], str(tmp_path / "out"))
    found = films_of(tmp_path / "out")
    assert [film.source for film in found] == [str(inside), str(outside), str(tmp_path / "lists" / "gone.png")]
    assert [film.problem is None for film in found] == [True, True, False]


def test_what_makes_no_sense_is_refused_in_a_line(tmp_path: Path) -> None:
    put(tmp_path / "films" / "a" / "1.png")
    put(tmp_path / "list.csv", "name\n1.png\n")
    (tmp_path / "empty").mkdir()
    films, out = str(tmp_path / "films"), str(tmp_path / "out")
    for given, kind, words in (
        ([films, f"{films}/a"], UsageError, "lies in"),
        ([f"{films}/gone"], InputError, "no such file"),
        ([str(tmp_path / "empty")], InputError, "no films"),
        ([str(tmp_path / "list.csv")], InputError, "no column"),
        (["s3://key:secret@bucket/films"], UsageError, "environment"),
        (["ftp://host/films"], UsageError, "give a path"),
    ):
        with pytest.raises(kind, match=words) as caught:
            plan(given, out)
        assert "secret" not in str(caught.value)
    for shard in (0, 100_001):
        with pytest.raises(UsageError, match="per shard"):
            plan([films], out, films_per_shard=shard)
    with pytest.raises(UsageError, match="planned"):
        Archive(out)


def test_a_plan_that_was_cut_short_is_begun_anew_and_a_whole_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "films" / "1.png")
    films, out = [str(tmp_path / "films")], str(tmp_path / "out")

    def full(path: Path, *parts: bytes) -> None:
        raise OutputError(f"{path}: no space")

    with monkeypatch.context() as patched:
        patched.setattr(store, "write_atomically", full)
        with pytest.raises(OutputError):
            plan(films, out)
    # Left over from a longer plan that was never finished.
    put(tmp_path / "out" / "manifest" / "part-00000007.parquet")
    plan(films, out)
    assert len(films_of(tmp_path / "out")) == 1
    assert [path.name for path in (tmp_path / "out" / "manifest").iterdir()] == ["part-00000000.parquet"]
    with pytest.raises(UsageError, match="planned there already"):
        plan(films, out)


def test_a_folder_that_holds_records_of_another_archive_is_refused(tmp_path: Path) -> None:
    films, other, out = put(tmp_path / "films" / "1.png"), put(tmp_path / "other" / "2.png"), tmp_path / "out"
    plan([str(films)], str(out))
    part = put(out / "records" / "part-00000000.parquet", "a part of the first archive")
    (out / "archive.json").unlink()
    with pytest.raises(UsageError, match=r"holds records of another archive: .* remove records/"):
        plan([str(other)], str(out))
    assert part.read_text() == "a part of the first archive"
    assert list((out / "manifest").iterdir())
    shutil.rmtree(out / "records")
    plan([str(other)], str(out))
    assert [film.source for film in films_of(out)] == [str(other)]


def test_a_film_of_a_searched_container_is_planned_under_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = fs._MockFileSystem()
    system.create_dir("films/2024/may")
    for name in ("x.png", "may/y.png"):
        with system.open_output_stream(f"films/2024/{name}") as file:
            file.write(b"film")
    monkeypatch.setattr(sources, "filesystem_of", lambda address: (system, "films/2024"))
    address = "abfs://films@clinic.dfs.core.windows.net/2024"
    plan([f"{address}/"], str(tmp_path / "out"))
    assert [film.source for film in films_of(tmp_path / "out")] == [f"{address}/x.png", f"{address}/may/y.png"]


def test_a_store_that_is_down_plans_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def get_file_info(self, wanted: object) -> None:
            raise OSError("Could not connect to server")

    monkeypatch.setattr(sources, "filesystem_of", lambda address: (Down(), "films"))
    with pytest.raises(DeviceError, match="Could not connect"):
        plan(["s3://films"], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("late", [b"seen", b"R\xf6ntgen"])
def test_a_column_that_is_not_read_is_not_checked(tmp_path: Path, late: bytes) -> None:
    path, given = tmp_path / "list.csv", [f"https://pacs/studies/1/series/1/instances/{n}" for n in range(30_000)]
    rows = [f"{address},".encode() + (late if n >= 29_000 else b"") for n, address in enumerate(given)]
    path.write_bytes(b"\n".join([b"source,remark", *rows]))
    assert [found.source for found in sources.Films([str(path)])] == given


def test_a_root_that_is_not_utf8_is_a_problem_of_its_films(tmp_path: Path) -> None:
    good = put(tmp_path / "good.png")
    try:
        bad = put(tmp_path / "R\udcf6ntgen.png")
        put(tmp_path / "B\udcf6den" / "1.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    plan([str(bad), str(good)], str(tmp_path / "out"))
    first, second = films_of(tmp_path / "out")
    assert (second.source, second.problem) == (str(good), None)
    assert first.source == str(tmp_path / r"R\xf6ntgen.png")
    assert str(first.problem) == f"{first.source}: its path is not UTF-8: rename it"
    found = list(sources.Films([str(tmp_path / "B\udcf6den"), str(tmp_path / "R*.png")]))
    assert [one.problem is not None for one in found] == [True, True]
