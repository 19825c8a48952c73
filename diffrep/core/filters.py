"""A bank of small filters whose pooled responses describe an image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.closed_form import whitened_patches
from diffrep.core.layers import Conv2d

__all__ = ["FilterBank"]

#: A filter answers above this many standard deviations of its response.
THRESHOLD = 0.25
N_SPREAD_ROWS = 1000

#: Keeps the slope of the square root finite where no filter answers.
SQRT_OFFSET = 1e-3


class FilterBank(nn.Module):
    """Responses of an image to filters, averaged over a coarse grid.

    ``(n, *image_shape)`` becomes ``(n, width)``. The square root evens out how
    strongly a filter answers; the responses of an image are then brought to
    mean 0 and variance 1.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    n_filters, filter_size : int
        Number of filters, and their side in pixels; they are 2 pixels apart.
    n_pooled : int
        Responses are averaged to a grid of this side.

    References
    ----------
    Coates and Ng, "The Importance of Encoding Versus Training with Sparse
    Coding and Vector Quantization", 2011.
    """

    def __init__(self, image_shape, n_filters=64, filter_size=6, n_pooled=4):
        super().__init__()
        channels, *sides = image_shape
        height, width = (min(filter_size, side) for side in sides)
        size, padding = (height, width), (height // 3, width // 3)
        self.conv = Conv2d(channels, n_filters, size, stride=2, padding=padding)
        n_rows, n_columns = (
            (side + 2 * pad - s) // 2 + 1
            for side, pad, s in zip(sides, padding, size, strict=True)
        )
        self.grid = (min(n_pooled, n_rows), min(n_pooled, n_columns))
        self.width = n_filters * math.prod(self.grid)
        # Much faster on one input channel; torch's stubs miss this argument.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        pooled = F.adaptive_avg_pool2d(F.relu(self.conv(x)), self.grid)
        responses = pooled.permute(0, 2, 3, 1).flatten(1)  # as they lie: no copy
        responses = (responses + SQRT_OFFSET).sqrt()
        return F.layer_norm(responses, responses.shape[1:])

    @torch.no_grad()
    def initialize(self, X: Tensor, generator: torch.Generator) -> None:
        """Let the filters be whitened patches of images X that seldom answer."""
        weight, bias = self.conv.parameters()
        n_filters, _, *size = weight.shape
        weight.copy_(whitened_patches(X, n_filters, size, generator))
        bias.zero_()
        weight.div_(self.conv(X[:N_SPREAD_ROWS]).std().clamp(min=1e-6))
        bias.fill_(-THRESHOLD)
