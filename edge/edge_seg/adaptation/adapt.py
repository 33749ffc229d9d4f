"""Adapts a model to the corrections in a folder of results, or says why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from edge_seg.adaptation.decoder import Decoder, find_decoder, shipped_parameters, with_parameters
from edge_seg.adaptation.examples import Encoder, Outlined
from edge_seg.adaptation.gate import FEWEST_PATIENTS, LEAST, LEVEL, TOLERANCE, Judgement, judge, missing_patients
from edge_seg.adaptation.kept import KeptModels
from edge_seg.adaptation.learning import Example, Settings, learn
from edge_seg.adaptation.status import (
    ACCEPTED,
    NOTHING_NEW,
    REFUSED,
    TAKEN_BACK,
    TOO_FEW,
    Status,
    keep_status,
    read_status,
)
from edge_seg.corrections import CorrectedFilm, Corrections
from edge_seg.errors import InputError, OutputError, UsageError
from edge_seg.film import Film
from edge_seg.model_file import COMPILED_NAME, ModelFile, shipped_models
from edge_seg.outputs.lock import FolderLock
from edge_seg.storage import sweep_drafts

MOST_FILMS = 200
"""Newest films that are learned from; more take memory (0.4 MB each) and add little, see the learning curve."""

Told = Callable[[int, int, float], None]


def adapt(results: Path, asked: ModelFile, *, again: bool = False, told: Told = lambda *_: None) -> Status:
    """Adapt a model to the corrections in a folder of results; if the new model is accepted, it runs from then on.

    Args:
        results: folder of results.
        asked: the shipped model, or any other to adapt. It is adapted from scratch each time: what was learned before
            is learned again, and nothing drifts.
        again: whether to learn again even if nothing was corrected since the last time.
        told: called with the passes over the films done, their total, and the mean loss.

    Raises:
        InputError: there are no corrections, or a file of them cannot be read.
        ModelError: this model cannot be adapted on the device.
        OutputError: the model cannot be written.
    """
    films = _corrected(results)
    with _alone(KeptModels(results).folder):
        return _adapted(results, films, asked, again, told)


def go_back(results: Path) -> str:
    """Make the previous model run again from the next start on, and return its name.

    The same corrections are not learned from again until there are new ones.

    Raises:
        UsageError: there is no previous model.
        OutputError: it cannot be written.
    """
    name, status = KeptModels(results).go_back(), read_status(results)
    if status is not None:
        why = f"from the next start on {name} runs again"
        keep_status(results, replace(status, when=_now(), outcome=TAKEN_BACK, why=why, model=""))
    return name


def model_of_corrections(results: Path) -> str:
    """Name of the shipped model whose outlines were corrected last: any other would be adapted but never run.

    Raises:
        InputError: there are no corrections.
        UsageError: that model does not ship.
    """
    newest = max(_corrected(results), key=lambda film: film.correction.number)
    name = newest.correction.model.name
    if name not in shipped_models():
        raise UsageError(
            f"outlines of {name} were put right here, which is no model that ships: give its file (--model)"
        )
    return name


def _corrected(results: Path) -> Sequence[CorrectedFilm]:
    films = Corrections(results).films()
    if not films:
        raise InputError(f"{results}: nothing was corrected here yet: edge-seg correct {results}")
    return films


def _adapted(results: Path, films: Sequence[CorrectedFilm], asked: ModelFile, again: bool, told: Told) -> Status:
    newest = max(film.correction.number for film in films)
    before = read_status(results)
    sha256 = asked.manifest.flatbuffer_sha256
    if before is not None and (before.last_correction, before.asked) == (newest, sha256) and not again:
        return replace(
            before,
            outcome=NOTHING_NEW,
            why=f"nothing was corrected since {before.when}, {before.outcome}: {before.why}",
        )
    decoder = find_decoder(asked.flatbuffer)
    test = [film for film in films if film.split == "test"]
    patients = {film.correction.patient for film in test}
    learned = sorted((film for film in films if film.split != "test"), key=lambda film: film.correction.number)
    if not learned or missing_patients(patients):
        return keep_status(results, Status(_now(), TOO_FEW, _too_few(len(patients)), newest, sha256))
    kept = KeptModels(results)
    running, version = kept.in_place_of(asked), kept.next_version(asked)
    adapted = learn_from(asked, decoder, _OnDemand(learned[-MOST_FILMS:]), version, told)
    judgement = judge(asked, running, adapted, _OnDemand(test))
    if not judgement.accepted:
        return keep_status(
            results, Status(_now(), REFUSED, f"{judgement.why}; {_named(running)} stays", newest, sha256)
        )
    path = kept.keep(with_judgement(adapted, judgement), asked)
    why = f"{_named(adapted)} takes the place of {_named(running)}: {judgement.why}"
    return keep_status(results, Status(_now(), ACCEPTED, why, newest, sha256, path.name))


def learn_from(
    asked: ModelFile, decoder: Decoder, films: Iterable[Outlined], version: str, told: Told = lambda *_: None
) -> ModelFile:
    """The model adapted to outlined films; nothing is decided about it yet."""
    encoder, examples, patients = Encoder(asked, decoder), list[Example](), list[str]()
    for film in films:
        examples.append(encoder.example(film))
        patients.append(film.patient)
    start = shipped_parameters(decoder, asked.flatbuffer)
    parameters = learn(decoder, start, examples, Settings.for_films(len(examples)), told)
    return adapted_model(asked, with_parameters(decoder, asked.flatbuffer, parameters), version, patients)


def adapted_model(asked: ModelFile, flatbuffer: bytes, version: str, patients: Sequence[str]) -> ModelFile:
    """The model file of an adapted network, without the measurements of the original model.

    The calibration of its estimated Dice stays, for low-trust warnings; it yields no reported number, see `Segmenter`.

    Args:
        asked: the model that was adapted.
        flatbuffer: the adapted network.
        version: of the new model.
        patients: one for each film that it learned from.
    """
    before = asked.manifest
    facts = {
        "adapted_from": {"name": before.name, "version": before.version, "sha256": before.flatbuffer_sha256},
        "films": len(patients),
        "patients": len(set(patients)),
        "when": _now(),
    }
    of_before = {"calibrated_for": f"{before.name} {before.version}"}
    manifest = replace(
        before,
        version=version,
        scores=(),
        checks={},
        trust=before.trust and {**before.trust, "facts": {**before.trust.get("facts", {}), **of_before}},
        edge_tpu=None,
        training={**before.training, "adaptation": facts},
        flatbuffer_sha256="",
    )
    text = (
        f"Adapted on a device from {before.name} {before.version} by {len(patients)} corrected films. "
        "Its estimated Dice is withheld: it was calibrated for the model before.\n\n"
    )
    files = {name: data for name, data in asked.associated.items() if name != COMPILED_NAME}
    model = ModelFile(manifest, flatbuffer, f"# {before.name} {version}\n\n{text}", asked.licence, None, files)
    return ModelFile.from_bytes(model.to_bytes())


def with_judgement(adapted: ModelFile, judgement: Judgement) -> ModelFile:
    """The model with the judgement and its criteria in the manifest."""
    rule = {"level": LEVEL, "tolerance": TOLERANCE, "least": LEAST, "fewest_patients": FEWEST_PATIENTS}
    return replace(adapted, manifest=replace(adapted.manifest, checks={**judgement.to_json(), **rule}))


def _named(model: ModelFile) -> str:
    return f"{model.manifest.name} {model.manifest.version}"


def _too_few(patients: int) -> str:
    missing = max(0, FEWEST_PATIENTS - patients)
    if missing:
        return (
            f"too few corrections: {patients} of {FEWEST_PATIENTS} patients to test on are there, {missing} more are "
            f"needed; one patient in four is kept for testing, so correct films of about {4 * missing} more"
        )
    return "too few corrections: all are of patients to test on; correct films of others"


class _OnDemand(Collection[Outlined]):
    """Corrected films, each read when needed: two hundred large ones would fill the memory."""

    def __init__(self, films: Sequence[CorrectedFilm]) -> None:
        self._films = films

    def __len__(self) -> int:
        return len(self._films)

    def __iter__(self) -> Iterator[Outlined]:
        return map(_outlined, self._films)

    def __contains__(self, film: object) -> bool:
        return any(film == one for one in self)


def _outlined(film: CorrectedFilm) -> Outlined:
    pixels = Film(film.image(), film.name, "corrections")
    return Outlined(film.name, film.correction.patient, pixels, film.masks())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other adaptations of the same folder from running meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_drafts(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}): choose another folder") from error
    lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
