"""One convolution per decoder level, skips added: after Chaurasia & Culurciello 2017."""

from __future__ import annotations

from typing import Any

from edge_seg_train.network.blocks import Blocks


def features(blocks: Blocks, x: Any) -> Any:
    """Features at the finest level; see `edge_seg_train.network.Family`."""
    config, skips = blocks.config, []
    x = blocks.conv(x, blocks.width(0), "stem", stride=config.stem_stride)
    for level in range(1, config.depth + 1):
        skips.append(x)
        x = blocks.conv(x, blocks.width(level), f"down{level}_a", stride=2)
        x = blocks.conv(x, blocks.width(level), f"down{level}_b")
    x = blocks.dropout(x)
    for level in reversed(range(config.depth)):
        x = blocks.up(blocks.conv(x, blocks.width(level), f"narrow{level}", size=1), blocks.width(level), f"up{level}")
        x = blocks.layers.Add(name=f"join{level}")([x, skips[level]])
        x = blocks.conv(x, blocks.width(level), f"merge{level}")
    return x
