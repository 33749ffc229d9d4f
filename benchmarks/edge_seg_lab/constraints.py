"""Writes `constraints.txt`: the tested version of everything that a clinic installs.

python -m edge_seg_lab.constraints constraints.txt    # in the checkout
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

_HEAD = """\
# Versions that edge-seg's tests ran with, for devices that must not change by themselves:
#   pip install --constraint constraints.txt '.[clinic]'
# Made by `python -m edge_seg_lab.constraints constraints.txt` on Python 3.11.
"""
_ONLY_FROM = {"numpy": "3.11"}
"""First Python that the version supports; older ones take what the package's own bounds allow."""


def closure(project: Path) -> dict[str, str]:
    """Version of each installed distribution that a clinic's device needs, by name.

    Args:
        project: the checkout's `pyproject.toml`.
    """
    stated = tomllib.loads(project.read_text())["project"]
    waiting = [*stated["dependencies"], *stated["optional-dependencies"]["clinic"]]
    found: dict[str, str] = {}
    while waiting:
        requirement = Requirement(waiting.pop())
        name = normal(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Not in the test environment yet.
            continue
        waiting += importlib.metadata.requires(name) or ()
    return found


def normal(name: str) -> str:
    """A distribution's name, normalised as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(path: Path) -> None:
    """Write the file."""
    lines = []
    for name, version in sorted(closure(Path("pyproject.toml")).items()):
        marker = f" ; python_version >= '{_ONLY_FROM[name]}'" if name in _ONLY_FROM else ""
        lines.append(f"{name}=={version}{marker}")
    path.write_text(_HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
