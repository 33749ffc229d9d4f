"""Two 3 x 3 convolutions on each level: Ronneberger et al. 2015, with batch normalisation."""

from __future__ import annotations

from typing import Any

from edge_seg_train.network.blocks import Blocks


def features(blocks: Blocks, x: Any) -> Any:
    """Features at the finest level; see `edge_seg_train.network.Family`."""
    config, skips = blocks.config, []

    def block(x: Any, channels: int, name: str, stride: int = 1) -> Any:
        return blocks.conv(blocks.conv(x, channels, f"{name}_a", stride=stride), channels, f"{name}_b")

    for level in range(config.depth):
        x = block(x, blocks.width(level), f"down{level}", config.stem_stride if level == 0 else 1)
        skips.append(x)
        x = blocks.layers.MaxPooling2D(2, name=f"pool{level}")(x)
    x = blocks.dropout(block(x, blocks.width(config.depth), "bottom"))
    for level in reversed(range(config.depth)):
        x = blocks.join(blocks.up(x, blocks.width(level), f"up{level}"), skips[level], f"join{level}")
        x = block(x, blocks.width(level), f"merge{level}")
    return x
