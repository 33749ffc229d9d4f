"""What a network is built from, and the named networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkConfig:
    """What to build.

    Attributes:
        family: `plain` (two 3x3 convolutions a level; Ronneberger et al. 2015, with batch normalisation),
            `link` (one convolution a level on the way up, skips added; after Chaurasia & Culurciello 2017),
            `edge` (inverted residuals, Sandler et al. 2018, with a narrow depthwise-separable decoder) or
            `lite` (EfficientNet-Lite2 with a decoder of two convolutions a level: a teacher).
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


NAMED: dict[str, NetworkConfig] = {
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
    "lungs": NetworkConfig(family="link", height=224, width=224, widest=128, momentum=0.99),
    "lungs-nano": NetworkConfig(family="link", height=192, width=192, base=8, widest=36, momentum=0.99),
    "lungs-large": NetworkConfig(widest=96, momentum=0.99),
    "edge": NetworkConfig(family="edge", widest=96),
    "tiny": NetworkConfig(height=64, width=64, base=4, depth=2, stem_stride=1),
}
"""Networks with a name; `seed` is the reference to be beaten, never the default."""
