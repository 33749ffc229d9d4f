"""EfficientNet-Lite2 encoder with a decoder of two convolutions per level: a teacher, not a network for a device.

Tan and Le 2019, "EfficientNet", without squeeze-and-excitation and with ReLU6, as in EfficientNet-Lite.
`edge_seg_train.imagenet` gives its encoder weights learned on ImageNet.
"""

from __future__ import annotations

from typing import Any

from edge_seg_train.network.blocks import Blocks

# Repeats, kernel, stride, expansion and channels of each stage, with widths scaled by 1.1 and depths by 1.2.
STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
STEM = 32


def features(blocks: Blocks, x: Any) -> Any:
    """Features at half the input's size; see `edge_seg_train.network.Family`."""
    layers, skips = blocks.layers, []

    def norm(x: Any, name: str, activate: bool = True) -> Any:
        x = layers.BatchNormalization(momentum=blocks.config.momentum, name=f"{name}_norm", **blocks.norm_options)(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if activate else x

    x = norm(layers.Conv2D(STEM, 3, blocks.config.stem_stride, padding="same", use_bias=False, name="stem")(x), "stem")
    for name, kernel, stride, expansion, channels in encoder_blocks():
        if stride > 1:
            skips.append(x)
        y = x
        if expansion > 1:
            y = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand")(y)
            y = norm(y, f"{name}_expand")
        y = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_space")(y)
        y = norm(y, f"{name}_space")
        y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(y)
        y = norm(y, f"{name}_project", activate=False)
        x = layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and x.shape[-1] == channels else y
    x = blocks.dropout(x)
    for level in reversed(range(len(skips))):
        x = blocks.join(blocks.up(x, blocks.width(level), f"up{level}"), skips[level], f"join{level}")
        x = blocks.conv(x, blocks.width(level), f"merge{level}_a")
        x = blocks.conv(x, blocks.width(level), f"merge{level}_b")
    return x


def encoder_blocks() -> list[tuple[str, int, int, int, int]]:
    """Name, kernel, stride, expansion and channels of each block, in order."""
    return [
        (f"down{stage}_{one}", kernel, stride if one == 0 else 1, expansion, channels)
        for stage, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES)
        for one in range(repeats)
    ]
