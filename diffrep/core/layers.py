"""Building blocks whose start is drawn from a generator of the caller's.

The layers here leave their weights undrawn when they are constructed;
:func:`draw_weights` then draws all of a network's from one generator, so that
building a network neither reads nor moves torch's global generator.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.closed_form import ViewedRows

__all__ = [
    "Conv2d",
    "ConvBlock",
    "CurveHead",
    "Linear",
    "ResidualBlock",
    "TimeEmbedding",
    "default_width",
    "draw_weights",
    "linear",
    "set_components",
]

#: Matrix kernels with fewer outputs than this round a row by its place.
N_NARROW = 16


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``, whose rounding does not depend on a row's place.

    Parameters
    ----------
    x : Tensor of shape (n, n_inputs) or (n_inputs,)
    weight : Tensor of shape (n_outputs, n_inputs)
    bias : Tensor of shape (n_outputs,), optional
    """
    if len(weight) >= N_NARROW or x.ndim != 2:
        return F.linear(x, weight, bias)
    y = (weight @ x.T).T
    return y if bias is None else y + bias


class Linear(nn.Linear):
    """``nn.Linear`` whose weights wait for :func:`draw_weights`."""

    def reset_parameters(self):
        """Leave the weights undrawn."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` whose weights wait for :func:`draw_weights`."""

    def reset_parameters(self):
        """Leave the weights undrawn."""


@torch.no_grad()
def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every own layer of `network` as torch does by default.

    Weights and biases are uniform within ``1 / sqrt(fan_in)``. Layers that are
    not of this module keep what they were built with.
    """
    for layer in network.modules():
        if isinstance(layer, Linear | Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def set_components(layer: Any, mean: Tensor, maps: Tensor) -> None:
    """Let a linear layer give ``(x - mean) @ maps``, and zeros if there are more.

    Parameters
    ----------
    layer : nn.Linear
        From n_features to n_outputs.
    mean : Tensor of shape (n_features,)
    maps : Tensor of shape (n_features, k)
        ``k <= n_outputs``.
    """
    layer.weight.zero_()[: maps.shape[1]] = maps.T
    layer.bias.copy_(-layer.weight @ mean)


def default_width(n_features: int) -> int:
    """Hidden width for rows of `n_features` values: cost grows as its square."""
    if n_features < 128:
        return 128
    return 256 if n_features < 512 else 512


class TimeEmbedding(nn.Module):
    """Smooth features of t: sines and cosines, then two linear layers.

    For VE, t is linear in ln sigma, so these are Fourier features of ln sigma.

    Parameters
    ----------
    width : int
        Number of outputs: t of shape ``(n,)`` gives ``(n, width)``.
    n_frequencies : int
        From half a wave to 16 waves over [0, 1].
    """

    frequencies: Tensor

    def __init__(self, width: int, n_frequencies: int = 16):
        super().__init__()
        waves = torch.logspace(-1, 4, n_frequencies, base=2.0)
        self.register_buffer("frequencies", 2 * math.pi * waves, persistent=False)
        self.hidden = Linear(2 * n_frequencies, width)
        self.output = Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        phase = t[:, None] * self.frequencies
        waves = torch.cat([phase.sin(), phase.cos()], dim=1)
        return self.output(F.silu(self.hidden(waves)))


class ResidualBlock(nn.Module):
    """``h + W2 silu(W1 norm(h))`` on rows ``(n, width)``.

    With `condition_width` the normalised rows are scaled and shifted by a
    linear function of a condition ``(n, condition_width)``.
    """

    def __init__(self, width: int, condition_width: int = 0):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        if condition_width:
            self.modulation = Linear(condition_width, 2 * width)
        self.inner = Linear(width, width)
        self.outer = Linear(width, width)

    def forward(self, h: Tensor, condition: Tensor | None = None) -> Tensor:
        inner = self.norm(h)
        if condition is not None:
            scale, shift = self.modulation(condition).chunk(2, dim=1)
            inner = inner * (1 + scale) + shift
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


class Clock(nn.Module):
    """Time as an encoder reads it: the share of the training times below t.

    All of [0, 1] is then trained on alike, and times outside of the training
    times are read as the first or the last of them.

    Parameters
    ----------
    quantiles : Tensor of shape (n_quantiles,)
        The ``(i - 1/2) / n_quantiles`` quantiles of the training times.
    """

    quantiles: Tensor

    def __init__(self, quantiles: Tensor):
        super().__init__()
        self.register_buffer("quantiles", quantiles.float())

    def forward(self, t: Tensor) -> Tensor:
        n = len(self.quantiles)
        i = (self.quantiles < t[:, None]).sum(1).clamp(1, n - 1)
        before, after = self.quantiles[i - 1], self.quantiles[i]
        passed = ((t - before) / (after - before).clamp(min=1e-9)).clamp(0, 1)
        return (i - 0.5 + passed) / n


class CurveHead(nn.Module):
    """Reads a code, or a curve of codes over time, off features of several stages.

    Each stage contributes `n_basis` basis codes, linear in its features. A
    static code is their sum. A code at time t is their sum with weights, one
    per basis code and component, that are cosine series of the time that the
    clock shows: time chooses among features of different scale, and the basis
    codes are computed once for any number of times.

    Parameters
    ----------
    stage_widths : sequence of int
        Number of features ``(n, width)`` of each stage.
    n_outputs : int
        Length of the code.
    clock : Clock or None
        How t is read; None for a code that does not depend on it.
    """

    def __init__(self, stage_widths, n_outputs, clock, n_basis=4, n_waves=8):
        super().__init__()
        n_basis = 1 if clock is None else n_basis
        self.n_basis, self.n_waves, self.clock = n_basis, n_waves, clock
        self.shape = (-1, n_basis * len(stage_widths), n_outputs)
        self.readouts = nn.ModuleList(
            Linear(width, n_basis * n_outputs) for width in stage_widths
        )
        if clock is not None:
            self.gate = Linear(n_waves, self.shape[1] * n_outputs)

    @torch.no_grad()
    def initialize(self, stage: ViewedRows) -> None:
        """Start as the components of the first stage that views change least.

        A curve starts as a cosine series whose constant term are the first
        `n_outputs` components, the term ``cos(pi u)`` the next, and so on: the
        codes at n_basis midpoints hold as many different components. What the
        other stages add starts at zero.

        Parameters
        ----------
        stage : ViewedRows of shape (n, width)
            First stage of some rows.
        """
        for readout in self.readouts.parameters():
            readout.zero_()
        n_basis_outputs = self.n_basis * self.shape[-1]
        first = self.readouts[0]
        set_components(first, *stage.stable_components(n_basis_outputs))
        if self.clock is not None:
            series = torch.eye(self.n_basis, 1 + self.n_waves, device=stage.X.device)
            series = series.repeat_interleave(self.shape[-1], 0)
            self.gate.bias[:n_basis_outputs] = series[:, 0]
            self.gate.weight[:n_basis_outputs] = series[:, 1:]

    def basis(self, stages: list[Tensor]) -> Tensor:
        """Basis codes ``(n, n_stages * n_basis, n_outputs)``."""
        codes = [read(stage) for read, stage in zip(self.readouts, stages, strict=True)]
        return torch.cat(codes, dim=1).view(self.shape)

    def forward(self, basis: Tensor, t: Tensor | None = None) -> Tensor:
        """Codes ``(n, n_outputs)`` at times `t` of shape ``(n,)`` or ``(1,)``."""
        if t is None:
            return basis.sum(1)
        k = torch.arange(1, self.n_waves + 1, device=t.device)
        waves = torch.cos(math.pi * k * self.clock(t)[:, None])
        return (basis * self.gate(waves).view(self.shape)).sum(1)
