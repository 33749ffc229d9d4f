"""How to install more of edge-seg here: from where it came, since no package index has it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit


def pip_install(*words: str) -> str:
    """The command that installs packages for the running Python, whichever `pip` the shell would find."""
    beside = Path(sys.executable).with_name("pip")
    found = shutil.which("pip")
    here = found is not None and os.path.realpath(Path(found).parent) == os.path.realpath(beside.parent)
    pip = "pip" if here else f"{shlex.quote(sys.executable)} -m pip"
    return " ".join([pip, "install", *words])


def install_command(extra: str = "", *, anew: bool = False) -> str:
    """The command that installs edge-seg with an extra.

    An installation from a checkout or a file is repeated from there (`direct_url.json`, PEP 610).

    Args:
        extra: `clinic`, for example; empty for none.
        anew: whether to reinstall what is already installed.
    """
    source, editable = _source()
    wanted = shlex.quote(f"{source}[{extra}]") if extra else shlex.quote(source)
    return pip_install(*["--force-reinstall"] * anew, *["--editable"] * editable, wanted)


def _source() -> tuple[str, bool]:
    """Where this installation came from, and whether it follows a checkout."""
    try:
        noted = json.loads(importlib.metadata.distribution("edge-seg").read_text("direct_url.json") or "{}")
        address = urlsplit(noted["url"])
        editable = bool(noted.get("dir_info", {}).get("editable"))
    except (importlib.metadata.PackageNotFoundError, KeyError, ValueError):
        return "edge-seg", False
    place = Path(unquote(address.path))
    return (str(place), editable) if address.scheme == "file" and _is_there(place) else ("edge-seg", False)


def _is_there(place: Path) -> bool:
    """Whether a path exists; assumed so if permission is denied, as for a service in its installer's home."""
    try:
        return place.exists()
    except PermissionError:
        return True
