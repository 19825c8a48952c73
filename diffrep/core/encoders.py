"""Encoders E(x0) and E(x0, t).

An encoder is built by ``encoder(data_shape, n_outputs, time_conditioned)`` and
called with rows ``(n, *data_shape)`` of standardised data; a time-conditioned
one is called with t of shape ``(n,)`` as well. Two things are optional:

``trunk(x)`` and ``head(h, t)``
    split ``forward(x, t)`` so that the part free of t is computed once for a
    whole curve of codes; ``head`` also takes a t of shape ``(1,)``.
``initialize(X, generator)``
    fits the start of the network to rows X of the training data.

The encoders here are a *backbone*, which turns rows into features of several
stages, and a way of conditioning on t: :class:`LateEncoder` or
:class:`FullEncoder`. Nothing computes batch statistics, so the code of a row
depends on that row alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.layers import (
    Conv2d,
    ConvBlock,
    CurveHead,
    Linear,
    ResidualBlock,
    TimeEmbedding,
    default_width,
)

__all__ = [
    "BACKBONES",
    "CONDITIONINGS",
    "ClassBackbone",
    "ConvBackbone",
    "FullEncoder",
    "LateEncoder",
    "MLPBackbone",
    "WideResNetBackbone",
    "class_encoder",
]

CONDITION_WIDTH = 64


class LateEncoder(nn.Module):
    """Backbone free of t; t chooses among its stages at the end.

    Also the encoder of static codes, which have no t at all.

    Parameters
    ----------
    backbone : callable
        ``backbone(data_shape)`` gives a module with ``stage_widths`` that maps
        rows ``(n, *data_shape)`` to a list of features ``(n, width)``.
    data_shape : tuple of int
        Shape of one row.
    n_outputs : int
        Length of the code.
    time_conditioned : bool
        Whether ``forward`` takes a t.
    """

    def __init__(self, backbone, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.backbone = backbone(data_shape)
        self.head = CurveHead(self.backbone.stage_widths, n_outputs, time_conditioned)

    def trunk(self, x: Tensor) -> Tensor:
        return self.head.basis(self.backbone(x))

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        return self.head(self.trunk(x), t)


class FullEncoder(nn.Module):
    """Every block of the backbone sees t, as in Mittal et al. (2023).

    T codes of a row cost T passes.

    Parameters
    ----------
    backbone, data_shape, n_outputs, time_conditioned
        As for :class:`LateEncoder`.
    """

    def __init__(self, backbone, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.time = TimeEmbedding(CONDITION_WIDTH) if time_conditioned else None
        self.backbone = backbone(data_shape, CONDITION_WIDTH * time_conditioned)
        self.head = CurveHead(self.backbone.stage_widths, n_outputs, False)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        condition = None if self.time is None else F.silu(self.time(t))
        return self.head(self.head.basis(self.backbone(x, condition)))


class MLPBackbone(nn.Module):
    """Residual MLP; its stages are the row itself and each hidden state."""

    def __init__(self, data_shape, condition_width=0, width=None, n_blocks=2):
        super().__init__()
        n_features = math.prod(data_shape)
        width = width or default_width(n_features)
        self.input = Linear(n_features, width)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, condition_width) for _ in range(n_blocks)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_blocks))
        self.stage_widths = [n_features] + n_blocks * [width]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        stages = [x.flatten(1)]
        h = self.input(stages[0])
        for block, norm in zip(self.blocks, self.norms, strict=True):
            h = block(h, condition)
            stages.append(F.silu(norm(h)))
        return stages


class ConvBackbone(nn.Module):
    """Strided convolutions down to a side of 4 or less, then a residual MLP.

    Without normalisation of the maps, which on a CPU costs as much as the
    convolutions. The stages are the maps, pooled to 2 x 2 or nearly so, and
    the hidden state of the MLP.
    """

    def __init__(self, image_shape, condition_width=0, widths=(32, 64)):
        super().__init__()
        channels, *sides = image_shape
        hidden = default_width(math.prod(image_shape))
        self.convolutions = nn.ModuleList()
        self.conditions = nn.ModuleList()
        self.stage_widths = []
        while max(sides) > 4:
            first = not self.convolutions
            width = widths[min(len(self.convolutions), len(widths) - 1)]
            size = 5 if first else 3
            self.convolutions.append(
                Conv2d(channels, width, size, stride=2, padding=size // 2)
            )
            if condition_width:
                self.conditions.append(Linear(condition_width, width))
            channels, sides = width, [(side + 1) // 2 for side in sides]
            pooled = [
                side // window
                for side, window in zip(sides, _halves(sides), strict=True)
            ]
            self.stage_widths.append(width * math.prod(pooled))
        self.flat = Linear(channels * math.prod(sides), hidden)
        self.block = ResidualBlock(hidden, condition_width)
        self.norm = nn.LayerNorm(hidden)
        self.stage_widths.append(hidden)
        # Much faster on one input channel; torch's stubs miss this argument.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        stages = []
        x = x.contiguous(memory_format=torch.channels_last)
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if condition is not None:
                x = x + self.conditions[i](condition)[:, :, None, None]
            x = F.relu(x)
            stages.append(_flat(F.avg_pool2d(x, _halves(x.shape[2:]))))
        h = self.block(self.flat(_flat(x)), condition)
        return [*stages, F.silu(self.norm(h))]


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
        h, stages = self.stem(x), []
        for i, norm in enumerate(self.norms):
            for block in self.blocks[i * self.n_blocks : (i + 1) * self.n_blocks]:
                h = block(h, condition)
            stages.append(F.silu(norm(h)).mean((2, 3)))
        return stages


class ClassBackbone(nn.Module):
    """Classes instead of rows: conditional score matching on labels.

    Mittal et al. (2023), the objective CSM.
    """

    def __init__(self, n_classes, condition_width=0):
        super().__init__()
        self.n_classes = n_classes
        self.stage_widths = [n_classes]

    def forward(self, y: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        return [F.one_hot(y, self.n_classes).float()]


def class_encoder(n_classes, data_shape, n_outputs, time_conditioned):
    """Return an encoder of class numbers ``(n,)`` in place of rows."""
    return LateEncoder(ClassBackbone, n_classes, n_outputs, time_conditioned)


def _flat(maps):
    """Flatten channels-last maps ``(n, C, H, W)`` to rows without a copy."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def _halves(sides):
    """Windows that pool maps of these sides to 2 x 2, or nearly so."""
    return [max(1, side // 2) for side in sides]


#: Names of backbones and of conditionings that the estimators accept.
BACKBONES = {
    "mlp": MLPBackbone,
    "conv": ConvBackbone,
    "wide_resnet": WideResNetBackbone,
}
CONDITIONINGS = {"late": LateEncoder, "full": FullEncoder}
