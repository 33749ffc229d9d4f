"""The segmenter: one film in, one segmentation out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edge_seg import pixels
from edge_seg.assessment.appearance import load_appearance
from edge_seg.assessment.doubt import LUNGS, Doubt, Estimate, lung_signals, signals
from edge_seg.assessment.film_gate import (
    REJECT,
    WARN,
    Finding,
    Quality,
    corrected,
    look_at_exposure,
    look_at_film,
    look_at_masks,
    look_at_pose,
)
from edge_seg.assessment.kinds import INVERTED, TURNED, Kinds
from edge_seg.assessment.measurements import Area, Measurements, measure, measure_areas
from edge_seg.assessment.sides import DISAGREE, MIRRORED, look_at_sides
from edge_seg.assessment.trust import LOW_TRUST
from edge_seg.errors import ModelError, UsageError
from edge_seg.film import Film, inverted
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.runtime import PooledRuntime, Runtime, TensorSpec, TFLiteRuntime
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
    """The result for one film. Research use only, not for diagnosis.

    Attributes:
        film: the film, its polarity corrected where the gate found it wrong.
        masks: per structure, bool `(film height, film width)`; all False if the gate rejected the film.
        measurements: areas, widths and ratios, in mm and cm2 where the film's spacing is known.
        timings_ms: `decode`, `pixels_in`, `gate`, `inference`, `pixels_out`, `trust`, `measure`.
        manifest: of the model that ran.
        runtime, delegate, threads: what actually ran it.
        warnings: what a reader of the result should know.
        quality: the gate's findings on the film and its outlines.
        gate: whether there was a gate.
        trust: estimated Dice of the lungs, `None` if the film was rejected, or the model has no calibration of its
            own, such as one adapted on a device.
        trust_bound: Dice that nine of ten films like this one reach; `None` if the calibration has no bound.
        estimates: estimated Dice and its bound for each structure and region that the model is calibrated for.
        lung: definition of lung that the masks follow, `whole`, `visible`, or `own` if the model's structures have
            one of their own; `None` if they are of something else.
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
    estimates: dict[str, Estimate] = field(default_factory=dict, repr=False)
    lung: str | None = None

    @property
    def regions(self) -> dict[str, np.ndarray]:
        """The masks and the regions derived from them (`whole_lung`, `visible_lung`)."""
        return regions(self.masks, self.lung or "whole")

    @property
    def low_trust(self) -> bool:
        """Whether the Dice may be too low for any measurement to be used unchecked."""
        return self.quality.has("low-trust")

    @property
    def areas(self) -> dict[str, Area]:
        """Per structure and derived region, in pixels, and in cm2 where the film's spacing is known."""
        return self.measurements.areas

    @property
    def structures(self) -> tuple[Structure, ...]:
        """The structures of the masks, in the model's order, with the definition of lung they follow."""
        named = self.manifest.structures
        return with_definition(named, "visible") if self.lung == "visible" else named


class Segmenter:
    """Segments films with one model on one runtime.

    Args:
        model: a checked model file.
        runtime: what runs it; by default the first engine installed.
        lung: definition of lung that the masks follow: `whole`, or `visible`, which leaves the cardiomediastinum out;
            by default the model's first.
        gate: whether films that the model does not expect are rejected; without it every film is segmented.

    Attributes:
        model, manifest: the model file, and what it says about itself.

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
        self.model = model
        self.manifest = manifest = model.manifest
        self.lung = _definition(manifest, lung)
        self._doubt = _from_manifest(manifest, Doubt.from_json, manifest.trust)
        # An adapted model has the calibration of the one before: good enough for a warning, not for a number.
        self._doubt_of = manifest.adapted_from if self._doubt is not None else None
        self._appearance = load_appearance(manifest.expects) if gate and manifest.expects else None
        self.runtime = runtime = _adapted(runtime or cpu_runtime(model), model)
        self._pooled = runtime.pooled if isinstance(runtime, PooledRuntime) else None
        self._kinds = _from_manifest(manifest, Kinds.from_json, manifest.gate) if gate and self._pooled else None
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

    def one_for_each_thread(self: _Segmenter) -> list[_Segmenter]:
        """Single-threaded segmenters, one for each thread of this one, for as many films at a time.

        Only this one if it has one thread, or if something other than the CPU runs it.
        """
        if self.runtime.threads == 1 or type(self.runtime) is not TFLiteRuntime:
            return [self]
        return [self.on_one_thread() for _ in range(self.runtime.threads)]

    def on_one_thread(self: _Segmenter) -> _Segmenter:
        """The same segmenter with its own interpreter, on one CPU core, for another thread."""
        runtime = cpu_runtime(self.model, 1, self.runtime.name.partition(" ")[0])
        runtime.notes = self.runtime.notes
        other = copy(self)
        other.runtime = _adapted(runtime, self.model)
        return other

    @property
    def pooled(self) -> TensorSpec | None:
        """The output with the pooled features of the coarsest level; `None` if the network has none."""
        return self._pooled

    @property
    def low_trust(self) -> float:
        """Dice that a film's bound, or its estimate without one, must reach for its numbers to be trusted."""
        return LOW_TRUST if self._doubt is None else self._doubt.low

    @property
    def gate(self) -> bool:
        """Whether films pass a gate before they are segmented."""
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
            InputError: the array is not a film.
        """
        taken = film if isinstance(film, Film) else Film(np.asarray(film))
        clock = _Stopwatch()
        view = self._view(taken, clock)
        found = self._nothing_on(view, clock) if view.quality.verdict == REJECT else self._found_on(view, clock)
        taken, measurements = view.film, found.measurements
        lungs = self._of_lungs(found.estimates)
        quality = Quality((*found.quality.findings, *self._of_trust(lungs)))
        withheld = self._withheld(found.estimates)
        if withheld:
            lungs, found = None, replace(found, estimates={})
        return Segmentation(
            film=taken,
            masks=found.masks,
            measurements=measurements,
            timings_ms={"decode": taken.decode_ms, **clock.ms},
            manifest=self.manifest,
            runtime=self.runtime.name,
            delegate=self.runtime.delegate,
            threads=self.runtime.threads,
            warnings=(
                *self.runtime.notes,
                *withheld,
                *taken.warnings,
                *(finding.text for finding in quality.findings),
                *measurements.notes,
            ),
            quality=quality,
            gate=self.gate,
            trust=lungs.dice if lungs else None,
            trust_bound=lungs.bound if lungs else None,
            estimates=found.estimates,
            lung=self.lung,
        )

    def _nothing_on(self, view: _View, clock: _Stopwatch) -> _Found:
        """The result for a rejected film, with the usual keys, so that asking for an area gives 0 and not an error."""
        masks = {structure.name: np.zeros(view.film.shape, bool) for structure in self.manifest.structures}
        clock.ms.update(pixels_out=0.0, trust=0.0, measure=0.0)
        empty = measure_areas(masks, view.film.spacing_mm, self.lung or "whole")
        return _Found(masks, Measurements(empty, {}, {}), {}, view.quality)

    def _found_on(self, view: _View, clock: _Stopwatch) -> _Found:
        film, quality, content = view.film, view.quality, view.letterbox.content
        logits, outlines, masks = clock.time("pixels_out", lambda: self._decode(view.output, view.letterbox))
        estimates = clock.time("trust", lambda: self._estimates(logits[content], view.pooled))
        if self._appearance is not None:
            shown = {name: mask[film.upright.box] for name, mask in masks.items()}
            seen = clock.time("gate", lambda: look_at_masks(shown).findings)
            sides = clock.time("gate", lambda: self._look_at_sides(film, quality, logits[content], view.grey[content]))
            quality = Quality((*quality.findings, *seen, *sides))
        sure_of_sides = not (quality.has(MIRRORED) or quality.has(DISAGREE))
        measurements = clock.time(
            "measure",
            lambda: measure(masks, film, self.lung or "whole", sides=sure_of_sides, edges=self._edges(outlines)),
        )
        return _Found(masks, measurements, estimates, quality)

    def _of_trust(self, lungs: Estimate | None) -> list[Finding]:
        """A finding if the estimate for the lungs is too low for their numbers to be used unchecked."""
        if lungs is None or self._doubt is None:
            return []
        if (lungs.dice if lungs.bound is None else lungs.bound) >= self._doubt.low:
            return []
        perhaps = "" if lungs.bound is None else f", perhaps {lungs.bound:.2f}"
        known = f"estimated Dice {lungs.dice:.2f}{perhaps}" if self._doubt_of is None else f"judged as {self._doubt_of}"
        return [Finding("low-trust", WARN, f"low trust, {known}: check the outlines and every number of them")]

    def _withheld(self, estimates: Mapping[str, Estimate]) -> tuple[str, ...]:
        """Why estimates are withheld, if they were not calibrated for this model."""
        if self._doubt_of is None or not estimates:
            return ()
        return (f"no estimated Dice: the model was adapted here, and the estimate calibrated for {self._doubt_of}",)

    def look(self, film: Film) -> Quality:
        """The gate's findings on a film, without its outlines; none without a gate."""
        return self._view(film, _Stopwatch(), inference=False).quality

    def prepare(self, film: Film) -> tuple[np.ndarray, pixels.Letterbox]:
        """The model's input tensor for a film, and the film's letterbox in it."""
        grey, letterbox = pixels.to_input(film, self.manifest.input_shape)
        return self._tensor(grey), letterbox

    def logits(self, output: np.ndarray) -> np.ndarray:
        """Logits of the structures' probabilities, `(height, width, structures)` float32, from an output tensor."""
        return pixels.structure_logits(_real(output[0], self.runtime.output), self.manifest.output)

    def _tensor(self, grey: np.ndarray) -> np.ndarray:
        return pixels.to_tensor(grey, self._table, self.manifest.input_channels)

    def observe(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Logits as from `logits`, and pooled features `(features,)`, of an input picture `(height, width)` uint8.

        The features are real values, `None` if the network gives none.
        """
        output, pooled = self._run(grey)
        return self.logits(output).copy(), pooled

    def _run(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        tensor = self._tensor(grey)
        if self._pooled is None or not isinstance(self.runtime, PooledRuntime):
            return self.runtime.run(tensor), None
        output, pooled = self.runtime.run_pooled(tensor)
        return output, None if pooled is None else _real(pooled.reshape(-1), self._pooled)

    def _view(self, film: Film, clock: _Stopwatch, *, inference: bool = True) -> _View:
        """A film as gate and network see it; without inference if the gate rejects the film first, or needs none."""
        grey, letterbox = clock.time("pixels_in", lambda: pixels.to_input(film, self.manifest.input_shape))
        quality = clock.time("gate", lambda: self._look(film, grey[letterbox.content]))
        view = _View(film, grey, letterbox, quality)
        if quality.has(INVERTED):
            view = self._exchanged(view, quality)
        clock.ms["inference"] = 0.0
        if quality.verdict == REJECT or not (inference or self._kinds):
            return view
        view = clock.time("inference", lambda: self._seen(view))
        return clock.time("gate", lambda: self._judged(view)) if self._kinds else view

    def _exchanged(self, view: _View, quality: Quality) -> _View:
        """The view of the film with black and white swapped."""
        film = inverted(view.film)
        grey, letterbox = pixels.to_input(film, self.manifest.input_shape)
        return _View(film, grey, letterbox, quality)

    def _seen(self, view: _View) -> _View:
        output, pooled = self._run(view.grey)
        return replace(view, output=output, pooled=pooled)

    def _judged(self, view: _View) -> _View:
        """The view with the network's verdict added to its findings."""
        verdict, kind = self._verdict(view)
        if verdict is not None and verdict.verdict == REJECT and (kind == INVERTED or view.quality.has(INVERTED)):
            others = tuple(finding for finding in view.quality.findings if finding.code != INVERTED)
            exchanged = others if view.quality.has(INVERTED) else (*others, corrected(view.film))
            other = self._seen(self._exchanged(view, Quality(exchanged)))
            found, _ = self._verdict(other)
            if found is None or found.verdict != REJECT:
                view, verdict = other, found
        if verdict is not None and verdict.code == TURNED and self._appearance is not None:
            # The appearance model shows which way.
            pose = look_at_pose(view.film, view.grey[view.letterbox.content], self._appearance)
            verdict = pose if pose is not None and pose.verdict == REJECT else verdict
        return replace(view, quality=Quality((*view.quality.findings, *([verdict] if verdict else []))))

    def _verdict(self, view: _View) -> tuple[Finding | None, str]:
        """The finding on what the network takes a picture for, and the likeliest other kind."""
        if self._kinds is None or view.pooled is None:
            return None, ""
        sight = self._kinds.sight(view.pooled)
        return self._kinds.finding(sight), sight.kind

    def _estimates(self, logits: np.ndarray, pooled: np.ndarray | None) -> dict[str, Estimate]:
        if self._doubt is None:
            return {}
        names = [structure.name for structure in self.manifest.structures]
        if self._doubt.of_lungs_alone:
            return self._doubt.estimates(lung_signals(logits, names))
        # A calibration with pooled features is useless without them.
        return {} if pooled is None else self._doubt.estimates(signals(logits, names, pooled))

    def _of_lungs(self, estimates: Mapping[str, Estimate]) -> Estimate | None:
        """The estimate for a film: that of the lungs by the definition in use."""
        wanted = ("visible_lung", "whole_lung", LUNGS) if self.lung == "visible" else ("whole_lung", LUNGS)
        return next((estimates[name] for name in wanted if name in estimates), None)

    def _look_at_sides(self, film: Film, quality: Quality, logits: np.ndarray, grey: np.ndarray) -> tuple[Finding, ...]:
        if self._appearance is None or quality.has(MIRRORED):
            return ()
        names = tuple(structure.name for structure in self.manifest.structures)
        return look_at_sides(logits, names, grey, self._appearance, film)

    def _look(self, film: Film, grey: np.ndarray) -> Quality:
        if self._appearance is None:
            return Quality()
        if self._kinds is None:
            return look_at_film(film, grey, self._appearance)
        quality = look_at_exposure(film, grey)
        pose = None if quality.verdict == REJECT else look_at_pose(film, grey, self._appearance)
        # The appearance model gives a film's pose; the network decides whether it is a film, and wrongly posed.
        return Quality((*quality.findings, *([pose] if pose is not None and pose.code == INVERTED else [])))

    def _decode(
        self, output: np.ndarray | None, letterbox: pixels.Letterbox
    ) -> tuple[np.ndarray, pixels.Outlines, dict[str, np.ndarray]]:
        """Logits of an output tensor, their outlines, and the masks at the film's own size."""
        assert output is not None
        logits = self.logits(output)
        manifest = self.manifest
        thresholds = manifest.thresholds or (0.5,) * len(manifest.structures)
        outlines = pixels.Outlines.of(logits, letterbox, thresholds, manifest.single_component)
        named = {structure.name: mask for structure, mask in zip(manifest.structures, outlines.masks(), strict=True)}
        return logits, outlines, visible_lungs(named) if self._derived else named

    @property
    def _derived(self) -> bool:
        """Whether the definition of lung in use is derived from the model's, not the model's own."""
        return self.lung is not None and self.lung != lung_definitions(self.manifest.structures)[0]

    def _edges(self, outlines: pixels.Outlines) -> dict[str, pixels.Edges]:
        """The extent of each structure of a chest, by the definition of lung in use; nothing else has widths."""
        names = [structure.name for structure in self.manifest.structures]
        lungs = ("right_lung", "left_lung")
        if not set(lungs) <= set(names):
            return {}
        shadow = names.index("cardiomediastinum") if self._derived else None
        return {name: outlines.edges(k, shadow if name in lungs else None) for k, name in enumerate(names)}


def _adapted(runtime: Runtime, model: ModelFile) -> Runtime:
    """The runtime itself, or wrapped to translate its tensors if another program made the network."""
    other = model.manifest.other
    if isinstance(runtime, AdaptedRuntime):
        return runtime
    if other is None and "uint8" not in (runtime.input.dtype, runtime.output.dtype):
        return runtime
    probabilities = other.probabilities if other else None
    if probabilities is None:
        # Imported here: shipped models do not need their flatbuffer inspected.
        from edge_seg.inspection.flatbuffer import read_graph
        from edge_seg.inspection.tensors import ends_in_probabilities

        graph = read_graph(model.flatbuffer)
        probabilities = ends_in_probabilities(graph, other.output_index if other else 0)
    return AdaptedRuntime(runtime, model.manifest, probabilities)


def _from_manifest(
    manifest: Manifest, read: Callable[[Mapping[str, Any]], _Result], raw: Mapping[str, Any] | None
) -> _Result | None:
    if raw is None:
        return None
    try:
        return read(raw)
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


@dataclass(frozen=True)
class _Found:
    """The results from a film's outlines, and the gate's findings up to then."""

    masks: dict[str, np.ndarray]
    measurements: Measurements
    estimates: dict[str, Estimate]
    quality: Quality


@dataclass(frozen=True)
class _View:
    """A film as the model sees it: with polarity corrected, its input picture, and the network's outputs."""

    film: Film
    grey: np.ndarray
    letterbox: pixels.Letterbox
    quality: Quality
    output: np.ndarray | None = None
    pooled: np.ndarray | None = None


def _real(stored: np.ndarray, spec: TensorSpec) -> np.ndarray:
    if spec.scale is None:
        return stored
    return (stored.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)


class _Stopwatch:
    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], _Result]) -> _Result:
        start = time.perf_counter()
        result = work()
        spent = (time.perf_counter() - start) * 1000
        self.ms[stage] = round(self.ms.get(stage, 0.0) + spent, 3)
        return result
