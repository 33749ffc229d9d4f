"""The U-Nets we offer, as one function of the Keras module it is given.

Keras 3 trains them; quantization-aware training needs legacy Keras. Both build the same flat functional model here,
with the same layer names, so weights move between them by name. Only layers that TensorFlow Model
Optimization quantises are used: no Rescaling, no Multiply, no GroupNormalization, no nested model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkConfig:
    """What to build.

    Attributes:
        family: `plain` (two 3x3 convolutions a level; Ronneberger et al. 2015, with batch normalisation),
            `link` (one convolution a level on the way up, skips added; after Chaurasia & Culurciello 2017) or
            `edge` (inverted residuals, Sandler et al. 2018, with a narrow depthwise-separable decoder).
        height, width, channels: of the input; height and width are multiples of `2**depth`.
        outputs: number of structures; the model gives one logit each, at the input's size.
        base: channels of the first level; each level down doubles them, up to `widest`.
        depth: number of halvings between the finest and the coarsest level.
        widest: most channels of a level.
        dropout: rate after the coarsest level.
        upsampling: `bilinear` (enlarge, then convolve) or `transpose` (transposed convolution without
            batch normalisation, which would stay float under quantisation).
        transpose_bias: whether transposed convolutions have a bias (the Edge TPU refuses those).
        stem_stride: 2 starts at half the input's size and enlarges the logits bilinearly at the end.
        momentum: of batch normalisation.
    """

    family: str = "plain"
    height: int = 224
    width: int = 224
    channels: int = 1
    outputs: int = 3
    base: int = 16
    depth: int = 4
    widest: int = 1024
    dropout: float = 0.0
    upsampling: str = "bilinear"
    transpose_bias: bool = False
    stem_stride: int = 2
    momentum: float = 0.9


PRESETS: dict[str, NetworkConfig] = {
    # The network of the widely copied Keras tutorial U-Net: 31,055,297 parameters with one output.
    "seed": NetworkConfig(
        height=512,
        width=512,
        channels=3,
        outputs=1,
        base=64,
        upsampling="transpose",
        transpose_bias=True,
        stem_stride=1,
        momentum=0.99,
    ),
    "lungs": NetworkConfig(family="link", height=192, width=224, widest=128, momentum=0.99),
    "lungs-nano": NetworkConfig(family="link", height=160, width=192, base=8, widest=36, momentum=0.99),
    "lungs-large": NetworkConfig(widest=96, momentum=0.99),
    "edge": NetworkConfig(family="edge", widest=96),
    "tiny": NetworkConfig(height=64, width=64, base=4, depth=2, stem_stride=1),
}
"""Networks by name; `seed` is the reference to be beaten, never the default."""


def build(keras: Any, config: NetworkConfig, *, synchronized: bool = False) -> Any:
    """An uncompiled functional model `(batch, height, width, channels) -> (batch, height, width, outputs)` logits.

    Args:
        keras: the Keras to build with: Keras 3 or `tf_keras`.
        config: what to build.
        synchronized: take batch statistics over all devices that share a batch, so that all hold the same ones.

    Raises:
        ValueError: height or width is no multiple of the coarsest level's stride, or an unknown family.
    """
    stride = config.stem_stride * 2**config.depth
    if config.height % stride or config.width % stride:
        raise ValueError(f"height and width must be multiples of {stride}, not {config.height} x {config.width}")
    if config.family not in _FAMILIES:
        raise ValueError(f"unknown network family {config.family!r}: choose from {', '.join(_FAMILIES)}")
    inputs = keras.Input((config.height, config.width, config.channels), name="film")
    draw = _Draw(keras.layers, config, {"synchronized": True} if synchronized else {})
    features = _FAMILIES[config.family](draw, inputs)
    logits = keras.layers.Conv2D(config.outputs, 1, name="logits")(features)
    if config.stem_stride > 1:
        logits = keras.layers.UpSampling2D(config.stem_stride, interpolation="bilinear", name="logits_enlarged")(logits)
    return keras.Model(inputs, logits, name=f"unet_{config.family}")


class _Draw:
    """Layers with the names and settings that the families share."""

    def __init__(self, layers: Any, config: NetworkConfig, norm_options: dict[str, Any]) -> None:
        self.layers, self.config, self.norm_options = layers, config, norm_options

    def width(self, level: int) -> int:
        return min(self.config.base * 2**level, self.config.widest)

    def norm(self, x: Any, name: str, activate: bool = True) -> Any:
        momentum = self.config.momentum
        x = self.layers.BatchNormalization(momentum=momentum, name=f"{name}_norm", **self.norm_options)(x)
        return self.layers.ReLU(name=f"{name}_relu")(x) if activate else x

    def conv(self, x: Any, channels: int, name: str, size: int = 3, stride: int = 1, activate: bool = True) -> Any:
        x = self.layers.Conv2D(channels, size, stride, padding="same", name=name)(x)
        return self.norm(x, name, activate)

    def depthwise(self, x: Any, name: str, stride: int = 1) -> Any:
        x = self.layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=name)(x)
        return self.norm(x, name)

    def dropout(self, x: Any) -> Any:
        rate = self.config.dropout
        return self.layers.Dropout(rate, name="dropout")(x) if rate else x

    def up(self, x: Any, channels: int, name: str) -> Any:
        if self.config.upsampling == "transpose":
            return self.layers.Conv2DTranspose(
                channels, 2, 2, padding="same", use_bias=self.config.transpose_bias, name=name
            )(x)
        return self.layers.UpSampling2D(2, interpolation="bilinear", name=name)(x)

    def join(self, x: Any, skip: Any, name: str) -> Any:
        return self.layers.Concatenate(name=name)([x, skip])


def _plain(draw: _Draw, x: Any) -> Any:
    config, skips = draw.config, []

    def block(x: Any, channels: int, name: str, stride: int = 1) -> Any:
        return draw.conv(draw.conv(x, channels, f"{name}_a", stride=stride), channels, f"{name}_b")

    for level in range(config.depth):
        x = block(x, draw.width(level), f"down{level}", config.stem_stride if level == 0 else 1)
        skips.append(x)
        x = draw.layers.MaxPooling2D(2, name=f"pool{level}")(x)
    x = draw.dropout(block(x, draw.width(config.depth), "bottom"))
    for level in reversed(range(config.depth)):
        x = draw.join(draw.up(x, draw.width(level), f"up{level}"), skips[level], f"join{level}")
        x = block(x, draw.width(level), f"merge{level}")
    return x


def _edge(draw: _Draw, x: Any) -> Any:
    config, skips = draw.config, []

    def residual(x: Any, channels: int, name: str, stride: int) -> Any:
        y = draw.conv(x, 4 * x.shape[-1], f"{name}_expand", size=1)
        y = draw.conv(draw.depthwise(y, f"{name}_space", stride), channels, f"{name}_project", size=1, activate=False)
        return draw.layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and x.shape[-1] == channels else y

    x = draw.conv(x, draw.width(0), "stem", stride=config.stem_stride)
    for level in range(config.depth):
        skips.append(x)
        channels = draw.width(level + 1)
        x = residual(x, channels, f"down{level}_a", 2)
        x = residual(x, channels, f"down{level}_b", 1)
    x = draw.dropout(x)
    for level in reversed(range(config.depth)):
        x = draw.conv(x, draw.width(level), f"narrow{level}", size=1)
        x = draw.join(draw.up(x, draw.width(level), f"up{level}"), skips[level], f"join{level}")
        x = draw.conv(draw.depthwise(x, f"merge{level}_space"), draw.width(level), f"merge{level}", size=1)
    return draw.depthwise(x, "last_space")


def _link(draw: _Draw, x: Any) -> Any:
    config, skips = draw.config, []
    x = draw.conv(x, draw.width(0), "stem", stride=config.stem_stride)
    for level in range(1, config.depth + 1):
        skips.append(x)
        x = draw.conv(x, draw.width(level), f"down{level}_a", stride=2)
        x = draw.conv(x, draw.width(level), f"down{level}_b")
    x = draw.dropout(x)
    for level in reversed(range(config.depth)):
        x = draw.up(draw.conv(x, draw.width(level), f"narrow{level}", size=1), draw.width(level), f"up{level}")
        x = draw.layers.Add(name=f"join{level}")([x, skips[level]])
        x = draw.conv(x, draw.width(level), f"merge{level}")
    return x


_FAMILIES = {"plain": _plain, "link": _link, "edge": _edge}
