"""Banks: features of a row that are fitted in closed form.

Encoders start from a bank; noise can be added in the space of a bank that stays as
it was fitted.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.closed_form import FAINT, ViewedRows, kmeans_filters
from diffrep.core.layers import Conv2d, Linear, default_width, set_components

__all__ = ["FilterBank", "ImageBank", "RowBank"]

#: A filter responds above this many standard deviations of its output.
THRESHOLD = 0.25
N_SPREAD_ROWS = 1000

#: Keeps the slope of the square root finite where no filter responds.
SQRT_OFFSET = 1e-3

#: Biases of the random features are uniform within this bound.
BIAS_BOUND = 0.5

#: Random features of a row of a table, each of so many of its columns.
N_UNITS = 512
N_JOINED = 3

#: Total variance of the columns among the features of a row, relative to that of
#: the random ones.
COLUMNS_SHARE = 8.0

#: Added to the variances of columns that are joined, relative to their mean.
JOINED_VARIANCE = 0.1


class FilterBank(nn.Module):
    """Responses of an image to filters, pooled to a coarse grid.

    ``(n, *image_shape)`` becomes ``(n, width)``. The square root evens out how
    strongly a filter responds; the responses of an image are then brought to
    mean 0 and variance 1.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    n_filters, filter_size : int
        Number of filters, and their side in pixels; they are 2 pixels apart.
    n_pooled : int
        Side of the grid.

    References
    ----------
    Coates and Ng, "Learning Feature Representations with K-means", 2012.
    """

    pool_rows: Tensor
    pool_columns: Tensor

    def __init__(self, image_shape, n_filters, filter_size=6, n_pooled=4):
        super().__init__()
        channels, *sides = image_shape
        height, width = (min(filter_size, side) for side in sides)
        padding = (height // 3, width // 3)
        self.conv = Conv2d(channels, n_filters, (height, width), 2, padding)
        n_rows, n_columns = (
            (side + 2 * pad - s) // 2 + 1
            for side, pad, s in zip(sides, padding, (height, width), strict=True)
        )
        for name, length in ("pool_rows", n_rows), ("pool_columns", n_columns):
            pool = overlapping_averages(length, min(n_pooled, length))
            self.register_buffer(name, pool, persistent=False)
        self.width = n_filters * len(self.pool_rows) * len(self.pool_columns)
        # Much faster on one input channel; torch's stubs miss this argument.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        maps = F.relu(self.conv(x), inplace=True).permute(0, 2, 3, 1)  # as they lie
        if len(self.pool_rows) < maps.shape[1]:
            maps = (self.pool_rows @ maps.flatten(2)).unflatten(2, maps.shape[2:])
        if len(self.pool_columns) < maps.shape[2]:
            maps = self.pool_columns @ maps
        responses = maps.flatten(1)
        responses = (responses + SQRT_OFFSET).sqrt()
        return F.layer_norm(responses, responses.shape[1:])

    @torch.no_grad()
    def initialize(self, X: Tensor, generator: torch.Generator) -> None:
        """Fit the filters to images X, and let each respond seldom."""
        weight, bias = self.conv.parameters()
        n_filters, _, *size = weight.shape
        weight.copy_(kmeans_filters(X, n_filters, size, generator))
        bias.zero_()
        weight.div_(self.conv(X[:N_SPREAD_ROWS]).std().clamp(min=1e-6))
        bias.fill_(-THRESHOLD)


class ImageBank(nn.Module):
    """Features of an image in two stages, each fitted in closed form.

    The first stage are the components of pooled filter responses in which
    images differ most and their views least, the second random rectified
    features of these. ``(n, *image_shape)`` becomes ``(n, width)``.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    """

    def __init__(self, image_shape):
        super().__init__()
        size = default_width(math.prod(image_shape))
        self.n_components = size // 2
        self.filters = FilterBank(image_shape, n_filters=min(64, size // 4))
        self.components = Linear(self.filters.width, self.n_components)
        self.random = Linear(self.n_components, 2 * size)
        self.width = self.n_components + 2 * size

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.normalized_components(self.filters(x)))

    def normalized_components(self, responses: Tensor) -> Tensor:
        """First stage ``(n, n_components)``, of responses ``(n, filters.width)``."""
        components = self.components(responses)
        return F.layer_norm(components, components.shape[1:])

    def features(self, components: Tensor) -> Tensor:
        """Both stages ``(n, width)``, of the first."""
        return torch.cat([components, F.relu(self.random(components))], dim=1)

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Fit both stages to images; return their features."""
        self.filters.initialize(rows.X, rows.generator)
        responses = rows.through(self.filters)
        set_components(self.components, *responses.stable_components(self.n_components))
        weight, bias = self.random.parameters()
        weight.normal_(0, 1 / math.sqrt(self.n_components), generator=rows.generator)
        bias.uniform_(-BIAS_BOUND, BIAS_BOUND, generator=rows.generator)
        return responses.through(self.normalized_components).through(self.features)


class RowBank(nn.Module):
    """Features of a row of a table: its columns, and rectified sums of a few of them.

    A rectified sum ``relu(w . x + b)`` of three columns bends and joins them, which
    no linear map of the row can. ``(n, n_features)`` becomes ``(n, width)``.

    Parameters
    ----------
    data_shape : tuple (n_features,)

    References
    ----------
    Rahimi and Recht, "Weighted Sums of Random Kitchen Sinks", 2008.
    """

    columns: Tensor
    column_weight: Tensor

    def __init__(self, data_shape):
        super().__init__()
        n_features = math.prod(data_shape)
        n_joined = min(N_JOINED, n_features)
        self.sums = Linear(n_joined, N_UNITS)
        columns = joined_columns(n_features, n_joined)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("column_weight", torch.ones(()))
        self.width = n_features + N_UNITS

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return torch.cat([self.column_weight * x, self.responses(x)], dim=1)

    def responses(self, x: Tensor) -> Tensor:
        """Rectified sums ``(n, N_UNITS)`` of rows ``(n, n_features)``."""
        weight, bias = self.sums.parameters()
        return F.relu((x[:, self.columns] * weight).sum(2) + bias)

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Draw sums of variance 1, in any direction of white columns alike."""
        X, draws = rows.X.flatten(1), rows.generator
        joined = X[:, self.columns] - X.mean(0)[self.columns]
        covariances = torch.einsum("nui,nuj->uij", joined, joined) / len(X)
        ridge = JOINED_VARIANCE * covariances.diagonal(dim1=1, dim2=2).mean(1) + FAINT
        variances, V = torch.linalg.eigh(covariances)
        scale = (variances + ridge[:, None]).sqrt()
        weight, bias = self.sums.parameters()
        directions = F.normalize(weight.normal_(generator=draws))
        weight.copy_((V @ (directions / scale)[:, :, None])[:, :, 0])
        bias.normal_(generator=draws)
        bias.sub_((weight * X.mean(0)[self.columns]).sum(1))
        spread = self.responses(X).var(0).sum() / X.var(0).sum().clamp(min=FAINT)
        self.column_weight.copy_((COLUMNS_SHARE * spread).sqrt())
        return rows.through(self)


def joined_columns(n_features: int, n_joined: int) -> Tensor:
    """Numbers ``(N_UNITS, n_joined)`` of columns, all equally often.

    They are drawn once and for all, by a generator whose stream never changes.
    """
    draws = np.random.RandomState(0)
    n_sums = n_features // n_joined
    orders = [draws.permutation(n_features) for _ in range(-(-N_UNITS // n_sums))]
    sums = [order[: n_sums * n_joined].reshape(n_sums, n_joined) for order in orders]
    return torch.from_numpy(np.concatenate(sums)[:N_UNITS])


def overlapping_averages(length: int, n: int) -> Tensor:
    """Matrix ``(n, length)`` of weighted averages around n centres of a line.

    The weight falls linearly to 0 at the distance of two centres, so that a
    small shift changes an average little; the identity if n is `length`.
    """
    distance = length / n
    centres = (torch.arange(n) + 0.5) * distance - 0.5
    apart = (torch.arange(length) - centres[:, None]).abs()
    weights = (1 - apart / distance).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
