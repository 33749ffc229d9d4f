"""Names of results: unique to each film and stable across restarts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

_LONGEST = 160
"""In bytes; longer stems are cut: file systems allow 255 for a name, and a structure and suffix follow."""

# What FAT (the SD card in the device) and POSIX do not allow in a name.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')


class Names:
    """Gives each film in an output folder its own stem.

    The first film called `chest.png` becomes `chest`. Another of that name, or the same path with other content,
    becomes `chest-` plus eight digits of a checksum of its source and content. Names ignore case, as on the file
    systems of memory cards.

    Args:
        known: gives the owner of a stem from an earlier run, `None` if it has none.
    """

    def __init__(self, known: Callable[[str], str | None] = lambda stem: None) -> None:
        self._known = known
        self._owners: dict[str, str] = {}

    def claim(self, stem: str, owner: str) -> None:
        """Mark a stem as taken."""
        self._owners[stem.casefold()] = owner

    def release(self, stem: str) -> None:
        """Forget a stem that `known` now has, so that a station that runs for years does not hold every name."""
        self._owners.pop(stem.casefold(), None)

    def stem(self, name: str, owner: str) -> str:
        """The stem of a film.

        Args:
            name: the film's name, with its extension.
            owner: identity of the film, see `owner_of`.
        """
        plain = plain_stem(name)
        mark = hashlib.sha256(owner.encode(errors="surrogatepass")).hexdigest()
        short = plain.encode()[: _LONGEST - len(mark)].decode(errors="ignore")
        candidates = [plain] if len(plain.encode()) <= _LONGEST else []
        candidates += [f"{short}-{mark[:8]}", f"{short}-{mark}"]
        stem = next(c for c in candidates if self._owner(c, owner) == owner)
        self.claim(stem, owner)
        return stem

    def _owner(self, stem: str, otherwise: str) -> str:
        return self._owners.get(stem.casefold()) or self._known(stem) or otherwise


def owner_of(source: str, checksum: str | None, taken_at: str | None) -> str:
    """Identity of a film: its source, and its content or, for camera frames, its time."""
    return "\n".join((source, checksum or taken_at or ""))


def plain_stem(name: str) -> str:
    """A film's name without its extension, safe on every file system.

    >>> plain_stem("chest 1.png"), plain_stem("1.2.840.10008"), plain_stem("a:b.dcm")
    ('chest 1', '1.2.840.10008', 'a_b')
    """
    # The last part of a DICOM UID is not an extension.
    stem = name if Path(name).suffix[1:].isdigit() else Path(name).stem
    return _FORBIDDEN.sub("_", stem).strip(" .") or "film"
