"""The configuration of a network, and the named networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkConfig:
    """Configuration of a network.

    Attributes:
        family: `plain` (two 3x3 convolutions per level; Ronneberger et al. 2015, with batch normalisation),
            `link` (one convolution per decoder level, skips added; after Chaurasia & Culurciello 2017),
            `edge` (inverted residuals, Sandler et al. 2018, with a narrow depthwise-separable decoder) or
            `lite` (EfficientNet-Lite2 with a decoder of two convolutions per level: a teacher).
        height, width, channels: of the input; height and width are multiples of `stem_stride * 2**depth`.
        outputs: channels of logits, at the input's size: one per structure, and one for the background if they are a
            softmax.
        base: channels of the first level; each level down doubles them, up to `widest`.
        depth: number of halvings between the finest and the coarsest level.
        widest: most channels of a level.
        dropout: rate after the coarsest level.
        upsampling: `bilinear` (enlarge, then convolve) or `transpose` (transposed convolution without
            batch normalisation, which would stay float under quantisation).
        transpose_bias: whether transposed convolutions have a bias (the Edge TPU refuses it).
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


NAMED: dict[str, NetworkConfig] = {
    # The U-Net of the widely copied Keras tutorial: 31,055,297 parameters with one output.
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
    "lungs": NetworkConfig(family="link", height=224, width=224, widest=128, momentum=0.99),
    "lungs-nano": NetworkConfig(family="link", height=192, width=192, base=8, widest=36, momentum=0.99),
    "lungs-large": NetworkConfig(widest=96, momentum=0.99),
    "edge": NetworkConfig(family="edge", widest=96),
    "tiny": NetworkConfig(height=64, width=64, base=4, depth=2, stem_stride=1),
}
"""Networks by name; `seed` is the reference to beat, never the default."""
