"""Results folders with corrected phantoms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from edge_seg.corrections import Corrections, Judgement, ModelOfCorrection
from edge_seg.corrections.store import KEY_NAME
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom

Draw = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

# Patients are hashed with a random key: with this one, 5 of the first 14 are used for testing.
_KEY = b"a" * 64


@pytest.fixture(scope="session")
def nano() -> ModelFile:
    """The shipped model that learns fastest."""
    return ModelFile.read("lungs-nano")


@pytest.fixture(scope="session")
def learns_quickly() -> Iterator[None]:
    """Phantoms need fewer training passes than films."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_seg.adaptation.learning._LOOKS", 60)
        patch.setattr("edge_seg.adaptation.learning._PASSES", 1)
        yield


@pytest.fixture(scope="session")
def correct(nano: ModelFile) -> Callable[..., None]:
    """Correct `count` phantoms in a results folder, with outlines changed by `draw`, by default unchanged."""

    def corrected(results: Path, count: int = 14, draw: Draw = lambda masks: masks) -> None:
        store, model = Corrections(results), nano.manifest
        store.folder.mkdir()
        (store.folder / KEY_NAME).write_bytes(_KEY)
        for seed in range(count):
            made = phantom(144, 144, seed=seed)
            judgement = Judgement(
                verdict="corrected",
                who="somebody",
                model=ModelOfCorrection(model.name, model.version, model.flatbuffer_sha256),
                image=made.film.pixels,
                masks=draw(made.masks),
                patient=f"patient {seed}",
            )
            store.save(f"film-{seed}", judgement)

    return corrected
