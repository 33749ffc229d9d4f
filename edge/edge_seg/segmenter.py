"""The segmenter: one film in, one segmentation out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from edge_seg import pixels
from edge_seg.assessment.appearance import load_appearance
from edge_seg.assessment.film_gate import REJECT, WARN, Finding, Quality, look_at_film, look_at_masks
from edge_seg.assessment.measurements import Area, Measurements, measure, measure_areas
from edge_seg.assessment.sides import DISAGREE, MIRRORED, look_at_sides
from edge_seg.assessment.trust import LOW_TRUST, Calibration, lung_features
from edge_seg.errors import ModelError, UsageError
from edge_seg.film import Film, inverted
from edge_seg.inspection.flatbuffer import read_graph
from edge_seg.inspection.tensors import ends_in_probabilities
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.runtime import Runtime
from edge_seg.runtime.adapted import AdaptedRuntime
from edge_seg.runtime.edge_tpu import cpu_runtime, open_runtime
from edge_seg.structures import (
    Structure,
    lung_definitions,
    regions,
    visible_lungs,
    with_definition,
)

_Result = TypeVar("_Result")
_Segmenter = TypeVar("_Segmenter", bound="Segmenter")


@dataclass(frozen=True)
class Segmentation:
    """What was found on one film. Research use only, not for diagnosis.

    Attributes:
        film: the film, its polarity corrected where the gate found it wrong.
        masks: per structure, bool `(film height, film width)`; empty where the gate rejected the film.
        measurements: areas, widths and ratios, in mm and cm2 where the film's spacing is known.
        timings_ms: `decode`, `pixels_in`, `gate`, `inference`, `pixels_out`, `trust`, `measure`.
        manifest: of the model that ran.
        runtime, delegate, threads: what really ran it.
        warnings: what a reader of the result should know.
        quality: what the gate found on the film and its outlines.
        gate: whether there was a gate to find anything.
        trust: estimated Dice of the lungs, `None` where the model has no calibration or the film was rejected.
        trust_bound: Dice that nine films of ten like this one reach; `None` where the calibration has no bound.
        trust_features: what the estimate is made from, empty where the model outlines no lungs.
        lung: definition of lung that the masks follow, `whole`, `visible`, or `own` where the model's structures have
            one of their own; `None` where they are of something else.
    """

    film: Film
    masks: dict[str, np.ndarray] = field(repr=False)
    measurements: Measurements
    timings_ms: dict[str, float]
    manifest: Manifest = field(repr=False)
    runtime: str
    delegate: str
    threads: int
    warnings: tuple[str, ...] = ()
    quality: Quality = field(default_factory=Quality)
    gate: bool = False
    trust: float | None = None
    trust_bound: float | None = None
    trust_features: dict[str, float] = field(default_factory=dict, repr=False)
    lung: str | None = None

    @property
    def regions(self) -> dict[str, np.ndarray]:
        """The masks and the regions derived from them (`whole_lung`, `visible_lung`)."""
        return regions(self.masks, self.lung or "whole")

    @property
    def low_trust(self) -> bool:
        """Whether the Dice may be so low that no measurement is to be used unchecked."""
        return self.quality.has("low-trust")

    @property
    def areas(self) -> dict[str, Area]:
        """Per structure and derived region, in pixels, and in cm2 where the film's spacing is known."""
        return self.measurements.areas

    @property
    def structures(self) -> tuple[Structure, ...]:
        """What the masks are, in the model's order, by the definition of lung they follow."""
        named = self.manifest.structures
        return with_definition(named, "visible") if self.lung == "visible" else named


class Segmenter:
    """Segments films with one model on one runtime.

    Args:
        model: a checked model file.
        runtime: what runs it; by default the first engine installed.
        lung: definition of lung the masks shall follow: `whole`, or `visible`, which leaves the cardiomediastinum out;
            by default the model's first.
        gate: whether films that the model does not expect are rejected; without it whatever comes is segmented.

    Raises:
        ModelError: manifest and network disagree about shapes.
        UsageError: the model cannot give lungs of that definition.

    >>> import numpy as np
    >>> from edge_seg.segmenter import Segmenter
    >>> result = Segmenter.load("lungs")(np.zeros((480, 640), np.uint8))
    >>> result.masks["right_lung"].shape
    (480, 640)
    """

    def __init__(
        self, model: ModelFile, runtime: Runtime | None = None, *, lung: str | None = None, gate: bool = True
    ) -> None:
        self.manifest = manifest = model.manifest
        self.lung = _definition(manifest, lung)
        self._calibration = _calibration(manifest)
        self._appearance = load_appearance(manifest.expects) if gate and manifest.expects else None
        self.runtime = runtime = _adapted(runtime or cpu_runtime(model), model)
        expected = (1, *manifest.input_shape, manifest.input_channels)
        outputs = (1, *manifest.input_shape, manifest.output_channels)
        if runtime.input.shape != expected or runtime.output.shape != outputs:
            raise ModelError(
                f"{manifest.name}: the manifest says {expected} -> {outputs}, the network is "
                f"{runtime.input.shape} -> {runtime.output.shape}: make the model again"
            )
        for spec in (runtime.input, runtime.output):
            if spec.dtype not in ("int8", "uint8", "float32") or (spec.scale is not None and not spec.scale > 0):
                raise ModelError(
                    f"{manifest.name}: a {spec.dtype} tensor of scale {spec.scale} goes in or out, "
                    "int8, uint8 and float32 are supported: convert the model again"
                )
        taken = runtime.input
        self._table = pixels.input_table(manifest.mean, manifest.std, taken.scale, taken.zero_point, taken.dtype)

    @property
    def gate(self) -> bool:
        """Whether films are looked at before they are segmented."""
        return self._appearance is not None

    @classmethod
    def load(
        cls: type[_Segmenter],
        model: str | Path = "lungs",
        *,
        threads: int | None = None,
        engine: str | None = None,
        lung: str | None = None,
        gate: bool = True,
        delegate: str = "auto",
        manifest: Path | None = None,
    ) -> _Segmenter:
        """A segmenter for a shipped model (by name) or a model file (by path); see `runtime.edge_tpu.open_runtime`.

        `manifest` is that of another program's network; see `ModelFile.read`.

        Raises:
            ModelError: no such model, or damaged.
            DeviceError: no engine to run it.
            UsageError: the model cannot give lungs of that definition.
        """
        file = ModelFile.read(model, manifest)
        runtime = open_runtime(file, delegate, threads=threads, engine=engine)
        return cls(file, runtime, lung=lung, gate=gate)

    def __call__(self, film: Film | np.ndarray) -> Segmentation:
        """Segment a film, or the pixels of one: `(height, width)` uint8 or uint16, bone white.

        Raises:
            InputError: an array that is no film.
        """
        taken = film if isinstance(film, Film) else Film(np.asarray(film))
        clock = _Stopwatch()
        grey, letterbox = clock.time("pixels_in", lambda: pixels.to_input(taken, self.manifest.input_shape))
        quality = clock.time("gate", lambda: self._look(taken, grey[letterbox.content]))
        if quality.has("inverted"):
            taken = inverted(taken)
            grey, letterbox = pixels.to_input(taken, self.manifest.input_shape)
        if quality.verdict == REJECT:
            masks = {structure.name: np.zeros(taken.shape, bool) for structure in self.manifest.structures}
            clock.ms.update(inference=0.0, pixels_out=0.0, trust=0.0, measure=0.0)
            # The same keys as ever, so that whoever asks for an area gets 0 and not an error.
            empty = measure_areas(masks, taken.spacing_mm, self.lung or "whole")
            measurements, sure = Measurements(empty, {}, {}), {}
        else:
            output = clock.time("inference", lambda: self.runtime.run(self._tensor(grey)))
            logits, masks = clock.time("pixels_out", lambda: self._decode(output, letterbox))
            sure = clock.time("trust", lambda: self._trust_features(logits, letterbox))
            if self._appearance is not None:
                shown = {name: mask[taken.upright.box] for name, mask in masks.items()}
                sides = self._look_at_sides(taken, quality, logits[letterbox.content], grey[letterbox.content])
                quality = Quality((*quality.findings, *look_at_masks(shown).findings, *sides))
            sure_of_sides = not (quality.has(MIRRORED) or quality.has(DISAGREE))
            measurements = clock.time(
                "measure", lambda: measure(masks, taken, self.lung or "whole", sides=sure_of_sides)
            )
        trust = self._calibration.estimate(sure) if self._calibration and sure else None
        bound = self._calibration.bound(sure) if self._calibration and sure else None
        if trust is not None and (trust if bound is None else bound) < LOW_TRUST:
            least = "" if bound is None else f", perhaps {bound:.2f}"
            low = f"low trust, estimated Dice {trust:.2f}{least}: check the outlines and every number taken from them"
            quality = Quality((*quality.findings, Finding("low-trust", WARN, low)))
        return Segmentation(
            film=taken,
            masks=masks,
            measurements=measurements,
            timings_ms={"decode": taken.decode_ms, **clock.ms},
            manifest=self.manifest,
            runtime=self.runtime.name,
            delegate=self.runtime.delegate,
            threads=self.runtime.threads,
            warnings=(
                *self.runtime.notes,
                *taken.warnings,
                *(finding.text for finding in quality.findings),
                *measurements.notes,
            ),
            quality=quality,
            gate=self.gate,
            trust=trust,
            trust_bound=bound,
            trust_features=sure,
            lung=self.lung,
        )

    def look(self, film: Film) -> Quality:
        """What the gate finds on a film before it is segmented; nothing where there is no gate."""
        grey, letterbox = pixels.to_input(film, self.manifest.input_shape)
        return self._look(film, grey[letterbox.content])

    def prepare(self, film: Film) -> tuple[np.ndarray, pixels.Letterbox]:
        """The model's input tensor for a film, and where the film lies in it."""
        grey, letterbox = pixels.to_input(film, self.manifest.input_shape)
        return self._tensor(grey), letterbox

    def logits(self, output: np.ndarray) -> np.ndarray:
        """Logits of the structures' probabilities, `(height, width, structures)` float32, of an output tensor."""
        spec, raw = self.runtime.output, output[0]
        if spec.scale is not None:
            raw = (raw.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
        return pixels.structure_logits(raw, self.manifest.output)

    def _tensor(self, grey: np.ndarray) -> np.ndarray:
        return pixels.to_tensor(grey, self._table, self.manifest.input_channels)

    def _trust_features(self, logits: np.ndarray, letterbox: pixels.Letterbox) -> dict[str, float]:
        names = [structure.name for structure in self.manifest.structures]
        if not lung_definitions(self.manifest.structures):
            return {}
        lungs = [names.index("right_lung"), names.index("left_lung")]
        return lung_features(logits[letterbox.content][:, :, lungs])

    def _look_at_sides(self, film: Film, quality: Quality, logits: np.ndarray, grey: np.ndarray) -> tuple[Finding, ...]:
        if self._appearance is None or quality.has(MIRRORED):
            return ()
        names = tuple(structure.name for structure in self.manifest.structures)
        return look_at_sides(logits, names, grey, self._appearance, header_known=film.orientation_known)

    def _look(self, film: Film, grey: np.ndarray) -> Quality:
        return look_at_film(film, grey, self._appearance) if self._appearance is not None else Quality()

    def _decode(self, output: np.ndarray, letterbox: pixels.Letterbox) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits of an output tensor, and the masks at the film's own size."""
        logits = self.logits(output)
        manifest = self.manifest
        thresholds = manifest.thresholds or (0.5,) * len(manifest.structures)
        masks = pixels.to_masks(logits, letterbox, thresholds, manifest.single_component)
        named = {structure.name: mask for structure, mask in zip(manifest.structures, masks, strict=True)}
        derived = self.lung is not None and self.lung != lung_definitions(manifest.structures)[0]
        return logits, visible_lungs(named) if derived else named


def _adapted(runtime: Runtime, model: ModelFile) -> Runtime:
    """The runtime itself, or behind a translation of its tensors where another program made the network."""
    other = model.manifest.other
    if isinstance(runtime, AdaptedRuntime):
        return runtime
    if other is None and "uint8" not in (runtime.input.dtype, runtime.output.dtype):
        return runtime
    probabilities = other.probabilities if other else None
    if probabilities is None:
        graph = read_graph(model.flatbuffer)
        probabilities = ends_in_probabilities(graph, other.output_index if other else 0)
    return AdaptedRuntime(runtime, model.manifest, probabilities)


def _calibration(manifest: Manifest) -> Calibration | None:
    if manifest.trust is None:
        return None
    try:
        return Calibration.from_json(manifest.trust)
    except ValueError as error:
        raise ModelError(f"{manifest.name}: the manifest cannot be used ({error}): make the model again") from error


def _definition(manifest: Manifest, lung: str | None) -> str | None:
    known = lung_definitions(manifest.structures)
    if lung is None:
        return known[0] if known else None
    if lung not in known:
        raise UsageError(
            f"{manifest.name} gives no lungs of the definition {lung!r}: "
            + (f"choose from {', '.join(known)}" if known else "it outlines other structures")
        )
    return lung


class _Stopwatch:
    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], _Result]) -> _Result:
        start = time.perf_counter()
        result = work()
        self.ms[stage] = round((time.perf_counter() - start) * 1000, 3)
        return result
