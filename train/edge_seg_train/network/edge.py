"""Inverted residuals (Sandler et al. 2018) with a narrow depthwise-separable decoder."""

from __future__ import annotations

from typing import Any

from edge_seg_train.network.blocks import Blocks


def features(blocks: Blocks, x: Any) -> Any:
    """Features at the finest level; see `edge_seg_train.network.Family`."""
    config, skips = blocks.config, []

    def residual(x: Any, channels: int, name: str, stride: int) -> Any:
        y = blocks.conv(x, 4 * x.shape[-1], f"{name}_expand", size=1)
        y = blocks.depthwise(y, f"{name}_space", stride)
        y = blocks.conv(y, channels, f"{name}_project", size=1, activate=False)
        return blocks.layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and x.shape[-1] == channels else y

    x = blocks.conv(x, blocks.width(0), "stem", stride=config.stem_stride)
    for level in range(config.depth):
        skips.append(x)
        channels = blocks.width(level + 1)
        x = residual(x, channels, f"down{level}_a", 2)
        x = residual(x, channels, f"down{level}_b", 1)
    x = blocks.dropout(x)
    for level in reversed(range(config.depth)):
        x = blocks.conv(x, blocks.width(level), f"narrow{level}", size=1)
        x = blocks.join(blocks.up(x, blocks.width(level), f"up{level}"), skips[level], f"join{level}")
        x = blocks.conv(blocks.depthwise(x, f"merge{level}_space"), blocks.width(level), f"merge{level}", size=1)
    return blocks.depthwise(x, "last_space")
