"""A station's configuration file: checks names, and refuses secrets that others may read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_seg.errors import UsageError
from edge_seg.station.settings import Key, Values


def read_settings(path: Path, keys: Iterable[Key]) -> Values:
    """Read the settings in a file; names are checked, values are not yet.

    Args:
        path: TOML file.
        keys: all known settings.

    Raises:
        UsageError: it cannot be read, is not TOML, or names an unknown setting.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror}): give a TOML file") from error
    except ValueError as error:
        raise UsageError(f"is no TOML file ({error}): see docs/reference/service.md") from error
    known: dict[str, list[str]] = {}
    for key in keys:
        known.setdefault(key.group, []).append(key.name)
    for group, settings in values.items():
        _refuse_unknown(group, known)
        if not isinstance(settings, dict):
            raise UsageError(f"{group}: is a group: write its settings below [{group}]")
        for name in settings:
            _refuse_unknown(name, known[group], f"{group}.")
    return values


def _refuse_unknown(name: str, known: Iterable[str], prefix: str = "") -> None:
    if name in known:
        return
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {prefix}{near[0]}?" if near else f"there are {', '.join(prefix + each for each in known)}"
    raise UsageError(f"{prefix}{name}: there is no such key: {hint}")


def secrets_among(values: Values, keys: Iterable[Key]) -> list[str]:
    """Names of the given settings that only the owner may read."""
    return [f"{key.group}.{key.name}" for key in keys if key.setting.secret and key.name in values.get(key.group, {})]


def refuse_shared_secrets(path: Path, secrets: Sequence[str]) -> None:
    """Ensure that only its owner may read a file that holds secrets.

    Raises:
        UsageError: others may read it.
    """
    if secrets and os.name == "posix" and path.stat().st_mode & 0o077:
        raise UsageError(f"holds secrets ({', '.join(secrets)}) and others may read it: chmod 600 {path}")
