"""mkdocs hooks that add the files outside `docs` to which its pages link.

Pages (`deploy/README.md`, ...) keep their path; other files (schemas, examples, ...) go below `files/`.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file that a page links to, following the links of added pages."""
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        page = waiting.pop()
        for path, _ in _LINK.findall(page.content_string):
            target = _target(page.src_uri, path)
            where = _place(target)
            if where is None or files.get_file_from_path(where):
                continue
            source = ROOT / target
            if not source.is_file():
                # mkdocs reports the broken link and its page.
                continue
            added = File.generated(config, where, content=source.read_bytes())
            if added.is_documentation_page():
                added = File.generated(config, where, content=source.read_text())
                waiting.append(added)
            files.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to the files' places in the site."""

    def moved(match: re.Match[str]) -> str:
        where = _place(_target(page.file.src_uri, match[1]))
        if where is None:
            return match[0]
        return f"]({relpath(where, dirname(page.file.src_uri) or '.')}{match[2] or ''})"

    return _LINK.sub(moved, markdown)


def _target(page: str, path: str) -> str:
    """The target of a link, as a path in the repository."""
    inside = (ROOT / "docs" / page).is_file()
    return normpath(join("docs" if inside else "", dirname(page), path))


def _place(target: str) -> str | None:
    """A repository file's path in the site; `None` for a folder."""
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if not (ROOT / target).is_file():
        return None
    return target if target.endswith((".md", ".png", ".svg")) else f"files/{target}"
