"""Makes the wheel and the source distribution for a package index, from what git tracks.

    python -m edge_seg_lab.distributions --home https://example.org/radiology/edge-seg --out dist

An index shows the README alone, away from the repository: its pictures and links are made absolute, to the files under
the version's tag, and the metadata say where the project lives.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edge_seg.version import __version__

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"(!?)\[([^\]\n]*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")
_TABLE = "[project.scripts]"


def main(arguments: list[str] | None = None) -> None:
    """Copy, set the home address, build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, help="address of the repository, as a browser opens it")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for both distributions")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as folder:
        copy_tracked(ROOT, Path(folder))
        point_home(Path(folder), given.home)
        build = [sys.executable, "-m", "build", "--outdir", str(given.out.resolve()), folder]
        subprocess.run(build, check=True)


def copy_tracked(checkout: Path, folder: Path) -> None:
    """Copy the files that git tracks, as they are now.

    Raises:
        subprocess.CalledProcessError: it is not a checkout.
    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (checkout / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, folder / name)


def point_home(folder: Path, home: str) -> None:
    """Write the address of the project into the metadata of a copy, and make its README's links absolute."""
    readme, metadata = folder / "README.md", folder / "pyproject.toml"
    readme.write_text(absolute_links(readme.read_text(), home))
    text = metadata.read_text()
    assert text.count(_TABLE) == 1, f"pyproject.toml has no {_TABLE}"
    home = home.rstrip("/")
    urls = {
        "Homepage": home,
        "Documentation": f"{home}/blob/v{__version__}/docs/index.md",
        "Changelog": f"{home}/blob/v{__version__}/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }
    lines = "".join(f'{name} = "{url}"\n' for name, url in urls.items())
    metadata.write_text(text.replace(_TABLE, f"[project.urls]\n{lines}\n{_TABLE}"))


def absolute_links(markdown: str, home: str) -> str:
    """Markdown with its relative links and pictures pointing to this version's files in the repository.

    >>> absolute_links("![film](docs/film.png)", "https://example.org/edge-seg/").split("/v")[0]
    '![film](https://example.org/edge-seg/raw'
    """

    def absolute(link: re.Match[str]) -> str:
        picture, text, target = link.groups()
        kind = "raw" if picture else "blob"
        return f"{picture}[{text}]({home.rstrip('/')}/{kind}/v{__version__}/{target})"

    return _LINK.sub(absolute, markdown)


if __name__ == "__main__":
    main()
