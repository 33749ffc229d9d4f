"""Turns a report of `pip install --dry-run` into pinned requirements with checksums, without our own wheel."""

from __future__ import annotations

import json
import sys
from pathlib import Path

for entry in sorted(json.loads(Path(sys.argv[1]).read_text())["install"], key=lambda one: str(one["metadata"]["name"])):
    name, version = entry["metadata"]["name"], entry["metadata"]["version"]
    if name != "edge-seg":
        print(f"{name}=={version} --hash=sha256:{entry['download_info']['archive_info']['hashes']['sha256']}")
