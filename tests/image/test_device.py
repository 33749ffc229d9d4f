"""A device out of the box: it starts from its image, takes films, and survives a power cut and wrong settings.

`make image-test` builds the image and runs this; elsewhere it is skipped.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from .conftest import Films, image_of
from .data_partition import copy_out, extent, results_of
from .judge import faults, settled
from .machine import TOKEN, make_card, read_errors, running, write_settings
from .power import read_log, replay

pytestmark = [pytest.mark.image, pytest.mark.slow, pytest.mark.timeout(3600)]

SETTINGS = (
    f'[device]\nname = "ward-1"\ntime_zone = "Africa/Nairobi"\n[view]\ntoken = "{TOKEN}"\n[retention]\nfree_gb = 0.1\n'
)


def test_out_of_the_box_through_a_power_cut_with_wrong_settings(tmp_path: Path, films: Films) -> None:
    image, card, log = image_of("amd64"), tmp_path / "card.img", tmp_path / "log"
    make_card(image, card, SETTINGS)
    before = tmp_path / "before.img"
    subprocess.run(["cp", "--sparse=always", card, before], check=True)
    with running("amd64", card, tmp_path, log) as machine:
        for seed in range(3):
            path = films.make(seed)
            assert machine.send(path)
            films.acknowledge(path)
        point = len(read_log(log))
        machine.wait_for(1)
        machine.picture(tmp_path / "console.png")
    assert extent(card)[1] > extent(image)[1], "the data partition has not grown"
    writes = read_log(log)
    # Any moment after the last acknowledgement.
    chance = random.Random()
    cut = chance.randint(point, len(writes))
    replay(log, writes, before, cut, chance)
    write_settings(before, SETTINGS.replace("token", "tokn"))
    with running("amd64", before, tmp_path) as machine:
        state = machine.wait_for(0)
        assert any("view.tokn: there is no such key" in line for line in state["problems"]), state["problems"]
        more = films.make(3)
        assert machine.send(more)
        films.acknowledge(more)
        machine.wait_for(1)
    assert "view.tokn" in read_errors(before)
    copy_out(before, tmp_path / "data.ext4")
    results = results_of(tmp_path / "data.ext4", tmp_path / "after")
    assert faults(results, films.acknowledged, films.sent) == [], f"cut at {cut} of {len(writes)}"
    assert all(count == 1 for count in settled(results).values())
