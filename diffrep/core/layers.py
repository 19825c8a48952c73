"""Layers whose weights are drawn from a given generator.

Layers do not initialise their weights when they are constructed. :func:`init_weights`
draws those of a whole network from one generator, so building a network neither uses
nor changes torch's global generator.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "SIZES",
    "Conv2d",
    "ConvBlock",
    "Linear",
    "Modulation",
    "ResidualBlock",
    "TimeEmbedding",
    "default_width",
    "init_weights",
    "limited_width",
    "linear",
    "scaled",
    "set_components",
]

#: Names that the estimators accept for their parameter ``network_size``, and the
#: factors of widths that they stand for.
SIZES = {"small": 0.5, "base": 1.0, "large": 2.0}

#: With fewer outputs than this, matrix kernels round a row depending on its position.
N_NARROW = 16


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``; rounding does not depend on the position of a row.

    Parameters
    ----------
    x : Tensor of shape (n, n_inputs) or (n_inputs,)
    weight : Tensor of shape (n_outputs, n_inputs)
    bias : Tensor of shape (n_outputs,), optional
    """
    if len(weight) >= N_NARROW or x.ndim != 2:
        return F.linear(x, weight, bias)
    # Transposed weights, such as those of a read-out, have kernels of their own. On
    # Intel processors their rounding depends on the number of rows.
    y = (weight.contiguous() @ x.T).T
    return y if bias is None else y + bias


class Linear(nn.Linear):
    """``nn.Linear`` whose weights are drawn by :func:`init_weights`."""

    def reset_parameters(self):
        """Leave the weights undrawn."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` whose weights are drawn by :func:`init_weights`."""

    def reset_parameters(self):
        """Leave the weights undrawn."""


@torch.no_grad()
def init_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all layers of this module in `network`.

    As in torch, weights and biases are uniform within ``1 / sqrt(fan_in)``. Layers of
    other classes keep their weights.
    """
    for layer in network.modules():
        if isinstance(layer, Linear | Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def set_components(layer: Any, mean: Tensor, maps: Tensor) -> None:
    """Set a linear layer to ``(x - mean) @ maps``; further outputs are 0.

    Parameters
    ----------
    layer : nn.Linear
        From n_features to n_outputs.
    mean : Tensor of shape (n_features,)
    maps : Tensor of shape (n_features, k)
        ``k <= n_outputs``.
    """
    layer.weight.zero_()[: maps.shape[1]] = maps.T
    layer.bias.copy_(-(layer.weight @ mean))


def default_width(n_features: int) -> int:
    """Hidden width for rows of `n_features` values."""
    if n_features < 128:
        return 128
    if n_features < 512:
        return 256
    return limited_width(n_features, 2**24)


def limited_width(n_inputs: int, n_weights: int) -> int:
    """Width 512, or less (but at least 128) for a layer of at most `n_weights`."""
    return max(128, min(512, n_weights // n_inputs // 64 * 64))


def scaled(width: int, size: float) -> int:
    """Width multiplied by a factor; two or more for each of 8 normalised groups."""
    return max(16, round(width * size / 8) * 8)


class TimeEmbedding(nn.Module):
    """Smooth features of t: sines and cosines, followed by two linear layers.

    For VE, t is linear in ln sigma, so these are Fourier features of ln sigma.

    Parameters
    ----------
    width : int
        Number of outputs: ``(n,)`` to ``(n, width)``.
    n_frequencies : int
        Number of frequencies, from half a wave to 16 waves over [0, 1].
    """

    frequencies: Tensor

    def __init__(self, width: int, n_frequencies: int = 16):
        super().__init__()
        # On the CPU, since arithmetic on "meta" imports torch's compiler.
        waves = torch.logspace(-1, 4, n_frequencies, base=2.0, device="cpu")
        self.register_buffer("frequencies", 2 * math.pi * waves, persistent=False)
        self.hidden = Linear(2 * n_frequencies, width)
        self.output = Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        phase = t[:, None] * self.frequencies
        waves = torch.cat([phase.sin(), phase.cos()], dim=1)
        return self.output(F.silu(self.hidden(waves)))


class Modulation(nn.Module):
    """Scale and shift of features by a linear function of a condition.

    Parameters
    ----------
    condition_width : int
        Width of conditions ``(n, condition_width)``. 0 has no condition, and features
        are returned unchanged.
    width : int
        Width of features ``(n, width)``.
    """

    def __init__(self, condition_width: int, width: int):
        super().__init__()
        self.map = Linear(condition_width, 2 * width) if condition_width else None

    def forward(self, h: Tensor, condition: Tensor | None = None) -> Tensor:
        if self.map is None:
            return h
        scale, shift = self.map(condition).chunk(2, dim=1)
        return h * (1 + scale) + shift

    @torch.no_grad()
    def mute(self) -> None:
        """Set scales and shifts to 0, so that no condition has an effect."""
        for parameter in self.parameters():
            parameter.zero_()


class ResidualBlock(nn.Module):
    """``h + W2 silu(W1 norm(h))`` of rows ``(n, width)``.

    A condition ``(n, condition_width)`` scales and shifts the normalised rows.
    """

    def __init__(self, width: int, condition_width: int = 0):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = Modulation(condition_width, width)
        self.inner = Linear(width, width)
        self.outer = Linear(width, width)

    def forward(self, h: Tensor, condition: Tensor | None = None) -> Tensor:
        inner = self.modulation(self.norm(h), condition)
        return h + self.outer(F.silu(self.inner(inner)))


class ConvBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions on maps ``(n, C, H, W)``.

    Normalisation and activation come before each convolution. A condition
    ``(n, condition_width)`` is added, one number per channel, after the first.
    """

    def __init__(self, channels, width, condition_width=0, stride=1):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = Conv2d(channels, width, 3, stride=stride, padding=1)
        if condition_width:
            self.bias = Linear(condition_width, width)
        self.norm2 = nn.GroupNorm(8, width)
        self.conv2 = Conv2d(width, width, 3, padding=1)
        self.shortcut: nn.Module = nn.Identity()
        if channels != width or stride != 1:
            self.shortcut = Conv2d(channels, width, 1, stride=stride)

    def forward(self, h: Tensor, condition: Tensor | None = None) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(h)))
        if condition is not None:
            inner = inner + self.bias(condition)[:, :, None, None]
        inner = self.conv2(F.silu(self.norm2(inner)))
        return inner + self.shortcut(h)
