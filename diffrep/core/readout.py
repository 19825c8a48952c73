"""The read-out of codes: linear maps fitted in closed form, one for each time.

The loss does not depend on linear maps of the code, but nearest neighbours and
classifiers with few labels do. At t = 1 the noisy row x_t contains no information, and
the map gives less weight to what views change. At smaller t it also gives less weight
to what x_t shows, and thus emphasises what the noise of that t removes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffrep.core.closed_form import (
    ViewedRows,
    equal_variances,
    fisher_directions,
    principal_components,
)
from diffrep.core.layers import linear

__all__ = ["NOISE_RATIOS", "Readout"]

#: Noise-to-signal ratios for which maps are fitted, besides t = 1.
NOISE_RATIOS = (0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0)

#: Added to the variance within views and that predicted by noisy rows, relative to the
#: mean variance of the codes.
RIDGE = 1.0

#: The standard deviation of a component is its ratio to the power of 1/2 plus this.
POWER = 0.75

#: Penalty of the regression that predicts the code of a row from that of x_t.
PREDICTION_RIDGE = 1e-2

#: Singular values below this share of the largest are not inverted.
LEAST_SINGULAR = 1e-5

#: Largest factor by which codes of a time with a small variance are scaled up.
LARGEST_SCALE = 10.0


class Readout(nn.Module):
    """Linear maps of codes, interpolated linearly between times.

    Parameters
    ----------
    width : int
        Length of the trained codes.
    n_columns : int
        Number of columns per time, at most `width`.
    n_fits : int
        Number of times that stable components are fitted, first to the codes and then
        to the resulting components. Each fit makes weak ones smaller.

    Attributes
    ----------
    times : Tensor of shape (K,)
        In ascending order; the last is 1.
    means : Tensor of shape (K, width)
    maps : Tensor of shape (K, width, n_columns)
        The result for codes z is ``(z - mean) @ map``.
    cosines : Tensor of shape (K - 1,)
        Cosines of the results at adjacent times.
    told : Tensor of shape (K,)
        Share of the variance of the codes that x_t predicts.
    """

    times: Tensor
    means: Tensor
    maps: Tensor
    cosines: Tensor
    told: Tensor

    def __init__(self, width: int, n_columns: int, n_fits: int):
        super().__init__()
        self.n_fits = n_fits
        n = len(NOISE_RATIOS) + 1
        self.register_buffer("times", torch.linspace(1 / n, 1, n))
        self.register_buffer("means", torch.zeros(n, width))
        # torch.eye on "meta" imports torch's compiler.
        columns = torch.zeros(width, n_columns).fill_diagonal_(1)
        self.register_buffer("maps", columns.repeat(n, 1, 1))
        self.register_buffer("cosines", torch.ones(n - 1))
        self.register_buffer("told", torch.zeros(n))

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Means ``(T, width)`` and maps ``(T, width, n_columns)`` at times ``(T,)``.

        Differentiable in t; constant beyond the first and the last time.
        """
        after = (self.times < t[:, None]).sum(1).clamp(1, len(self.times) - 1)
        first, last = self.times[after - 1], self.times[after]
        share = ((t - first) / (last - first).clamp(min=1e-9)).clamp(0, 1)
        means = torch.lerp(self.means[after - 1], self.means[after], share[:, None])
        maps = self.maps[after - 1].lerp(self.maps[after], share[:, None, None])
        # A mean of two codes has less variance than each, unless their cosine is 1.
        less = 2 * share * (1 - share) * (1 - self.cosines[after - 1])
        return means, maps / (1 - less).sqrt()[:, None, None]

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """Map trained codes to the columns of `transform`.

        Parameters
        ----------
        z : Tensor of shape (n, T, width) or (n, 1, width)
            Trained codes. Static codes have a single time.
        t : Tensor of shape (T,)

        Returns
        -------
        codes : Tensor of shape (n, T, n_columns)
        """
        z = z.expand(-1, len(t), -1)
        codes = [
            linear(z[:, i] - mean, map_.T)
            for i, (mean, map_) in enumerate(zip(*self.at(t), strict=True))
        ]
        return torch.stack(codes, dim=1)

    def inverse(self, codes: Tensor, t: Tensor, is_static: bool) -> Tensor:
        """Recover trained codes from the columns of `transform`, by least squares.

        Parameters
        ----------
        codes : Tensor of shape (n, T, n_columns)
        t : Tensor of shape (T,)
        is_static : bool
            Whether the trained code is the same for all times.

        Returns
        -------
        z : Tensor of shape (n, T, width), or (n, 1, width) if it is static
        """
        means, maps = (part.cpu().double() for part in self.at(t))
        if is_static:
            offsets = torch.einsum("tw,twc->tc", means - means[0], maps)
            codes = (codes + offsets.to(codes)).flatten(1)[:, None]
            means, maps = means[:1], maps.permute(1, 0, 2).flatten(1)[None]
        inverses = torch.linalg.pinv(maps, rtol=LEAST_SINGULAR).to(codes)
        return torch.einsum("ntc,tcw->ntw", codes, inverses) + means.to(codes)

    @torch.no_grad()
    def fit_static(self, codes: ViewedRows, noisy: list[Tensor], as_trained: bool):
        """Fit maps to static codes.

        Parameters
        ----------
        codes : ViewedRows of shape (n, width)
        noisy : list of Tensor of shape (n, width)
            Codes of the noisy rows, for each of NOISE_RATIOS; empty if noisy rows
            predict nothing.
        as_trained : bool
            Whether codes at t = 1 are returned as they were trained.
        """
        mean, z = codes.X.mean(0), codes.X - codes.X.mean(0)
        if as_trained:
            mean = torch.zeros_like(mean)
        else:
            mean, map_ = self._stable_map(codes)
            self.maps[-1] = map_
        self.means.copy_(mean.expand_as(self.means))
        self.maps.copy_(self.maps[-1].expand_as(self.maps))
        self.cosines.fill_(1)
        self.told.zero_()
        size = z.square().mean().clamp(min=1e-12)
        z = z / size.sqrt()
        total = z.T @ z / len(z)
        differences = codes.view_differences
        within = differences.T @ differences / len(differences) / size
        variance = (self.maps[-1].T @ total @ self.maps[-1]).diagonal().mean()
        for i in reversed(range(len(noisy))):
            predicted = _predicted_covariance(z, noisy[i])
            maps = _hidden_components(total, within, predicted)
            after, maps = self.maps[i + 1], maps[:, : self.maps.shape[2]]
            maps = _rotated_towards(maps, total, maps.T @ total @ after)
            found = (maps.T @ total @ maps).diagonal().mean().clamp(min=1e-12)
            self.maps[i] = maps * (variance / found).sqrt()
            shared = (self.maps[i].T @ total @ after).diagonal().mean()
            self.cosines[i] = shared / variance.clamp(min=1e-12)
            self.told[i] = predicted.trace() / total.trace().clamp(min=1e-12)

    @torch.no_grad()
    def fit_curves(self, times: Tensor, codes: list[ViewedRows]) -> None:
        """Fit maps to codes ``(n, width)`` of the same rows at each of `times`.

        All times get the same mean variance, that of all times together.
        """
        self.times.copy_(times)
        sizes = torch.stack([c.X.var(0, correction=0).mean() for c in codes])
        scales = (sizes.mean() / sizes.clamp(min=1e-12)).sqrt().clamp(max=LARGEST_SCALE)
        for i in reversed(range(len(codes))):
            mean, maps = self._stable_map(codes[i])
            if i < len(codes) - 1:
                z, after = (c.X - c.X.mean(0) for c in codes[i : i + 2])
                likeness = (z @ maps).T @ (after @ self.maps[i + 1])
                maps = _rotated_towards(maps, z.T @ z / len(z), likeness)
            self.means[i], self.maps[i] = mean, maps * scales[i]

    def _stable_map(self, codes: ViewedRows) -> tuple[Tensor, Tensor]:
        """Mean and map to stable components, rotated to columns of equal variance.

        The mean variance of the codes is kept, so that codes without information are
        recognised by their small variance. Without views, the map is a rotation.
        """
        width = codes.X.shape[1]
        if codes.views:
            mean, size = codes.X.mean(0), codes.X.var(0, correction=0).mean().sqrt()
            maps = torch.eye(width).to(codes.X) / size.clamp(min=1e-6)
            for _ in range(self.n_fits):
                found = codes.through(lambda x, maps=maps: (x - mean) @ maps)
                maps = maps @ found.stable_components(width)[1]
            maps = maps * size
        else:
            mean, _, maps = principal_components(codes.X, width)
        maps = maps[:, : self.maps.shape[2]]
        variances = ((codes.X - mean) @ maps).var(0, correction=0)
        return mean, maps @ equal_variances(torch.diag(variances))


def _predicted_covariance(z: Tensor, noisy: Tensor) -> Tensor:
    """Covariance of the codes as predicted from those of noisy rows.

    Predictions are those of ridge regression with two-fold cross-fitting, in double
    precision, since codes of noisy rows may be of any size, and consist of rounding
    errors if all rows are equal.
    """
    like, z, noisy = z, z.cpu().double(), noisy.cpu().double()
    predicted = z.new_zeros(z.shape[1], z.shape[1])
    for fold in range(2):
        rest = 1 - fold
        mean, x = noisy[rest::2].mean(0), noisy[rest::2] - noisy[rest::2].mean(0)
        moments = x.T @ x / len(x)
        moments.diagonal().add_(PREDICTION_RIDGE * moments.diagonal().mean() + 1e-12)
        slopes = torch.linalg.solve(moments, x.T @ z[rest::2] / len(x))
        estimates = (noisy[fold::2] - mean) @ slopes
        predicted += estimates.T @ z[fold::2] / len(estimates) / 2
    values, vectors = torch.linalg.eigh((predicted + predicted.T) / 2)
    return (vectors * values.clamp(min=0) @ vectors.T).to(like)


def _hidden_components(total: Tensor, within: Tensor, predicted: Tensor) -> Tensor:
    """Directions in which rows differ, without what views change or x_t predicts."""
    within = within + predicted
    rounding = 1e-4 * within.diagonal().mean()  # keeps it positive definite
    within.diagonal().add_(RIDGE + rounding)
    directions, ratios = fisher_directions(total - predicted, within)
    return directions * ratios**POWER


def _rotated_towards(maps: Tensor, total: Tensor, likeness: Tensor) -> Tensor:
    """Rotate maps to make columns most similar to others, and their variances equal.

    Parameters
    ----------
    maps : Tensor of shape (width, k)
    total : Tensor of shape (width, width)
        Covariance of the codes.
    likeness : Tensor of shape (k, k)
        ``A' B``, for the components A of these maps and the others B.
    """
    left, _, right = torch.linalg.svd(likeness)
    maps = maps @ left @ right
    spread = maps.T @ total @ maps
    return maps @ equal_variances(spread, torch.eye(len(spread)).to(spread))
