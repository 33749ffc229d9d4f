"""Plan, status and export take the same memory for ten times as many films."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Prints its peak memory in MB after each step.
STEPS = """
import json, resource, shutil, sys
from pathlib import Path
from edge_seg.archive import export, plan, status
from edge_seg.archive.contents import part_name
film, films, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
most = {}
def note(step):
    most[step] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
with open(folder / "list.csv", "w") as file:
    file.write("source\\n")
    file.writelines(f"{film}\\n" for _ in range(films))
made = plan([str(folder / "list.csv")], str(folder / "archive"), model="lungs-nano", gate=False, films_per_shard=1000)
note("plan")
(folder / "archive" / "records").mkdir()
for shard in range(made.settings.shards):
    shutil.copy(folder / "part", folder / "archive" / "records" / part_name(shard))
assert status(str(folder / "archive")).films_done == films
note("status")
assert export(str(folder / "archive"), folder / "out", where="number == 500", masks="png").films == films // 1000
note("export")
print(json.dumps(most))
"""


# Makes a part of 1,000 rows as a worker would, of one film's row.
PART = """
import sys
from contextlib import closing
from pathlib import Path
from edge_seg.archive.columns import Part, schema_of
from edge_seg.archive.contents import Archive
from edge_seg.archive.guard import Guard
archive = Archive(sys.argv[1])
with closing(Guard(archive)) as guard:
    row = guard.segment(archive.films(0)[0])
part = Part(schema_of(archive.settings, archive.model.manifest))
for number in range(1000):
    part.add({**row, "number": number})
Path(sys.argv[2]).write_bytes(part.finish(films=1000, rejected=0, failed=0))
"""


@pytest.mark.slow
def test_ten_times_the_films_take_the_same_memory(few_films: Path, archive: object, tmp_path: Path) -> None:
    most = []
    for films in (5_000, 50_000):
        folder = tmp_path / str(films)
        folder.mkdir()
        subprocess.run([sys.executable, "-c", PART, str(tmp_path / "archive"), str(folder / "part")], check=True)
        words = [str(few_films / "0.png"), str(films), str(folder)]
        done = subprocess.run([sys.executable, "-c", STEPS, *words], capture_output=True, text=True, check=True)
        most.append(json.loads(done.stdout))
    few, many = most
    for step in few:
        assert many[step] < few[step] + 40, most
