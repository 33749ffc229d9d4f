"""An archive in an object store: a part appears when its upload is complete; of two racing parts, one is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from edge_seg.archive.contents import Archive, part_name
from edge_seg.archive.engines import run
from edge_seg.archive.exports import export
from edge_seg.archive.planning import plan
from edge_seg.archive.state import status
from edge_seg.errors import DeviceError, UsageError

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}

# Killed when all of a part is sent, but before the upload is complete.
KILLED = """
import os, signal, sys
from edge_seg.archive import store
from edge_seg.archive.engines import run
class Stream:
    def __init__(self, inner): self.inner = inner
    def __enter__(self): return self
    def __exit__(self, *error): os.kill(os.getpid(), signal.SIGKILL)
    def write(self, data): self.inner.write(data); self.inner.flush()
class System:
    def __init__(self, inner): self.inner = inner
    def __getattr__(self, name): return getattr(self.inner, name)
    def open_output_stream(self, path): return Stream(self.inner.open_output_stream(path))
opened = store.filesystem_of
store.filesystem_of = lambda address: (System(opened(address)[0]), opened(address)[1])
run(sys.argv[1], workers=1)
"""


@pytest.fixture(scope="module")
def bucket(few_films: Path) -> Iterator[str]:
    """URL of a bucket on this machine that holds the films."""
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patched = pytest.MonkeyPatch()
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
        patched.setenv(name, value)
    store = boto3.client("s3")
    store.create_bucket(Bucket="films")
    for path in sorted(few_films.iterdir())[:3]:
        store.upload_file(str(path), "films", f"in/a b#%41/{path.name}")
    store.put_object(Bucket="films", Key="in/notes.txt", Body=b"no film")
    yield "s3://films"
    patched.undo()
    server.stop()


def test_plan_kill_resume_race_and_export(bucket: str, few_films: Path, tmp_path: Path) -> None:
    address = f"{bucket}/archive"
    made = plan([f"{bucket}/in"], address, model="lungs-nano", gate=False, films_per_shard=2)
    assert (made.settings.films, made.settings.shards, made.passed_over) == (3, 2, 1)
    archive = Archive(address)
    assert archive.films(0)[0].source == f"{bucket}/in/a b#%41/0.png"
    with pytest.raises(UsageError, match="planned there already"):
        plan([f"{bucket}/in"], address)
    with pytest.raises(UsageError, match="planned with model"):
        run(address, model="lungs")

    killed = subprocess.run([sys.executable, "-c", KILLED, address], env=dict(os.environ), timeout=200)
    assert killed.returncode == -signal.SIGKILL
    assert archive.parts() == {}

    with ThreadPoolExecutor(2) as racers:
        counts = [racer.result() for racer in [racers.submit(run, address, workers=1) for _ in range(2)]]
    assert sum(one.films for one in counts) >= 3
    assert sorted(archive.store.list("records")) == [part_name(0), part_name(1)]
    found = status(address)
    assert (found.films_done, found.failed, found.shards_done) == (3, 0, 2)

    assert export(address, tmp_path / "out", masks="png").films == 3
    lines = [line for path in sorted(tmp_path.glob("out/*/records.jsonl")) for line in path.read_text().splitlines()]
    planned = [film.source for shard in range(2) for film in archive.films(shard)]
    assert [json.loads(line)["source"] for line in lines] == planned
    local = tmp_path / "local"
    plan([str(few_films)], str(local), model="lungs-nano", gate=False)
    run(str(local), workers=1)
    export(str(local), tmp_path / "same", masks="png", where="number < 3")
    masks = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*/*.png")}
    assert masks == {path.name: path.read_bytes() for path in (tmp_path / "same").glob("*/*.png")}
    assert len(masks) == 12


def test_a_store_that_is_down_fails_no_film(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "archive")
    plan([f"{bucket}/in"], address, model="lungs-nano", gate=False)
    with monkeypatch.context() as patched:
        # No service has port 9; the films are read in processes of their own, which inherit this.
        patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(DeviceError, match="cannot be read"):
            run(address, workers=1)
    assert Archive(address).parts() == {}
    counts = run(address, workers=1)
    assert (counts.films, counts.failed) == (3, 0)


def test_a_film_that_has_changed_in_the_store_fails(bucket: str) -> None:
    boto3 = pytest.importorskip("boto3")
    address = f"{bucket}/changed"
    plan([f"{bucket}/in/a b#%41/0.png"], address, model="lungs-nano")
    boto3.client("s3").put_object(Bucket="films", Key="in/a b#%41/0.png", Body=b"another")
    counts = run(address, workers=1)
    assert counts.failed == 1
    assert "has changed since it was planned" in counts.problems[0]
