"""Encoders E(x0) and E(x0, t).

An encoder is constructed by ``encoder(data_shape, n_outputs, time_conditioned)`` and
called with rows ``(n, *data_shape)`` of standardised data, and with t of shape ``(n,)``
if it is time-conditioned. The optional method
``initialize(rows)`` fits the initial weights to rows ``rows.X`` of the training data
and their views ``rows.views``; see :class:`diffrep.core.closed_form.ViewedRows`.

An :class:`Encoder` contains a *backbone*, which computes features in several stages.
There are no batch statistics, so the code of a row does not depend on other rows.
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
    scaled,
    set_components,
)

__all__ = [
    "BACKBONES",
    "ConvBackbone",
    "DeepConvBackbone",
    "Encoder",
    "MLPBackbone",
    "WideResNetBackbone",
    "WindowBackbone",
]

CONDITION_WIDTH = 64


class Encoder(nn.Module):
    """Sum of linear maps of the stages of a backbone.

    Parameters
    ----------
    backbone : callable
        ``backbone(data_shape, condition_width)`` returns a module with an attribute
        ``stage_widths``. It maps rows ``(n, *data_shape)``, and a condition ``(n,
        condition_width)`` if that is not 0, to a list of features ``(n, width)``, one
        for each stage. Its method ``initialize(rows)`` fits initial weights to data and
        returns the features of the first stage.
    span : tuple (t_first, t_last)
        Range of the training times, to which other times are clipped.
    data_shape : tuple of int
        Shape of one row.
    n_outputs : int
        Length of the code.
    time_conditioned : bool
        Whether ``forward`` has an argument t, which is an input of every block of the
        backbone, as in Mittal et al. (2023). T codes of a row then take T passes.
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
        """Set the outputs to stable components of the first stage.

        The maps of the other stages are set to 0.
        """
        for parameter in self.outputs.parameters():
            parameter.zero_()
        first = self.outputs[0]
        stage = self.backbone.initialize(rows)
        set_components(first, *stage.stable_components(first.out_features))


class MLPBackbone(nn.Module):
    """Residual MLP on a :class:`RowBank`, which is trained too.

    The stages are the features of the bank and the hidden states after each block. A
    condition scales and shifts the features, and the hidden states in every block.
    """

    make_bank: Any = RowBank

    def __init__(self, data_shape, condition_width=0, size=1.0, n_blocks=2):
        super().__init__()
        width = scaled(default_width(math.prod(data_shape)), size)
        self.bank = self.make_bank(data_shape, size)
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
    """Residual MLP on a :class:`SignalBank`, which is not trained."""

    make_bank = SignalBank


class ConvBackbone(nn.Module):
    """An :class:`ImageBank` that is trained. It is the only stage.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    condition_width : int
        Width of the condition, which scales and shifts the components of the bank; 0
        has none.
    """

    def __init__(self, image_shape, condition_width=0, size=1.0):
        super().__init__()
        self.bank = ImageBank(image_shape, size)
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
    """Wide residual network WRN-28-k; its stages are averages of maps over the image.

    The encoder of Mittal et al. (2023), with two differences: group normalisation in
    place of batch normalisation, so that a code does not depend on other rows, and
    linear maps of all three stages.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    condition_width : int
        Width of the condition, which is added in each block after the first
        convolution; 0 has none.
    size : float
        Half of the k of WRN-28-k.
    n_blocks : int
        Number of residual blocks per stage; 4 results in 28 layers.

    References
    ----------
    Zagoruyko and Komodakis, "Wide Residual Networks", 2016.
    """

    def __init__(self, image_shape, condition_width=0, size=1.0, n_blocks=4):
        super().__init__()
        widths = [scaled(32 * factor, size) for factor in (1, 2, 4)]
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
        """Return the first stage without a condition; nothing is fitted."""
        return rows.through(lambda x: next(self._stages(x)))


class DeepConvBackbone(nn.Module):
    """A :class:`ConvBackbone` and a :class:`WideResNetBackbone` side by side.

    The first stage is the bank, to which the outputs of an encoder are fitted. Those of
    the residual network are 0 at first, so the codes of an encoder start as with
    "conv".

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    condition_width, size
        As for the two backbones.
    """

    def __init__(self, image_shape, condition_width=0, size=1.0):
        super().__init__()
        self.shallow = ConvBackbone(image_shape, condition_width, size)
        self.deep = WideResNetBackbone(image_shape, condition_width, size)
        self.stage_widths = self.shallow.stage_widths + self.deep.stage_widths

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        return self.shallow(x, condition) + self.deep(x, condition)

    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Fit the bank to images; return their features without a condition."""
        return self.shallow.initialize(rows)


#: Names of backbones that the estimators accept.
BACKBONES = {
    "mlp": MLPBackbone,
    "windows": WindowBackbone,
    "conv": ConvBackbone,
    "deep_conv": DeepConvBackbone,
    "wide_resnet": WideResNetBackbone,
}
