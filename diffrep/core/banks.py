"""Banks: features of a row that are fitted in closed form.

Encoders are initialised by a bank, and noise can be added to the features of a fixed
bank.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.closed_form import (
    FAINT,
    ViewedRows,
    kmeans_filters,
    principal_components,
)
from diffrep.core.layers import (
    Conv2d,
    Linear,
    default_width,
    limited_width,
    scaled,
    set_components,
)

__all__ = ["FilterBank", "ImageBank", "RowBank", "SignalBank"]

#: Threshold of a filter, in standard deviations of its output.
THRESHOLD = 0.25
N_SPREAD_ROWS = 1000

#: Keeps the slope of the square root finite at 0.
SQRT_OFFSET = 1e-3

#: Quantiles of the responses of a filter that are its levels.
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
N_WINDOWS = 20_000

#: Width of the ramp at a level, so that features are continuous.
STEP = 0.02

#: Largest number of values in the windows to which filters of a scale are fitted.
N_WINDOW_VALUES = 2**22

#: Weight of the means over parts of a signal, relative to those over all of it.
PARTS_WEIGHT = 0.25

#: Factor of the features of a signal. A step of Adam changes all weights by about the
#: same amount, so a code changes less in a step if features are small.
SIGNAL_FEATURES = 0.25

#: Biases of the random features are uniform within this bound.
BIAS_BOUND = 0.5

#: Number of random features of a table, and of columns in each.
N_UNITS = 512
N_JOINED = 3

#: Tables with more columns are reduced to 512 principal components, or to as many, but
#: at least 128, as have this number of weights.
N_COLUMNS = 1024
N_PRINCIPAL_WEIGHTS = 2**22

#: Total variance of the columns among the features of a row, relative to that of
#: the random ones.
COLUMNS_SHARE = 8.0

#: Added to the variances of the columns in a random feature, relative to their mean.
JOINED_VARIANCE = 0.1


class FilterBank(nn.Module):
    """Responses of an image to filters, pooled to a coarse grid.

    Maps ``(n, *image_shape)`` to ``(n, width)``. The square root reduces differences in
    strength between filters; the responses of an image are then scaled to mean 0 and
    variance 1.

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
        return normalized((maps.flatten(1) + SQRT_OFFSET).sqrt())

    @torch.no_grad()
    def initialize(self, X: Tensor, generator: torch.Generator) -> None:
        """Fit filters and their thresholds to images X."""
        weight, bias = self.conv.parameters()
        n_filters, _, *size = weight.shape
        weight.copy_(kmeans_filters(X, n_filters, size, generator))
        bias.zero_()
        weight.div_(self.conv(X[:N_SPREAD_ROWS]).std().clamp(min=1e-6))
        bias.fill_(-THRESHOLD)


class ImageBank(nn.Module):
    """Features of an image in two stages, each fitted in closed form.

    The first stage consists of the components of pooled filter responses in which
    images differ most and views of an image least, and the second of random rectified
    features of these. Maps ``(n, *image_shape)`` to ``(n, width)``.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
    size : float
        Factor of the numbers of filters, components and random features.
    """

    def __init__(self, image_shape, size=1.0):
        super().__init__()
        width = default_width(min(512, math.prod(image_shape)))
        self.n_components = scaled(width // 2, size)
        n_random = scaled(2 * width, size)
        self.filters = FilterBank(image_shape, scaled(min(64, width // 4), size))
        self.components = Linear(self.filters.width, self.n_components)
        self.random = Linear(self.n_components, n_random)
        self.width = self.n_components + n_random

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.normalized_components(self.filters(x)))

    def normalized_components(self, responses: Tensor) -> Tensor:
        """First stage ``(n, n_components)``, of responses ``(n, filters.width)``."""
        return normalized(self.components(responses))

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


class SignalBank(nn.Module):
    """Responses of a signal to short filters at several scales, pooled over time.

    At scale s a filter is applied to averages of ``2^s`` samples. Maps
    ``(n, *signal_shape)`` to ``(n, width)``, with these features for each filter: the
    shares of responses above some levels, the mean, the maximum, and the means over
    each quarter of the signal. Features of one type and scale are scaled to mean 0 and
    the same variance for each signal. The bank is not trained.

    Half of the filters are fitted to windows at random positions, the others to windows
    with a large variance, which contain the events if most of a signal is noise.

    Parameters
    ----------
    signal_shape : tuple (channels, length)
    size : float
        Factor of the number of filters.
    n_filters, filter_size : int
        Number of filters at each scale, and their length in samples.
    n_pooled : int
        Number of parts of the signal.

    References
    ----------
    Dempster, Schmidt and Webb, "MiniRocket", 2021, whose features are shares of
    responses above levels that are quantiles of responses; filters by k-means, Coates
    and Ng, 2012.
    """

    levels: Tensor

    def __init__(self, signal_shape, size=1.0, n_filters=48, filter_size=9, n_pooled=4):
        super().__init__()
        n_filters = scaled(n_filters, size)
        channels, length = signal_shape
        self.size = min(filter_size, length)
        self.n_pooled = min(n_pooled, length)
        reach = max(1, self.size - 1)
        n_scales = 1 + int(math.log2(max(1, (length - 1) // reach)))
        self.filters = Linear(channels * self.size, n_scales * n_filters, bias=False)
        self.filters.requires_grad_(False)
        self.register_buffer("levels", torch.zeros(n_scales, len(LEVELS), n_filters, 1))
        self.width = n_scales * n_filters * (len(LEVELS) + 2 + self.n_pooled)

    @property
    def scales(self) -> Tensor:
        """Filters of each scale, ``(n_scales, n_filters, channels * filter_size)``."""
        return self.filters.weight.unflatten(0, (len(self.levels), -1))

    def windows(self, x: Tensor, scale: int) -> Tensor:
        """Windows ``(n, channels * filter_size, n_windows)`` of signals at a scale."""
        n_averaged, step = 2**scale, 1
        if scale:  # averages of samples that overlap by half
            step = 2
            half = n_averaged // 2
            x = F.avg_pool1d(x, n_averaged, stride=half, padding=half)
        padding = (0, (self.size - 1) * step // 2)
        return F.unfold(
            x[:, :, None], (1, self.size), dilation=(1, step), padding=padding
        )

    def forward(self, x: Tensor) -> Tensor:
        groups = []
        for scale, (filters, levels) in enumerate(
            zip(self.scales, self.levels, strict=True)
        ):
            responses = filters @ self.windows(x, scale)
            values = torch.empty_like(responses)  # fresh memory would cost most
            torch.clamp(responses, min=THRESHOLD, out=values)
            parts = F.adaptive_avg_pool1d(values, self.n_pooled) - THRESHOLD
            mean = values.mean(2) - THRESHOLD
            largest = F.relu(responses.amax(2) - THRESHOLD)
            shares = [
                torch.sub(responses, level, out=values).clamp_(-STEP, STEP).mean(2)
                / STEP
                for level in levels
            ]
            mean, parts = ((m + SQRT_OFFSET).sqrt() for m in (mean, parts))
            groups += [normalized(group) for group in (*shares, mean, largest)]
            groups.append(PARTS_WEIGHT * normalized(parts.flatten(1)))
        return SIGNAL_FEATURES * torch.cat(groups, dim=1)

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Fit filters and levels to signals; return their features."""
        X, generator = rows.X, rows.generator
        shares, n_channels = X.new_tensor(LEVELS), X.shape[1]
        X = X[: max(2, N_WINDOW_VALUES // (self.size * X[0].numel()))]
        for scale, filters in enumerate(self.scales):
            windows = self.windows(X, scale)
            patches = windows.transpose(1, 2).reshape(-1, n_channels, 1, self.size)
            power = patches.flatten(1).var(1, correction=0) + FAINT
            strong = torch.multinomial(power**3, N_WINDOWS, True, generator=generator)
            n_half, size = len(filters) // 2, (1, self.size)
            halves = [
                kmeans_filters(some, n_half, size, generator).flatten(1)
                for some in (patches, patches[strong])
            ]
            found = F.normalize(torch.cat(halves))
            responses = (found @ windows).transpose(0, 1).flatten(1)
            spread = responses.std().clamp(min=1e-6)
            filters.copy_(found / spread)
            drawn = torch.randint(
                responses.shape[1], (N_WINDOWS,), generator=generator, device=X.device
            )
            levels = torch.quantile(responses[:, drawn] / spread, shares, dim=1)
            self.levels[scale] = levels[:, :, None]
        return rows.through(self)


class RowBank(nn.Module):
    """Features of a row of a table: its columns, and rectified sums of a few of them.

    A rectified sum ``relu(w . x + b)`` of three columns adds non-linearities and
    interactions. In place of more than 1,024 columns there are 512 principal components
    of them (fewer of more than 8,192 columns), which are not trained. Maps
    ``(n, n_features)`` to ``(n, width)``.

    Parameters
    ----------
    data_shape : tuple (n_features,)
    size : float
        Factor of the number of rectified sums.

    References
    ----------
    Rahimi and Recht, "Weighted Sums of Random Kitchen Sinks", 2008.
    """

    columns: Tensor
    column_weight: Tensor

    def __init__(self, data_shape, size=1.0):
        super().__init__()
        n_features, n_units = math.prod(data_shape), scaled(N_UNITS, size)
        n_joined = min(N_JOINED, n_features)
        self.sums = Linear(n_joined, n_units)
        columns = joined_columns(n_features, n_joined, n_units)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("column_weight", torch.ones(()))
        self.reduced: nn.Module = nn.Identity()
        self.width = n_features + n_units
        if n_features > N_COLUMNS:
            n_principal = limited_width(n_features, N_PRINCIPAL_WEIGHTS)
            self.reduced = Linear(n_features, n_principal).requires_grad_(False)
            self.width = n_principal + n_units

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        reduced = self.column_weight * self.reduced(x)
        return torch.cat([reduced, self.responses(x)], dim=1)

    def responses(self, x: Tensor) -> Tensor:
        """Rectified sums ``(n, n_units)`` of rows ``(n, n_features)``."""
        weight, bias = self.sums.parameters()
        joined = x.index_select(1, self.columns.T.flatten())
        joined = joined.unflatten(1, self.columns.T.shape)
        return F.relu((joined * weight.T).sum(1) + bias)

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> ViewedRows:
        """Draw sums of variance 1, in random directions of whitened columns."""
        X, draws = rows.X.flatten(1), rows.generator
        if isinstance(self.reduced, Linear):
            n_components = self.reduced.out_features
            mean, _, directions = principal_components(X, n_components)
            set_components(self.reduced, mean, directions)
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


def normalized(x: Tensor) -> Tensor:
    """Rows ``(n, width)``, each scaled to mean 0 and variance 1."""
    return F.layer_norm(x, x.shape[1:])


def joined_columns(n_features: int, n_joined: int, n_units: int) -> Tensor:
    """Return indices ``(n_units, n_joined)`` of columns, each equally often.

    They are always the same, from a generator whose stream never changes.
    """
    draws = np.random.RandomState(0)
    n_sums = n_features // n_joined
    orders = [draws.permutation(n_features) for _ in range(-(-n_units // n_sums))]
    sums = [order[: n_sums * n_joined].reshape(n_sums, n_joined) for order in orders]
    return torch.from_numpy(np.concatenate(sums)[:n_units])


def overlapping_averages(length: int, n: int) -> Tensor:
    """Matrix ``(n, length)`` of weighted averages around n centres of a line.

    The weight falls linearly to 0 at the distance of two centres, so that a
    small shift changes an average little; the identity if n is `length`.
    """
    distance = length / n
    # On the CPU, since arithmetic on "meta" imports torch's compiler.
    samples, centres = (torch.arange(k, device="cpu") for k in (length, n))
    centres = (centres + 0.5) * distance - 0.5
    apart = (samples - centres[:, None]).abs()
    weights = (1 - apart / distance).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
