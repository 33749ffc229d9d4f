"""The one-file model: a TFLite flatbuffer, followed by a zip with manifest, card, licence and pictures.

Any TFLite interpreter opens the file, and `unzip -l` lists the zip: TFLite metadata stores associated files in the same
way. No interpreter sees the flatbuffer before its checksum is verified.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from edge_seg.errors import ModelError
from edge_seg.structures import Structure
from edge_seg.typed_json import parse_object, read_fields

MANIFEST_NAME = "edge_seg.json"
CARD_NAME = "MODEL_CARD.md"
LICENCE_NAME = "LICENSE"
COMPILED_NAME = "edge_tpu.tflite"
"""The same network, compiled for the Edge TPU; optional."""
OUTPUTS = ("sigmoid", "softmax")
ARGMAX = "argmax"
"""Output of networks made by other programs: the class index, 0 being the background."""
MANIFEST_SUFFIX = ".edge_seg.json"
"""Suffix of a manifest beside a network that contains none: `unet.edge_seg.json` beside `unet.tflite`."""
SCHEMA = 1
KINDS_OF_FILM = ("chest",)
"""Kinds of film that a model can expect; the film gate supports each of them."""

MOST_STRUCTURES = 255
"""Class numbers in segmentation masks are 8 bits wide."""

LARGEST_INPUT = 4096
"""Pixels per side; larger than any network for these devices."""

LARGEST_FILE = 1 << 30
"""Bytes of a model file, and of its unpacked contents; larger files are refused before they are read."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _is_file_name(name: str) -> bool:
    """Whether a structure's name can be part of a file name."""
    return bool(name) and name.isprintable() and not set(name) & set('/\\:*?"<>|') and name.strip(". ") == name


class NoManifestError(ModelError):
    """A TFLite network without a manifest: another program made it, or the end of the file is missing."""


@dataclass(frozen=True)
class OtherNetwork:
    """What a manifest says about a network made by another program.

    Attributes:
        output_index: which of its outputs is the segmentation, from 0.
        probabilities: whether that output is after its sigmoid or softmax; `None` decides by the operator behind it.
    """

    output_index: int = 0
    probabilities: bool | None = None


@dataclass(frozen=True)
class Manifest:
    """What a model is, what it expects, and how well it does.

    Attributes:
        name, version: identity, as shown on every record.
        structures: the outputs, in the order of the network's output channels.
        input_height, input_width, input_channels: of the input tensor.
        mean, std: the network sees `(grey / 255 - mean) / std`.
        output: `sigmoid`: one logit per structure, structures may overlap; `softmax`: one per class, the background
            first; or `argmax`: the class index.
        quantisation: `float32`, `float16` (weights only), `dynamic` (int8 weights, float32 between), `int8-ptq` or
            `int8-qat`.
        thresholds: per structure, the probability above which a pixel belongs to it.
        single_component: whether only the largest piece of each structure is kept.
        expects: kind of film that the film gate accepts (`chest`); empty means no gate.
        network: the configuration the network was built from.
        training: data sets, splits, licences, code version, command.
        scores: one entry per data set and region: `{dataset, split, region, metric, mean, low, high, n, ...}`.
        checks: what acceptance measured.
        trust: calibration of the trust score; `None` without one.
        gate: classifier of what the network saw, see `assessment.kinds`; `None` without one.
        edge_tpu: compiler, outcome and checksum of the network compiled for the Edge TPU; `None` without one.
        flatbuffer_sha256: checksum (hex) of the flatbuffer.
        other: facts about a network made by another program; `None` for one made by edge-seg.
    """

    name: str
    version: str
    structures: tuple[Structure, ...]
    input_height: int
    input_width: int
    input_channels: int = 1
    mean: float = 0.0
    std: float = 1.0
    output: str = "sigmoid"
    quantisation: str = "float32"
    thresholds: tuple[float, ...] = ()
    single_component: bool = False
    expects: str = ""
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    scores: tuple[dict[str, Any], ...] = ()
    checks: dict[str, Any] = field(default_factory=dict)
    trust: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None
    edge_tpu: dict[str, Any] | None = None
    flatbuffer_sha256: str = ""
    other: OtherNetwork | None = None

    @property
    def output_channels(self) -> int:
        """Channels of the output that the segmenter reads; the first channel of a softmax is the background.

        Raises:
            ModelError: this version does not support the kind of output.
        """
        if self.output not in (*OUTPUTS, ARGMAX):
            raise ModelError(f"{self.name}: output {self.output!r} is unknown: update edge-seg")
        return len(self.structures) + (self.output == "softmax")

    @property
    def input_shape(self) -> tuple[int, int]:
        """`(height, width)` of the model's input."""
        return self.input_height, self.input_width

    @property
    def adapted_from(self) -> str | None:
        """Name and version of the model that a device adapted it from; `None` if it was not adapted."""
        facts = self.training.get("adaptation")
        before = facts.get("adapted_from") if isinstance(facts, dict) else None
        return f"{before.get('name')} {before.get('version')}" if isinstance(before, dict) else None

    def to_json(self) -> str:
        """The manifest as stored in the file."""
        fields = asdict(self)
        if self.other is None:
            # Older versions refuse unknown fields.
            del fields["other"]
        return json.dumps({"schema": SCHEMA, **fields}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = MANIFEST_NAME) -> Manifest:
        """Read a manifest.

        Raises:
            ModelError: not JSON, an unknown schema, a field that is missing, unknown or of the wrong type, or a value
                that no model can have.
        """
        try:
            raw = parse_object(text)
            schema = raw.pop("schema", None)
            if schema != SCHEMA:
                raise ModelError(f"{where}: manifest schema {schema!r} is unknown: update edge-seg")
            manifest = read_fields(cls, raw)
            manifest._check_values()
        except ValueError as error:
            raise ModelError(
                f"{where}: the manifest cannot be read ({error}): fetch or make the model again"
            ) from error
        return manifest

    def _check_values(self) -> None:
        """Raise a ValueError that names the first field whose value makes no sense."""
        names = [structure.name for structure in self.structures]
        checks = {
            "name": bool(self.name.strip()) and self.name.isprintable(),
            "structures": 0 < len(names) == len(set(names)) <= MOST_STRUCTURES and all(map(_is_file_name, names)),
            "structures.colour": all(_COLOUR.fullmatch(structure.colour) for structure in self.structures),
            "input_height": 0 < self.input_height <= LARGEST_INPUT,
            "input_width": 0 < self.input_width <= LARGEST_INPUT,
            "input_channels": self.input_channels in (1, 3),
            "std": self.std > 0,
            "thresholds": len(self.thresholds) in (0, len(names)) and all(0 < t < 1 for t in self.thresholds),
            "flatbuffer_sha256": not self.flatbuffer_sha256 or bool(_SHA256.fullmatch(self.flatbuffer_sha256)),
            "expects": not self.expects or self.expects in KINDS_OF_FILM,
        }
        for field_name, holds in checks.items():
            if not holds:
                raise ValueError(f"{field_name} makes no sense")


@dataclass(frozen=True)
class ModelFile:
    """A model whose checksum has been verified.

    Attributes:
        manifest: what it is.
        flatbuffer: the TFLite model itself.
        card: the model card, Markdown.
        licence: licence text.
        path: the file it was read from, if any.
        associated: all other files in the zip, bytes by name, kept unchanged (TFLite metadata's associated files).
    """

    manifest: Manifest
    flatbuffer: bytes = field(repr=False)
    card: str = field(default="", repr=False)
    licence: str = field(default="", repr=False)
    path: Path | None = None
    associated: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """Size in bytes of its file, or of the file it would produce."""
        return self.path.stat().st_size if self.path else len(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file's bytes: flatbuffer, then zip. The same model gives the same bytes."""
        manifest = replace(self.manifest, flatbuffer_sha256=hashlib.sha256(self.flatbuffer).hexdigest())
        file = io.BytesIO(self.flatbuffer)
        texts = {MANIFEST_NAME: manifest.to_json(), CARD_NAME: self.card, LICENCE_NAME: self.licence}
        with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (*((name, text.encode()) for name, text in texts.items()), *self.associated.items()):
                if content:
                    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "model", path: Path | None = None) -> ModelFile:
        """Read a model file and verify it.

        Raises:
            ModelError: the manifest is missing or wrong, or the checksum differs.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = archive.namelist()
                if MANIFEST_NAME not in names:
                    raise NoManifestError(f"{where}: {_NO_MANIFEST}")
                entries = archive.infolist()
                if sum(entry.file_size for entry in entries) > LARGEST_FILE:
                    raise ModelError(f"{where}: what it packs is over {LARGEST_FILE >> 20} MB: fetch or make it again")
                if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
                    raise ModelError(f"{where}: damaged, or packed by another program: fetch or make it again")
                start = min(entry.header_offset for entry in entries)
                files = {name: archive.read(name) for name in names}
            texts = {name: files.pop(name, b"").decode() for name in (MANIFEST_NAME, CARD_NAME, LICENCE_NAME)}
        # ValueError and RuntimeError: a flipped bit makes zipfile seek before the file, or ask for a password.
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
            if isinstance(error, zipfile.BadZipFile) and data[4:8] == b"TFL3":
                raise NoManifestError(f"{where}: {_NO_MANIFEST}") from error
            raise ModelError(f"{where}: damaged, or not an edge-seg model ({error}): fetch or make it again") from error
        manifest = Manifest.from_json(texts[MANIFEST_NAME], where)
        flatbuffer = data[:start]
        found = hashlib.sha256(flatbuffer).hexdigest()
        if found != manifest.flatbuffer_sha256:
            raise ModelError(
                f"{where}: damaged: SHA-256 is {found[:12]}..., the manifest says "
                f"{manifest.flatbuffer_sha256[:12]}...: fetch or make it again"
            )
        return cls(manifest, flatbuffer, texts[CARD_NAME], texts[LICENCE_NAME], path, files)

    @classmethod
    def read(cls, model: str | Path, manifest: Path | None = None) -> ModelFile:
        """Read a shipped model by name (`lungs`) or any model by path.

        Args:
            model: name or path.
            manifest: of a network that contains none; by default the one beside it (`MANIFEST_SUFFIX`), if present.

        Raises:
            ModelError: there is no such model, it is damaged, or the manifest belongs to another network.
            NoManifestError: it has no manifest.
        """
        path = find_model(model)
        shipped = shipped_models()
        if like := get_close_matches(str(model), shipped, 1) if not path.exists() else []:
            raise ModelError(f"no model is called {model}: did you mean {like[0]}?")
        try:
            if path.is_file() and path.stat().st_size > LARGEST_FILE:
                raise ModelError(f"{path}: over {LARGEST_FILE >> 20} MB is too large for a model: give a model file")
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{path}: cannot be read ({error.strerror}): give a model file, or one of: {', '.join(shipped)}"
            ) from error
        beside = path.with_suffix(MANIFEST_SUFFIX)
        try:
            file = cls.from_bytes(data, str(path), path)
        except NoManifestError:
            if manifest is None and not beside.is_file():
                raise
            return _with_manifest(data, path, manifest or beside)
        if manifest is not None:
            raise ModelError(f"{path}: holds a manifest of its own: leave {manifest} out")
        return file


_NO_MANIFEST = (
    "no manifest in this file: it is another program's network, or its end is missing; for the former let `edge-seg "
    "inspect --write-manifest` draft one"
)


def _with_manifest(flatbuffer: bytes, path: Path, source: Path) -> ModelFile:
    """Another program's network with the manifest from a separate file."""
    try:
        text = source.read_text()
    except (OSError, ValueError) as error:
        raise ModelError(f"{source}: cannot be read ({error}): give a manifest (JSON)") from error
    manifest = Manifest.from_json(text, str(source))
    found = hashlib.sha256(flatbuffer).hexdigest()
    if manifest.flatbuffer_sha256 not in ("", found):
        raise ModelError(
            f"{source}: is the manifest of another network than {path} (SHA-256 {found[:12]}...): draft anew"
        )
    manifest = replace(manifest, flatbuffer_sha256=found, other=manifest.other or OtherNetwork())
    return ModelFile(manifest, flatbuffer, path=path)


def shipped_models() -> dict[str, Path]:
    """The models that come with the package, by name."""
    folder = Path(str(resources.files("edge_seg"))) / "models"
    return {path.stem: path for path in sorted(folder.glob("*.tflite"))}


def find_model(model: str | Path) -> Path:
    """Path of a shipped model's name, or the path itself."""
    return shipped_models().get(str(model), Path(model))
