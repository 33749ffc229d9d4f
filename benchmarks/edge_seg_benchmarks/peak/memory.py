"""Memory that this process can still allocate: within the limits of the machine, its control group and the process."""

from __future__ import annotations

from pathlib import Path

import psutil

_PROCESS_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that can be allocated without swapping, failing or being killed: the least that any limit leaves."""
    left = [psutil.virtual_memory().available, *_left_by_groups()]
    limit = _address_space_limit()
    if limit is not None:
        left.append(limit - psutil.Process().memory_info().vms)
    return max(0, min(left))


def _address_space_limit() -> int | None:
    try:
        import resource
    except ImportError:  # systems without such limits
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _left_by_groups() -> list[int]:
    """Bytes that each enclosing control group leaves, in version 1 and 2 of control groups."""
    try:
        lines = _PROCESS_GROUPS.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root, limit, used = _GROUPS / "memory", "memory.limit_in_bytes", "total_rss"
        elif number == "0":
            root, limit, used = _GROUPS, "memory.max", "anon"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                found += _left_by(folder, limit, used)
    return found


def _left_by(folder: Path, limit: str, used: str) -> list[int]:
    try:
        # The page cache is freed when memory is short, so only anonymous memory counts as used.
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return [int((folder / limit).read_text()) - int(statistics[used])]
    except (OSError, ValueError, KeyError):  # no limit ("max"), or a group that cannot be seen from here
        return []
