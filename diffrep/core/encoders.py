"""Encoders E(x0) and E(x0, t).

An encoder is built by ``encoder(data_shape, n_outputs, time_conditioned)`` and
called with rows ``(n, *data_shape)`` of standardised data; a time-conditioned
one is called with t of shape ``(n,)`` as well. The optional method
``initialize(rows)`` fits the initial weights to rows ``rows.X`` of the training data
and their views ``rows.views``; see :class:`diffrep.core.closed_form.ViewedRows`.

The :class:`Encoder` here is built on a *backbone*, which computes features of several
stages. There are no batch statistics, so the code of a row does not depend on others.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.banks import ImageBank, RowBank, SignalBank
from diffrep.core.closed_form import ViewedRows
from diffrep.core.layers import (
    Conv2d,
    ConvBlock,
    Linear,
    Modulation,
    ResidualBlock,
    TimeEmbedding,
    default_width,
    set_components,
)

__all__ = [
    "BACKBONES",
    "ConvBackbone",
    "Encoder",
    "MLPBackbone",
    "WideResNetBackbone",
    "WindowBackbone",
]

CONDITION_WIDTH = 64


class Encoder(nn.Module):
    """A sum of linear maps of what a backbone makes of rows, stage by stage.

    Parameters
    ----------
    backbone : callable
        ``backbone(data_shape, condition_width)`` gives a module with
        ``stage_widths`` that maps rows ``(n, *data_shape)``, and a condition
        ``(n, condition_width)`` if that is not 0, to a list of features
        ``(n, width)``. Its method ``initialize(rows)`` fits it to the data, as
        far as it can be, and returns the first stage of the rows.
    span : tuple (t_first, t_last)
        Of the training times: other times are read as the nearer of these.
    data_shape : tuple of int
        Shape of one row.
    n_outputs : int
        Length of the code.
    time_conditioned : bool
        Whether ``forward`` takes a t, which every block of the backbone sees, as
        in Mittal et al. (2023). T codes of a row then cost T passes.
    """

    backbone: Any

    def __init__(self, backbone, span, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.span = span
        self.time = TimeEmbedding(CONDITION_WIDTH) if time_conditioned else None
        self.backbone = backbone(data_shape, CONDITION_WIDTH * time_conditioned)
        self.outputs = nn.ModuleList(
            Linear(width, n_outputs) for width in self.backbone.stage_widths
        )

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        condition = None
        if self.time is not None and t is not None:
            condition = F.silu(self.time(t.clamp(*self.span)))
        stages = self.backbone(x, condition)
        return sum(read(h) for read, h in zip(self.outputs, stages, strict=True))

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> None:
        """Start as the components of the first stage that views change least.

        What the other stages add starts at zero.
        """
        for parameter in self.outputs.parameters():
            parameter.zero_()
        first = self.outputs[0]
        stage = self.backbone.initialize(rows)
        set_components(first, *stage.stable_components(first.out_features))


class MLPBackbone(nn.Module):
    """Residual MLP on a :class:`RowBank` that is trained on.

    Its stages are the features of the bank and each hidden state.

    A condition scales and shifts the features of the bank, and the hidden states in
    every block.
    """

    make_bank: Any = RowBank

    def __init__(self, data_shape, condition_width=0, width=None, n_blocks=2):
        super().__init__()
        width = width or default_width(math.prod(data_shape))
        self.bank = self.make_bank(data_shape)
        self.modulation = Modulation(condition_width, self.bank.width)
        self.input = Linear(self.bank.width, width)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, condition_width) for _ in range(n_blocks)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_blocks))
        self.stage_widths = [self.bank.width] + n_blocks * [width]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        stages = [self.modulation(self.bank(x), condition)]
        h = self.input(stages[0])
        for block, norm in zip(self.blocks, self.norms, strict=True):
            h = block(h, condition)
            stages.append(F.silu(norm(h)))
        return stages

    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Fit the bank to rows; return their features without a condition."""
        self.modulation.mute()
        return rows.fit(self.bank)


class WindowBackbone(MLPBackbone):
    """Residual MLP on a :class:`SignalBank`, which stays as it was fitted."""

    make_bank = SignalBank


class ConvBackbone(nn.Module):
    """An :class:`ImageBank` that is trained on; its only stage are the features.

    One layer of convolutions is most of what a few minutes on a CPU can learn
    from small images, if its filters begin as fitted to patches of the data.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    condition_width : int
        Width of the condition, 0 for none, which scales and shifts the first
        stage of the bank.
    """

    def __init__(self, image_shape, condition_width=0):
        super().__init__()
        self.bank = ImageBank(image_shape)
        self.modulation = Modulation(condition_width, self.bank.n_components)
        self.stage_widths = [self.bank.width]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        h = self.bank.normalized_components(self.bank.filters(x))
        return [self.bank.features(self.modulation(h, condition))]

    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Fit the bank to images; return their features without a condition."""
        self.modulation.mute()
        return rows.fit(self.bank)


class WideResNetBackbone(nn.Module):
    """Wide residual network WRN-28-k; its stages are pooled maps.

    The encoder of Mittal et al. (2023), with two departures: GroupNorm in
    place of batch normalisation, so that a code depends on its row alone, and
    a linear read-out of the pooled maps of every stage.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    condition_width : int
        Width of the condition, 0 for none, which enters each block after its first
        convolution.
    widen_factor : int
        The k of WRN-28-k.
    n_blocks : int
        Residual blocks per stage, 4 for 28 layers.

    References
    ----------
    Zagoruyko and Komodakis, "Wide Residual Networks", 2016.
    """

    def __init__(self, image_shape, condition_width=0, widen_factor=2, n_blocks=4):
        super().__init__()
        widths = [16 * widen_factor * scale for scale in (1, 2, 4)]
        self.stem = Conv2d(image_shape[0], 16, 3, padding=1)
        self.blocks = nn.ModuleList()
        self.n_blocks = n_blocks
        channels = 16
        for i, width in enumerate(widths):
            for j in range(n_blocks):
                stride = 2 if i > 0 and j == 0 else 1
                self.blocks.append(ConvBlock(channels, width, condition_width, stride))
                channels = width
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths)
        self.stage_widths = widths

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        return list(self._stages(x, condition))

    def _stages(self, x, condition=None):
        h = self.stem(x)
        for i, norm in enumerate(self.norms):
            for block in self.blocks[i * self.n_blocks : (i + 1) * self.n_blocks]:
                h = block(h, condition)
            yield F.silu(norm(h)).mean((2, 3))

    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Return the first stage without a condition: nothing is fitted."""
        return rows.through(lambda x: next(self._stages(x)))


#: Names of backbones that the estimators accept.
BACKBONES = {
    "mlp": MLPBackbone,
    "windows": WindowBackbone,
    "conv": ConvBackbone,
    "wide_resnet": WideResNetBackbone,
}
