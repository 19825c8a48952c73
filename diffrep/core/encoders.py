"""Encoders E(x0) and E(x0, t).

An encoder is built by ``encoder(data_shape, n_outputs, time_conditioned)`` and
called with rows ``(n, *data_shape)`` of standardised data; a time-conditioned
one is called with t of shape ``(n,)`` as well. Two things are optional:

``trunk(x)`` and ``head(h, t)``
    split ``forward(x, t)`` so that the part free of t is computed once for a
    whole curve of codes; ``head`` also takes a t of shape ``(1,)``.
``initialize(rows)``
    fits the start of the network to rows ``rows.X`` of the training data and to
    ``rows.views``, what the encoder is shown of them in training; see
    :class:`diffrep.core.closed_form.ViewedRows`.

The encoders here are a *backbone*, which turns rows into features of several
stages, and a way of conditioning on t: :class:`LateEncoder` or
:class:`FullEncoder`. Nothing computes batch statistics, so the code of a row
depends on that row alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.banks import ImageBank
from diffrep.core.closed_form import ViewedRows
from diffrep.core.layers import (
    Clock,
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


class _BackboneEncoder(nn.Module):
    """What the two ways of conditioning share: the start in closed form.

    Parameters
    ----------
    backbone : callable
        ``backbone(data_shape, condition_width)`` gives a module with
        ``stage_widths`` that maps rows ``(n, *data_shape)``, and a condition
        ``(n, condition_width)`` if that is not 0, to a list of features
        ``(n, width)``. Its method ``initialize(rows)`` fits it to the data, as
        far as it can be, and returns the first stage of the rows.
    quantiles : Tensor of shape (n_quantiles,)
        Of the training times, for the :class:`Clock`.
    data_shape : tuple of int
        Shape of one row.
    n_outputs : int
        Length of the code.
    time_conditioned : bool
        Whether ``forward`` takes a t.
    """

    backbone: Any
    head: CurveHead

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> None:
        """Fit the backbone and the read-out of its first stage to rows."""
        self.head.initialize(self.backbone.initialize(rows))


class LateEncoder(_BackboneEncoder):
    """Backbone free of t; t chooses among its stages at the end.

    Also the encoder of static codes, which have no t at all.
    """

    def __init__(self, backbone, quantiles, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.backbone = backbone(data_shape)
        clock = Clock(quantiles) if time_conditioned else None
        self.head = CurveHead(self.backbone.stage_widths, n_outputs, clock)

    def trunk(self, x: Tensor) -> Tensor:
        return self.head.basis(self.backbone(x))

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        return self.head(self.trunk(x), t)


class FullEncoder(_BackboneEncoder):
    """Every block of the backbone sees t, as in Mittal et al. (2023).

    T codes of a row cost T passes.
    """

    def __init__(self, backbone, quantiles, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.time = None
        if time_conditioned:
            self.time = nn.Sequential(Clock(quantiles), TimeEmbedding(CONDITION_WIDTH))
        self.backbone = backbone(data_shape, CONDITION_WIDTH * time_conditioned)
        self.head = CurveHead(self.backbone.stage_widths, n_outputs, None)

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

    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Return the first stage, the rows as they are: nothing is fitted."""
        return rows.through(lambda x: x.flatten(1))


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
        if condition_width:
            self.modulation = Linear(condition_width, 2 * self.bank.n_components)
        self.stage_widths = [self.bank.width]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        if condition is None:
            return [self.bank(x)]
        h = self.bank.normalized_components(self.bank.filters(x))
        scale, shift = self.modulation(condition).chunk(2, dim=1)
        return [self.bank.features(h * (1 + scale) + shift)]

    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Fit the bank to images; return their features without a condition."""
        if hasattr(self, "modulation"):
            for parameter in self.modulation.parameters():
                parameter.zero_()
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

    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Return the only stage: nothing is fitted."""
        return rows.through(lambda y: self(y)[0])


def class_encoder(n_classes, quantiles, data_shape, n_outputs, time_conditioned):
    """Return an encoder of class numbers ``(n,)`` in place of rows."""
    return LateEncoder(ClassBackbone, quantiles, n_classes, n_outputs, time_conditioned)


#: Names of backbones and of conditionings that the estimators accept.
BACKBONES = {
    "mlp": MLPBackbone,
    "conv": ConvBackbone,
    "wide_resnet": WideResNetBackbone,
}
CONDITIONINGS = {"late": LateEncoder, "full": FullEncoder}
