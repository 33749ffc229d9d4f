"""Turns outlined films into what the decoder learns from: activations of the frozen encoder, and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_seg import pixels
from edge_seg.adaptation.decoder import Decoder
from edge_seg.adaptation.learning import Example
from edge_seg.adaptation.loss import planes_of
from edge_seg.errors import ModelError, first_line
from edge_seg.film import Film
from edge_seg.model_file import ModelFile
from edge_seg.quiet import native_libraries_quiet
from edge_seg.runtime.tflite import load_engine_module
from edge_seg.segmenter import Segmenter


@dataclass(frozen=True)
class Outlined:
    """A film and what a person outlined on it.

    Attributes:
        name: of the film.
        patient: films of one patient count once.
        film: its pixels.
        outlines: `(film height, film width)` by structure or derived region: bool, or uint8 of 0, 1 and `IGNORE`.
    """

    name: str
    patient: str
    film: Film = field(repr=False)
    outlines: Mapping[str, np.ndarray] = field(repr=False)


class Encoder:
    """The frozen part of a model, with readable activations.

    It runs on the engine's own kernels: XNNPACK does not expose intermediate tensors.

    Args:
        model: int8 throughout.
        decoder: of this model.

    Raises:
        ModelError: the engine refuses the model.
        DeviceError: no engine is installed.
    """

    def __init__(self, model: ModelFile, decoder: Decoder) -> None:
        module, name = load_engine_module()
        self._decoder = decoder
        self._names = [structure.name for structure in model.manifest.structures]
        # Only the segmenter turns films into tensors.
        self._segmenter = Segmenter(model, gate=False)
        try:
            with native_libraries_quiet():
                self._interpreter = module.Interpreter(
                    model_content=model.flatbuffer,
                    num_threads=1,
                    experimental_preserve_all_tensors=True,
                    experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{name} refuses the model ({first_line(error)}): make it again") from error
        self._input = self._interpreter.get_input_details()[0]["index"]

    def example(self, outlined: Outlined) -> Example:
        """What the decoder learns from a film.

        Raises:
            InputError: something is outlined that the model does not segment.
        """
        tensor, letterbox = self._segmenter.prepare(outlined.film)
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        given = {t.index: self._interpreter.get_tensor(t.index)[0] for t in self._decoder.given}
        planes = planes_of(list(outlined.outlines), self._names)
        stacked = np.stack([plane.astype(np.uint8) for plane in outlined.outlines.values()], axis=-1)
        return Example(outlined.name, given, pixels.labels_to_input(stacked, letterbox), planes)
