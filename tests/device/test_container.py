"""The Dockerfile's steps, run one by one on a fresh Debian without a container engine; see `conftest.py` for setup.

Python's image is Debian trixie with its own Python in place of Debian's, which has the same version.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(3600)]

CHECKOUT = Path(__file__).parents[2]
STEPS = [
    (word, rest)
    for word, _, rest in (
        line.partition(" ") for line in (CHECKOUT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    )
    if word.isupper()
]
PATHS = "/opt/edge-seg/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def done(root: Path, command: str) -> None:
    script = f"export PATH={PATHS} DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 HOME=/root; {command}"
    ran = subprocess.run(["chroot", str(root), "/bin/bash", "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, f"{command}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"


@pytest.fixture(scope="module")
def container(fresh_system: Path) -> dict[str, str]:
    """Result of the steps: the last value of each instruction, with the file system that they made."""
    done(fresh_system, "apt-get -qq update && apt-get -qq install --yes --no-install-recommends python3-venv")
    done(fresh_system, 'test "$(python3 -c "import sys; print(sys.version_info[1])")" = 13')
    done(fresh_system, "ln -s /usr/bin/python3 /usr/local/bin/python")
    folder = "/"
    for word, rest in STEPS:
        if word == "WORKDIR":
            folder = rest
            done(fresh_system, f"mkdir -p {rest}")
        elif word == "COPY" and not rest.startswith("--from"):
            *sources, target = shlex.split(rest)
            for source in sources:
                path, place = CHECKOUT / source, fresh_system / folder.strip("/") / target
                if path.is_dir():
                    shutil.copytree(path, place, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
                else:
                    shutil.copy(path, place)
        elif word == "RUN":
            done(fresh_system, f"cd {folder} && {rest}")
    return {**dict(STEPS), "root": str(fresh_system)}


def test_it_serves_as_its_user_and_says_that_it_is_well(container: dict[str, str]) -> None:
    command = shlex.join(json.loads(container["ENTRYPOINT"]) + json.loads(container["CMD"]))
    health = shlex.join(json.loads(container["HEALTHCHECK"].partition("CMD ")[2]))
    as_user = f"export PATH={PATHS} HOME=/var/lib/edge-seg; cd /var/lib/edge-seg; exec setpriv --reuid edge-seg \
--regid edge-seg --init-groups bash -c"
    root = shlex.quote(container["root"])
    script = f"""
        ip link set lo up
        chroot {root} bash -c {shlex.quote(f"{as_user} {shlex.quote(f'exec {command}')}")} & service=$!
        for _ in $(seq 300); do
            chroot {root} bash -c {shlex.quote(f"{as_user} {shlex.quote(health)}")} 2>/dev/null && well=yes && break
            sleep 1
        done
        kill -TERM $service; wait $service; [ $? = 130 ] && [ "$well" = yes ]
    """
    ran = subprocess.run(["unshare", "--net", "bash", "-c", script], capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (Path(container["root"]) / "var/lib/edge-seg/results").stat().st_uid == 10001
