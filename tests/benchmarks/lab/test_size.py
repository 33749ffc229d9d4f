"""The size of the code is counted as a reader would count it."""

from __future__ import annotations

from pathlib import Path

from edge_seg_lab.size import LONG, Size, size_of, sizes


def function(lines: int) -> str:
    return "\n".join(["def f():", *["    x = 1"] * (lines - 1), ""])


def test_a_function_is_long_from_one_line_over_the_limit_on() -> None:
    assert size_of(function(LONG)).long_functions == 0
    assert size_of(function(LONG + 1)) == Size(LONG + 1, 0, 1)


def test_packages_are_counted_by_name_and_tests_beside_them(tmp_path: Path) -> None:
    for path in ("edge/edge_seg/cli", "train/edge_seg_train", "tests"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "edge/edge_seg/cli/a.py").write_text("a: dict[str, Any]\nb: dict[str, Any]\n")
    (tmp_path / "edge/edge_seg/b.py").write_text("c = 1\n")
    (tmp_path / "tests/test_a.py").write_text("d = 1\n")
    assert sizes(tmp_path) == {"edge_seg": Size(3, 2, 0), "edge_seg_train": Size(), "tests": Size(1, 0, 0)}
