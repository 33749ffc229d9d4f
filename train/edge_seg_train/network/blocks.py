"""The building blocks of every network family."""

from __future__ import annotations

from typing import Any

from edge_seg_train.network.config import NetworkConfig


class Blocks:
    """Makes layers with the names and settings that all families share.

    Args:
        layers: the `layers` module of the Keras to build with.
        config: of the network.
        norm_options: extra arguments of each batch normalisation.
    """

    def __init__(self, layers: Any, config: NetworkConfig, norm_options: dict[str, Any]) -> None:
        self.layers, self.config, self.norm_options = layers, config, norm_options

    def width(self, level: int) -> int:
        """Channels of a level; level 0 is the finest."""
        return min(self.config.base * 2**level, self.config.widest)

    def norm(self, x: Any, name: str, activate: bool = True) -> Any:
        """Batch normalisation, followed by ReLU unless `activate` is false."""
        momentum = self.config.momentum
        x = self.layers.BatchNormalization(momentum=momentum, name=f"{name}_norm", **self.norm_options)(x)
        return self.layers.ReLU(name=f"{name}_relu")(x) if activate else x

    def conv(self, x: Any, channels: int, name: str, size: int = 3, stride: int = 1, activate: bool = True) -> Any:
        """Convolution, batch normalisation and ReLU."""
        x = self.layers.Conv2D(channels, size, stride, padding="same", name=name)(x)
        return self.norm(x, name, activate)

    def depthwise(self, x: Any, name: str, stride: int = 1) -> Any:
        """3 x 3 depthwise convolution, batch normalisation and ReLU."""
        x = self.layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=name)(x)
        return self.norm(x, name)

    def dropout(self, x: Any) -> Any:
        """Dropout at the configured rate; no layer if that is 0."""
        rate = self.config.dropout
        return self.layers.Dropout(rate, name="dropout")(x) if rate else x

    def up(self, x: Any, channels: int, name: str) -> Any:
        """Upsample height and width by 2, in the configured way."""
        if self.config.upsampling == "transpose":
            return self.layers.Conv2DTranspose(
                channels, 2, 2, padding="same", use_bias=self.config.transpose_bias, name=name
            )(x)
        return self.layers.UpSampling2D(2, interpolation="bilinear", name=name)(x)

    def join(self, x: Any, skip: Any, name: str) -> Any:
        """Concatenate with a skip connection."""
        return self.layers.Concatenate(name=name)([x, skip])
