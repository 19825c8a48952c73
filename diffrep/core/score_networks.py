"""Score networks F(x_t, t, z), and a decoder without x_t.

A score network is built by ``score_network(data_shape, n_components)`` and
called with x_t of shape ``(n, *data_shape)``, t of shape ``(n,)`` and codes of
shape ``(n, n_components)``; it returns the shape of x_t.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.layers import (
    Conv2d,
    ConvBlock,
    Linear,
    ResidualBlock,
    TimeEmbedding,
    default_width,
    scaled,
)

__all__ = ["SCORE_NETWORKS", "MLPDecoder", "MLPScoreNetwork", "UNet"]


class MLPScoreNetwork(nn.Module):
    """Residual MLP; the code is added to the input, t scales and shifts the blocks.

    Parameters
    ----------
    data_shape : tuple of int
        Shape of one row.
    n_components : int
        Length of the code.
    size : float
        Factor of the default width, which depends on the number of values of a row.
    width : int or None
        Width, in place of the default.
    n_blocks, condition_width : int
        Number of blocks, and length of the time embedding.
    """

    def __init__(
        self,
        data_shape,
        n_components,
        size=1.0,
        width=None,
        n_blocks=2,
        condition_width=64,
    ):
        super().__init__()
        n_features = math.prod(data_shape)
        width = width or scaled(default_width(n_features), size)
        self.time = TimeEmbedding(condition_width)
        self.code = Linear(n_components, width)
        self.input = Linear(n_features, width)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, condition_width) for _ in range(n_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.output = Linear(width, n_features)

    def states(self, x_t: Tensor, t: Tensor, z: Tensor) -> list[Tensor]:
        """Hidden states ``(n, width)``, before the first and after every block."""
        condition = F.silu(self.time(t))
        states = [self.input(x_t.flatten(1)) + self.code(z)]
        for block in self.blocks:
            states.append(block(states[-1], condition))
        return states

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        h = self.states(x_t, t, z)[-1]
        return self.output(F.silu(self.norm(h))).view_as(x_t)


class UNet(nn.Module):
    """Small U-Net; the code is an input of every block and of the bottleneck.

    As in Mittal et al. (2023), the time embedding and the code are concatenated. They
    give a bias in every block, and a small MLP of them gives maps that are concatenated
    to those of the bottleneck. Unlike theirs, it has no attention and no input pyramid.

    Parameters
    ----------
    data_shape : tuple (channels, height, width) or (channels, length)
        A signal is an image of height one.
    n_components : int
        Length of the code.
    size : float
        Factor of the number of channels, which is 32 at full resolution.
    multipliers : tuple of int
        Channels of each level, in units of those at full resolution. Each level has
        half the side of the previous one.
    """

    def __init__(self, data_shape, n_components, size=1.0, multipliers=(1, 2, 2)):
        super().__init__()
        width = scaled(32, size)
        channels, *side = data_shape
        side = [1, *side][-2:]
        self.image_shape = (channels, *side)
        widths = [width * multiplier for multiplier in multipliers]
        self.time = TimeEmbedding(4 * width)
        self.code = Linear(n_components, 4 * width)
        condition_width = 8 * width
        self.input = Conv2d(channels, width, 3, padding=1)
        self.down, self.halve = nn.ModuleList(), nn.ModuleList()
        for before, after in zip([width, *widths], widths, strict=False):
            self.down.append(ConvBlock(before, after, condition_width))
            # No stride along a side of one pixel: in bfloat16, oneDNN has no correct
            # gradient of it.
            stride = tuple(min(s, 2) for s in side)
            self.halve.append(Conv2d(after, after, 3, stride=stride, padding=1))
            side = [-(-s // 2) for s in side]
        self.n_low = 8
        self.low_shape = (-1, self.n_low, *side)
        self.low = nn.Sequential(
            Linear(condition_width, 2 * width),
            nn.SiLU(),
            Linear(2 * width, self.n_low * math.prod(side)),
        )
        self.middle = ConvBlock(widths[-1] + self.n_low, widths[-1], condition_width)
        self.up = nn.ModuleList()
        channels_up = widths[-1]
        for skip in reversed(widths):
            self.up.append(ConvBlock(channels_up + skip, skip, condition_width))
            channels_up = skip
        self.norm = nn.GroupNorm(8, widths[0])
        self.output = Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        condition = F.silu(torch.cat([self.time(t), self.code(z)], dim=1))
        h, skips = self.input(x_t.view(-1, *self.image_shape)), []
        for block, halve in zip(self.down, self.halve, strict=True):
            h = block(h, condition)
            skips.append(h)
            h = halve(h)
        low = F.silu(self.low(condition)).view(self.low_shape)
        h = self.middle(torch.cat([h, low], dim=1), condition)
        for block in self.up:
            skip = skips.pop()
            h = F.interpolate(h, size=skip.shape[2:])
            h = block(torch.cat([h, skip], dim=1), condition)
        return self.output(F.silu(self.norm(h))).view_as(x_t)


class MLPDecoder(nn.Module):
    """Residual MLP from codes ``(n, n_components)`` to rows ``(n, *data_shape)``."""

    def __init__(self, n_components, data_shape, width=None, n_blocks=2):
        super().__init__()
        n_features = math.prod(data_shape)
        width = width or default_width(n_features)
        self.data_shape = data_shape
        self.input = Linear(n_components, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(width)
        self.output = Linear(width, n_features)

    def forward(self, z: Tensor) -> Tensor:
        h = self.input(z)
        for block in self.blocks:
            h = block(h)
        return self.output(F.silu(self.norm(h))).view(-1, *self.data_shape)


#: Names that the estimators accept for their parameter ``score_network``.
SCORE_NETWORKS = {"mlp": MLPScoreNetwork, "unet": UNet}
