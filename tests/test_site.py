"""The documentation as a site: it builds without a warning, has every page, and loads nothing from other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material")
    made = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(made)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return made


@pytest.mark.slow
def test_each_page_of_the_index_is_a_page_of_the_site(site: Path) -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [ROOT / "docs" / path for path in re.findall(r"\]\(([^)#]*\.md)", index)]
    assert len(pages) > 20
    for page in pages:
        source = page.resolve()
        inside = source.relative_to(ROOT / "docs" if "docs" in source.relative_to(ROOT).parts[:1] else ROOT)
        made = site / inside.with_suffix(".html")
        assert (made.with_name("index.html") if inside.name == "README.md" else made).is_file(), source


@pytest.mark.slow
def test_every_file_that_a_page_shows_or_leads_to_is_there(site: Path) -> None:
    missing = []
    for page in site.rglob("*.html"):
        for path in re.findall(r'(?:href|src)="(?!\w+:|#|//)([^"#?]+)', page.read_text()):
            target = site / path.lstrip("/") if path.startswith("/") else page.parent / path
            if not target.exists():
                missing.append((page.name, path))
    assert missing == []


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loads = r"""<(script|img|iframe)[^>]* src="(https?:)?//|<link[^>]* rel="(stylesheet|preload)"[^>]* href="https?:"""
    # The theme would fetch the code that draws these from a content delivery network.
    loads += r"""|class="mermaid\""""
    assert {page.name: found for page in site.rglob("*.html") if (found := re.findall(loads, page.read_text()))} == {}
