"""The available U-Nets, built with the Keras module passed in.

Keras 3 trains them; quantization-aware training needs legacy Keras. Both build the same flat functional model, with the
same layer names, so weights transfer between them by name. It uses only layers that TensorFlow Model Optimization can
quantise: no Rescaling, no Multiply, no GroupNormalization, no nested model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from edge_seg_train.network import edge, link, lite, plain
from edge_seg_train.network.blocks import Blocks
from edge_seg_train.network.config import NAMED, NetworkConfig

__all__ = ["FAMILIES", "PRESETS", "Blocks", "NetworkConfig", "build"]

Family: TypeAlias = "Callable[[Blocks, Any], Any]"
"""From the blocks to build with and the input `(batch, height, width, channels)` to features
`(batch, height / stem_stride, width / stem_stride, any)`, which `build` turns into logits."""

FAMILIES: dict[str, Family] = {
    "plain": plain.features,
    "link": link.features,
    "edge": edge.features,
    "lite": lite.features,
}
"""Network families by `NetworkConfig.family`. A new family is a module beside these and a line here."""

PRESETS: dict[str, NetworkConfig] = {**{family: NetworkConfig(family=family) for family in FAMILIES}, **NAMED}
"""Choices of `--network`: the named networks, and each family at its usual size."""


def build(keras: Any, config: NetworkConfig, *, synchronized: bool = False) -> Any:
    """An uncompiled functional model `(batch, height, width, channels) -> (batch, height, width, outputs)` logits.

    Args:
        keras: the module to build with: Keras 3 or `tf_keras`.
        config: of the network.
        synchronized: compute batch statistics over all devices that share a batch, so that they agree.

    Raises:
        ValueError: height or width is not a multiple of the coarsest level's stride, or the family is unknown.
    """
    stride = config.stem_stride * 2**config.depth
    if config.height % stride or config.width % stride:
        raise ValueError(f"height and width must be multiples of {stride}, not {config.height} x {config.width}")
    if config.family not in FAMILIES:
        raise ValueError(f"unknown network family {config.family!r}: choose from {', '.join(FAMILIES)}")
    inputs = keras.Input((config.height, config.width, config.channels), name="film")
    blocks = Blocks(keras.layers, config, {"synchronized": True} if synchronized else {})
    features = FAMILIES[config.family](blocks, inputs)
    logits = keras.layers.Conv2D(config.outputs, 1, name="logits")(features)
    if config.stem_stride > 1:
        logits = keras.layers.UpSampling2D(config.stem_stride, interpolation="bilinear", name="logits_enlarged")(logits)
    return keras.Model(inputs, logits, name=f"unet_{config.family}")
